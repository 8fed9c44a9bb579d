/* OpenSSL as a router would call it: EVP contexts kept per SA, one set of calls per packet, a ready IV in the packet.
 * Packets begin at the SPI: | SPI, number | IV | ciphertext | ICV |. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
	EVP_CIPHER_CTX *seal, *open;
	HMAC_CTX *hmac;
	size_t icv;
	uint8_t salt[4];
} sa;

sa *peer_cbc(const char *cipher, const uint8_t *key, const char *digest, const uint8_t *mac_key, size_t mac_key_len, size_t icv)
{
	sa *s = calloc(1, sizeof *s);
	EVP_CIPHER *c = EVP_CIPHER_fetch(NULL, cipher, NULL);
	s->seal = EVP_CIPHER_CTX_new();
	EVP_EncryptInit_ex(s->seal, c, NULL, key, key);
	EVP_CIPHER_CTX_set_padding(s->seal, 0);
	s->open = EVP_CIPHER_CTX_new();
	EVP_DecryptInit_ex(s->open, c, NULL, key, key);
	EVP_CIPHER_CTX_set_padding(s->open, 0);
	s->hmac = HMAC_CTX_new();
	HMAC_Init_ex(s->hmac, mac_key, (int)mac_key_len, EVP_get_digestbyname(digest), NULL);
	s->icv = icv;
	return s;
}

static void mac(sa *s, const uint8_t *packet, size_t len, uint8_t *out)
{
	unsigned out_len = 64;
	HMAC_Init_ex(s->hmac, NULL, 0, NULL, NULL);
	HMAC_Update(s->hmac, packet, len);
	HMAC_Final(s->hmac, out, &out_len);
}

void peer_cbc_seal(sa *s, uint8_t *packet, size_t text)
{
	uint8_t out[64];
	int n;
	EVP_EncryptInit_ex(s->seal, NULL, NULL, NULL, packet + 8);
	EVP_EncryptUpdate(s->seal, packet + 24, &n, packet + 24, (int)text);
	mac(s, packet, 24 + text, out);
	memcpy(packet + 24 + text, out, s->icv);
}

int peer_cbc_open(sa *s, uint8_t *packet, size_t text)
{
	uint8_t out[64];
	int n;
	mac(s, packet, 24 + text, out);
	int bad = CRYPTO_memcmp(out, packet + 24 + text, s->icv);
	EVP_DecryptInit_ex(s->open, NULL, NULL, NULL, packet + 8);
	EVP_DecryptUpdate(s->open, packet + 24, &n, packet + 24, (int)text);
	return bad;
}

sa *peer_aead(const char *cipher, const uint8_t *key)
{
	sa *s = calloc(1, sizeof *s);
	EVP_CIPHER *c = EVP_CIPHER_fetch(NULL, cipher, NULL);
	s->seal = EVP_CIPHER_CTX_new();
	EVP_EncryptInit_ex(s->seal, c, NULL, key, key);
	s->open = EVP_CIPHER_CTX_new();
	EVP_DecryptInit_ex(s->open, c, NULL, key, key);
	s->icv = 16;
	return s;
}

static void nonce(const sa *s, const uint8_t *packet, uint8_t out[12])
{
	memcpy(out, s->salt, 4);
	memcpy(out + 4, packet + 8, 8);
}

void peer_aead_seal(sa *s, uint8_t *packet, size_t text)
{
	uint8_t iv[12];
	int n;
	nonce(s, packet, iv);
	EVP_EncryptInit_ex(s->seal, NULL, NULL, NULL, iv);
	EVP_EncryptUpdate(s->seal, NULL, &n, packet, 8);
	EVP_EncryptUpdate(s->seal, packet + 16, &n, packet + 16, (int)text);
	EVP_EncryptFinal_ex(s->seal, packet + 16 + text, &n);
	EVP_CIPHER_CTX_ctrl(s->seal, EVP_CTRL_AEAD_GET_TAG, 16, packet + 16 + text);
}

int peer_aead_open(sa *s, uint8_t *packet, size_t text)
{
	uint8_t iv[12];
	int n;
	nonce(s, packet, iv);
	EVP_DecryptInit_ex(s->open, NULL, NULL, NULL, iv);
	EVP_DecryptUpdate(s->open, NULL, &n, packet, 8);
	EVP_DecryptUpdate(s->open, packet + 16, &n, packet + 16, (int)text);
	EVP_CIPHER_CTX_ctrl(s->open, EVP_CTRL_AEAD_SET_TAG, 16, packet + 16 + text);
	return EVP_DecryptFinal_ex(s->open, packet + 16 + text, &n) <= 0;
}
