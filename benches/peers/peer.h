/* What a contender offers: an SA of its own with fixed keys, and packets sealed and opened in place.
 *
 *   void *NAME_sa(int algorithm)                      NULL if it does not have the algorithm
 *   void NAME_seal(void *sa, uint8_t **packets, size_t count, size_t text)
 *   size_t NAME_open(void *sa, uint8_t **packets, size_t count, size_t text)      how many were authentic
 *
 * A packet begins at the SPI: | SPI, number | IV | text | ICV |, with a ready IV and the text padded. */
#include <stddef.h>
#include <stdint.h>

enum {
	CBC128_SHA1,
	CBC256_SHA256,
	CBC256_SHA512,
	GCM128,
	GCM256,
	CHACHA20_POLY1305,
};
