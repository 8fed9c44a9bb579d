/* OpenSSL as a router would call it: EVP contexts kept per SA, one set of calls per packet. */
#include "peer.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
	EVP_CIPHER_CTX *seal, *open;
	HMAC_CTX *hmac; /* NULL for a combined mode */
	size_t icv;
} sa;

static const uint8_t keys[64] = {
	0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
	0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
};

void *openssl_sa(int algorithm)
{
	static const struct {
		const char *cipher, *digest;
		int mac_key;
		size_t icv;
	} all[] = {
		{ "AES-128-CBC", "SHA1", 20, 12 },   { "AES-256-CBC", "SHA256", 32, 16 }, { "AES-256-CBC", "SHA512", 64, 32 },
		{ "AES-128-GCM", NULL, 0, 16 },      { "AES-256-GCM", NULL, 0, 16 },      { "ChaCha20-Poly1305", NULL, 0, 16 },
	};
	sa *s = calloc(1, sizeof *s);
	EVP_CIPHER *c = EVP_CIPHER_fetch(NULL, all[algorithm].cipher, NULL);
	s->seal = EVP_CIPHER_CTX_new();
	EVP_EncryptInit_ex(s->seal, c, NULL, keys, keys);
	EVP_CIPHER_CTX_set_padding(s->seal, 0);
	s->open = EVP_CIPHER_CTX_new();
	EVP_DecryptInit_ex(s->open, c, NULL, keys, keys);
	EVP_CIPHER_CTX_set_padding(s->open, 0);
	s->icv = all[algorithm].icv;
	if (all[algorithm].digest) {
		s->hmac = HMAC_CTX_new();
		HMAC_Init_ex(s->hmac, keys, all[algorithm].mac_key, EVP_get_digestbyname(all[algorithm].digest), NULL);
	}
	return s;
}

static void mac(sa *s, const uint8_t *packet, size_t len, uint8_t *out)
{
	unsigned out_len = 64;
	HMAC_Init_ex(s->hmac, NULL, 0, NULL, NULL);
	HMAC_Update(s->hmac, packet, len);
	HMAC_Final(s->hmac, out, &out_len);
}

static void cbc_seal(sa *s, uint8_t *packet, size_t text)
{
	uint8_t out[64];
	int n;
	EVP_EncryptInit_ex(s->seal, NULL, NULL, NULL, packet + 8);
	EVP_EncryptUpdate(s->seal, packet + 24, &n, packet + 24, (int)text);
	mac(s, packet, 24 + text, out);
	memcpy(packet + 24 + text, out, s->icv);
}

static int cbc_open(sa *s, uint8_t *packet, size_t text)
{
	uint8_t out[64];
	int n;
	mac(s, packet, 24 + text, out);
	if (CRYPTO_memcmp(out, packet + 24 + text, s->icv))
		return 0;
	EVP_DecryptInit_ex(s->open, NULL, NULL, NULL, packet + 8);
	EVP_DecryptUpdate(s->open, packet + 24, &n, packet + 24, (int)text);
	return 1;
}

static void nonce(const uint8_t *packet, uint8_t out[12])
{
	memset(out, 0, 4);
	memcpy(out + 4, packet + 8, 8);
}

static void aead_seal(sa *s, uint8_t *packet, size_t text)
{
	uint8_t iv[12];
	int n;
	nonce(packet, iv);
	EVP_EncryptInit_ex(s->seal, NULL, NULL, NULL, iv);
	EVP_EncryptUpdate(s->seal, NULL, &n, packet, 8);
	EVP_EncryptUpdate(s->seal, packet + 16, &n, packet + 16, (int)text);
	EVP_EncryptFinal_ex(s->seal, packet + 16 + text, &n);
	EVP_CIPHER_CTX_ctrl(s->seal, EVP_CTRL_AEAD_GET_TAG, 16, packet + 16 + text);
}

static int aead_open(sa *s, uint8_t *packet, size_t text)
{
	uint8_t iv[12];
	int n;
	nonce(packet, iv);
	EVP_DecryptInit_ex(s->open, NULL, NULL, NULL, iv);
	EVP_DecryptUpdate(s->open, NULL, &n, packet, 8);
	EVP_DecryptUpdate(s->open, packet + 16, &n, packet + 16, (int)text);
	EVP_CIPHER_CTX_ctrl(s->open, EVP_CTRL_AEAD_SET_TAG, 16, packet + 16 + text);
	return EVP_DecryptFinal_ex(s->open, packet + 16 + text, &n) > 0;
}

void openssl_seal(void *s, uint8_t **packets, size_t count, size_t text)
{
	for (size_t i = 0; i < count; i++)
		(((sa *)s)->hmac ? cbc_seal : aead_seal)(s, packets[i], text);
}

size_t openssl_open(void *s, uint8_t **packets, size_t count, size_t text)
{
	size_t good = 0;
	for (size_t i = 0; i < count; i++)
		good += (size_t)(((sa *)s)->hmac ? cbc_open : aead_open)(s, packets[i], text);
	return good;
}
