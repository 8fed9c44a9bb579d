/* Intel's multi-buffer library (libipsec-mb), which works on the packets of a batch side by side. CBC with HMAC through its job
 * manager, flushed after each batch; GCM by its direct calls. */
#include "peer.h"

#include <intel-ipsec-mb.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
	uint8_t encrypt[16 * 15] __attribute__((aligned(64)));
	uint8_t decrypt[16 * 15] __attribute__((aligned(64)));
	struct gcm_key_data gcm __attribute__((aligned(64)));
	struct gcm_context_data context;
	uint8_t inner[64], outer[64], key[64];
	IMB_MGR *manager;
	int algorithm;
} sa;

void *ipsec_mb_sa(int algorithm)
{
	sa *s = aligned_alloc(64, (sizeof *s + 63) / 64 * 64);
	uint8_t block[128];
	memset(s, 0, sizeof *s);
	memset(s->key, 0x11, 32);
	s->algorithm = algorithm;
	s->manager = alloc_mb_mgr(0);
	init_mb_mgr_auto(s->manager, NULL);
	switch (algorithm) {
	case CBC128_SHA1:
		IMB_AES_KEYEXP_128(s->manager, s->key, s->encrypt, s->decrypt);
		break;
	case CBC256_SHA256:
	case CBC256_SHA512:
		IMB_AES_KEYEXP_256(s->manager, s->key, s->encrypt, s->decrypt);
		break;
	case GCM128:
		IMB_AES128_GCM_PRE(s->manager, s->key, &s->gcm);
		return s;
	case GCM256:
		IMB_AES256_GCM_PRE(s->manager, s->key, &s->gcm);
		return s;
	default:
		return s;
	}
	size_t used = algorithm == CBC128_SHA1 ? 20 : algorithm == CBC256_SHA256 ? 32 : 64;
	for (int pad = 0; pad < 2; pad++) {
		uint8_t *out = pad ? s->outer : s->inner;
		memset(block, pad ? 0x5c : 0x36, sizeof block);
		for (size_t i = 0; i < used; i++)
			block[i] ^= s->key[i];
		if (algorithm == CBC128_SHA1)
			IMB_SHA1_ONE_BLOCK(s->manager, block, out);
		else if (algorithm == CBC256_SHA256)
			IMB_SHA256_ONE_BLOCK(s->manager, block, out);
		else
			IMB_SHA512_ONE_BLOCK(s->manager, block, out);
	}
	return s;
}

static void nonce(const uint8_t *packet, uint8_t out[12])
{
	memset(out, 0, 4);
	memcpy(out + 4, packet + 8, 8);
}

static void fill(sa *s, IMB_JOB *j, uint8_t *packet, size_t text, int seal, uint8_t *iv, uint8_t *tag)
{
	j->cipher_direction = seal ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
	j->chain_order = seal ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
	j->src = packet;
	j->auth_tag_output = tag;
	if (s->algorithm == CHACHA20_POLY1305) {
		nonce(packet, iv);
		j->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
		j->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
		j->enc_keys = j->dec_keys = s->key;
		j->key_len_in_bytes = 32;
		j->iv = iv;
		j->iv_len_in_bytes = 12;
		j->u.CHACHA20_POLY1305.aad = packet;
		j->u.CHACHA20_POLY1305.aad_len_in_bytes = 8;
		j->dst = packet + 16;
		j->cipher_start_src_offset_in_bytes = j->hash_start_src_offset_in_bytes = 16;
		j->msg_len_to_cipher_in_bytes = j->msg_len_to_hash_in_bytes = text;
		j->auth_tag_output_len_in_bytes = 16;
		return;
	}
	j->cipher_mode = IMB_CIPHER_CBC;
	j->key_len_in_bytes = s->algorithm == CBC128_SHA1 ? 16 : 32;
	j->enc_keys = s->encrypt;
	j->dec_keys = s->decrypt;
	j->dst = packet + 24;
	j->cipher_start_src_offset_in_bytes = 24;
	j->msg_len_to_cipher_in_bytes = text;
	j->iv = packet + 8;
	j->iv_len_in_bytes = 16;
	j->hash_start_src_offset_in_bytes = 0;
	j->msg_len_to_hash_in_bytes = 24 + text;
	j->hash_alg = s->algorithm == CBC128_SHA1 ? IMB_AUTH_HMAC_SHA_1 :
		      s->algorithm == CBC256_SHA256 ? IMB_AUTH_HMAC_SHA_256 : IMB_AUTH_HMAC_SHA_512;
	j->auth_tag_output_len_in_bytes = s->algorithm == CBC128_SHA1 ? 12 : s->algorithm == CBC256_SHA256 ? 16 : 32;
	j->u.HMAC._hashed_auth_key_xor_ipad = s->inner;
	j->u.HMAC._hashed_auth_key_xor_opad = s->outer;
}

static size_t run(sa *s, uint8_t **packets, size_t count, size_t text, int seal)
{
	static uint8_t tags[64][64], ivs[64][12];
	size_t good = 0;
	if (s->algorithm == GCM128 || s->algorithm == GCM256) {
		for (size_t i = 0; i < count; i++) {
			uint8_t *p = packets[i], *tag = seal ? p + 16 + text : tags[0];
			nonce(p, ivs[0]);
			if (s->algorithm == GCM128 && seal)
				IMB_AES128_GCM_ENC(s->manager, &s->gcm, &s->context, p + 16, p + 16, text, ivs[0], p, 8, tag, 16);
			else if (s->algorithm == GCM128)
				IMB_AES128_GCM_DEC(s->manager, &s->gcm, &s->context, p + 16, p + 16, text, ivs[0], p, 8, tag, 16);
			else if (seal)
				IMB_AES256_GCM_ENC(s->manager, &s->gcm, &s->context, p + 16, p + 16, text, ivs[0], p, 8, tag, 16);
			else
				IMB_AES256_GCM_DEC(s->manager, &s->gcm, &s->context, p + 16, p + 16, text, ivs[0], p, 8, tag, 16);
			good += !memcmp(tag, p + 16 + text, 16);
		}
		return good;
	}
	size_t front = s->algorithm == CHACHA20_POLY1305 ? 16 : 24;
	size_t icv = s->algorithm == CBC128_SHA1 ? 12 : s->algorithm == CBC256_SHA512 ? 32 : 16;
	IMB_JOB *j;
	for (size_t i = 0; i < count; i++) {
		fill(s, IMB_GET_NEXT_JOB(s->manager), packets[i], text, seal, ivs[i % 64],
		     seal ? packets[i] + front + text : tags[i % 64]);
		for (j = IMB_SUBMIT_JOB_NOCHECK(s->manager); j; j = IMB_GET_COMPLETED_JOB(s->manager))
			;
	}
	while (IMB_FLUSH_JOB(s->manager))
		;
	for (size_t i = 0; i < count; i++)
		good += seal || !memcmp(tags[i % 64], packets[i] + front + text, icv);
	return good;
}

void ipsec_mb_seal(void *s, uint8_t **packets, size_t count, size_t text)
{
	run(s, packets, count, text, 1);
}

size_t ipsec_mb_open(void *s, uint8_t **packets, size_t count, size_t text)
{
	return run(s, packets, count, text, 0);
}
