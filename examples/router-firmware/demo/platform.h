/* What the demonstration needs of the machine it runs on. */
#ifndef PLATFORM_H
#define PLATFORM_H

#include <stddef.h>

void platform_random(void *bytes, size_t length);

/* Prints text as it is. */
void platform_print(const char *text);

#endif
