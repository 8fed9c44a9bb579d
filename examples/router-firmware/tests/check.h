/* A test fails by saying what it found, and ends the program. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                            \
	do {                                                                        \
		if (!(condition)) {                                                 \
			fprintf(stderr, "%s:%d: in %s: not so: %s\n", __FILE__,     \
			        __LINE__, __func__, #condition);                    \
			exit(1);                                                    \
		}                                                                   \
	} while (0)

#define CHECK_IS(value, wanted)                                                     \
	do {                                                                        \
		long long is_ = (long long)(value), wanted_ = (long long)(wanted);  \
		if (is_ != wanted_) {                                               \
			fprintf(stderr, "%s:%d: in %s: %s is %lld, not %lld\n",     \
			        __FILE__, __LINE__, __func__, #value, is_, wanted_); \
			exit(1);                                                    \
		}                                                                   \
	} while (0)

void test_misuse(void);
void test_tunnels(void);

#endif
