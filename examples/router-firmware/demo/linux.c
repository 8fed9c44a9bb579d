/* The machine is a computer with a C library. */
#include "platform.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void platform_random(void *bytes, size_t length)
{
	if (getrandom(bytes, length, 0) != (ssize_t)length)
		abort();
}

void platform_print(const char *text)
{
	fputs(text, stdout);
}

uint32_t platform_instructions(void)
{
	return 0;
}

uint32_t platform_stack(void)
{
	return 0;
}
