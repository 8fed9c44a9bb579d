/* What the demonstration needs of the machine it runs on. */
#ifndef PLATFORM_H
#define PLATFORM_H

#include <stddef.h>
#include <stdint.h>

void platform_random(void *bytes, size_t length);

/* Prints text as it is. */
void platform_print(const char *text);

/* Instructions since it was called last, and the most bytes of stack that were in use; 0 where nobody counts. */
uint32_t platform_instructions(void);
uint32_t platform_stack(void);

#endif
