/*
 * IPsec for the firmware of a small router: IKEv1 keys (ike-core) and ESP packets (esp-core) behind one C interface.
 *
 *      inside packet --> ipsec_packet_out() --> IPSEC_SEND   the packet is sealed: send it outside
 *                                               IPSEC_PASS   send it outside as it is
 *                                               IPSEC_HOLD   keep it, and try again after IPSEC_CHILD_UP
 *                                               IPSEC_TOO_BIG, IPSEC_DROP
 *      outside packet -> ipsec_packet_in() ---> IPSEC_DELIVER, IPSEC_PASS   hand it to the inside
 *                                               IPSEC_DROP
 *      UDP 500, 4500 --> ipsec_datagram_in() -> IPSEC_DONE, or as for a packet where it held one
 *
 * Nothing here blocks, allocates, or has a global: all memory is one `struct ipsec` of yours, its size known when you
 * compile. The library calls you for random bytes and, if you want, for lines of the log; everything else you ask for:
 *
 *      static struct ipsec vpn;
 *
 *      ipsec_init(&vpn, sizeof vpn, &host, &config);
 *      for (;;) {
 *              uint64_t now = clock_ms();
 *              ... give it what has come from either side ...
 *              if (ipsec_deadline(&vpn) <= now)
 *                      ipsec_timeout(&vpn, now);
 *              ipsec_work(&vpn, now, 32);
 *              while (ipsec_event(&vpn, now, &event) == IPSEC_MORE)
 *                      ... log it; after IPSEC_CHILD_UP send what was held ...
 *              while (ipsec_poll(&vpn, &datagram) == IPSEC_MORE)
 *                      ... send it by UDP ...
 *      }
 *
 * Read the events before you poll for datagrams: with them SAs are installed, and the message that lets the peer send
 * is not handed out before.
 *
 * One `struct ipsec` belongs to one thread at a time; different ones have nothing in common. Callbacks cannot call back.
 * Every pointer is checked for null, every length against its buffer. What comes from the network can make no call fail:
 * a result below zero is a fault of the caller.
 *
 * Time is in milliseconds since a moment of your choice and should not go backwards. Addresses and packets are in network
 * byte order, all other numbers in that of the machine.
 */
#ifndef IPSEC_H
#define IPSEC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define IPSEC_ALIGNED alignas(16)
#else
#define IPSEC_ALIGNED _Alignas(16)
#endif

/* ---- sizes ------------------------------------------------------------------------------------
 * The library is compiled for these numbers, which it reads from this file: change them here. */

#define IPSEC_MAX_PEERS          2 /* peers of a configuration */
#define IPSEC_MAX_CHILDREN       4 /* children of all peers together */
#define IPSEC_MAX_POLICIES       8 /* lines of the access list */
#define IPSEC_MAX_PROPOSALS      3 /* proposals of a peer, and of a child */
#define IPSEC_MAX_EXCHANGES      4 /* main modes and quick modes under way at one time */
#define IPSEC_MAX_FLOWS         16 /* flows whose line of the access list is remembered */
#define IPSEC_MAX_PSK           64 /* bytes of a pre-shared key */
#define IPSEC_MAX_IDENTITY      64 /* bytes of an identity */
#define IPSEC_MAX_MESSAGE     1536 /* bytes of an IKE message; 2048 with IPSEC_MODP4096 */
#define IPSEC_MAX_TEXT         160 /* bytes of a line of text, its final zero included */

/* Bytes of a `struct ipsec`. If the library needs more it does not compile, and the error says how many. */
#define IPSEC_SIZE_64        57344 /* on a 64-bit machine */
#define IPSEC_SIZE_32        55296 /* on a 32-bit machine */
#if UINTPTR_MAX > 0xffffffffu
#define IPSEC_SIZE IPSEC_SIZE_64
#else
#define IPSEC_SIZE IPSEC_SIZE_32
#endif

/* Room that ipsec_packet_out() needs around a packet: IPv6, UDP, ESP and an IV in front; padding and an ICV behind. */
#define IPSEC_HEADROOM          72
#define IPSEC_TAILROOM          49

/* The whole state. Static memory serves best: it is all zero until ipsec_init(), costs no flash, and must not move. */
struct ipsec {
	IPSEC_ALIGNED uint8_t opaque[IPSEC_SIZE];
};

/* ---- results ---------------------------------------------------------------------------------- */

/* What becomes of a packet, and whether there is more. */
enum ipsec_result {
	IPSEC_DONE = 0,    /* nothing is left to do */
	IPSEC_MORE = 1,    /* an event or a datagram is there, or work is left: call again */
	IPSEC_SEND = 2,    /* outbound: the packet is protected now, send it outside */
	IPSEC_DELIVER = 3, /* inbound: it came protected, as policy wants it; hand it to the inside */
	IPSEC_PASS = 4,    /* policy lets it pass in clear; it is as it was */
	IPSEC_HOLD = 5,    /* outbound: there is no SA yet, and one is asked for; it is as it was */
	IPSEC_TOO_BIG = 6, /* outbound: sealed it would not fit the path; an ICMP error should tell its sender `mtu` */
	IPSEC_DROP = 7,    /* it ends here; `why` says why */
};

/* The caller's fault; nothing has happened. */
enum ipsec_error {
	IPSEC_ERR_NULL = -1,    /* a pointer is null */
	IPSEC_ERR_SIZE = -2,    /* `size` is not the library's IPSEC_SIZE, or the memory is not aligned */
	IPSEC_ERR_CLOSED = -3,  /* ipsec_init() has not succeeded, or ipsec_close() was called */
	IPSEC_ERR_BUSY = -4,    /* called from within a callback */
	IPSEC_ERR_BUFFER = -5,  /* the packet does not lie in its buffer */
	IPSEC_ERR_CONFIG = -6,  /* the configuration cannot work; the log says what of it */
	IPSEC_ERR_FULL = -7,    /* more peers, children or policies than there is room for, or no slot free now */
	IPSEC_ERR_UNKNOWN = -8, /* no such peer or child, or nothing of it is up */
	IPSEC_ERR_ADDRESS = -9, /* no address, or two that do not fit */
};

/* The error in words; static, never null. */
const char *ipsec_strerror(int error);

/* ---- addresses -------------------------------------------------------------------------------- */

#define IPSEC_IPV4 4
#define IPSEC_IPV6 6

struct ipsec_address {
	uint8_t family;    /* IPSEC_IPV4, IPSEC_IPV6; 0 for any, where that is allowed */
	uint8_t bytes[16]; /* the first 4 of them for IPv4 */
};

/* Initialises one. */
#define IPSEC_ADDRESS4(a, b, c, d) { IPSEC_IPV4, { a, b, c, d } }

#define IPSEC_IKE_PORT  500 /* IKE */
#define IPSEC_NAT_PORT 4500 /* IKE and ESP behind a NAT (RFC 3948) */

/* Where a datagram comes from or goes to. What our port 4500 carries is framed by RFC 3948. */
struct ipsec_path {
	struct ipsec_address local, remote;
	uint16_t local_port, remote_port;
};

/* ---- configuration ----------------------------------------------------------------------------
 * Zero is the default wherever a field has one: write designated initialisers, and only what differs. */

enum ipsec_cipher {
	IPSEC_AES128 = 1,           /* AES-CBC */
	IPSEC_AES192 = 2,
	IPSEC_AES256 = 3,
	IPSEC_NULL = 4,             /* ESP: integrity alone */
	IPSEC_AES128_GCM = 5,       /* ESP: with a 16-byte ICV, and no separate integrity */
	IPSEC_AES256_GCM = 6,
	IPSEC_CHACHA20_POLY1305 = 7,
};

enum ipsec_hash {
	IPSEC_NO_HASH = 0,          /* ESP with a cipher that has its own integrity */
	IPSEC_SHA1 = 1,
	IPSEC_SHA256 = 2,
	IPSEC_SHA384 = 3,
	IPSEC_SHA512 = 4,
};

enum ipsec_group {
	IPSEC_NO_GROUP = 0,         /* no perfect forward secrecy */
	IPSEC_MODP2048 = 1,
	IPSEC_MODP3072 = 2,
	IPSEC_MODP4096 = 3,
	IPSEC_ECP256 = 4,
	IPSEC_CURVE25519 = 5,
};

/* Phase 1. The list of a peer ends with the first all zero entry. */
struct ipsec_ike_proposal {
	uint8_t cipher; /* AES-CBC */
	uint8_t hash;
	uint8_t group;
};

/* Phase 2. The list of a child ends with the first all zero entry. */
struct ipsec_esp_proposal {
	uint8_t cipher;
	uint8_t hash;
	uint8_t esn; /* nonzero for 64-bit sequence numbers (RFC 4304) */
};

/* Some traffic, seen from here: `local` is the source of what goes out. Family 0 means any address, a zero any. */
struct ipsec_selectors {
	struct ipsec_address local;
	uint8_t local_prefix; /* bits: 0 to 32, or to 128 */
	struct ipsec_address remote;
	uint8_t remote_prefix;
	uint8_t protocol; /* of IP */
	uint16_t local_port, remote_port;
};

/* Who somebody is (RFC 2407 section 4.6.2). */
enum ipsec_identity_kind {
	IPSEC_ID_ADDRESS = 0, /* the address of the peer's configuration; no data */
	IPSEC_ID_FQDN = 1,    /* a host's name */
	IPSEC_ID_USER = 2,    /* user@name */
	IPSEC_ID_KEY = 3,     /* opaque bytes */
};

struct ipsec_identity {
	uint8_t kind;
	const void *data;
	size_t length;
};

enum ipsec_nat_traversal {
	IPSEC_NAT_AUTO = 0,  /* used if there is a NAT */
	IPSEC_NAT_FORCE = 1, /* ESP always goes in UDP */
	IPSEC_NAT_OFF = 2,
};

struct ipsec_peer {
	uint32_t id;                  /* your number for it */
	struct ipsec_address local;   /* our address, from which we speak with it */
	struct ipsec_address remote;  /* its address; family 0: it comes from anywhere, and has to begin */
	struct ipsec_identity local_id, remote_id;
	const void *psk;              /* the pre-shared key, 1 to IPSEC_MAX_PSK bytes; below 16 it can be guessed */
	size_t psk_length;
	struct ipsec_ike_proposal proposals[IPSEC_MAX_PROPOSALS]; /* best first */
	uint32_t lifetime_seconds;    /* of an IKE SA; 0 for eight hours */
	uint16_t dpd_seconds;         /* ask a peer that is silent for so long whether it lives; 0 for never */
	uint8_t nat_traversal;
};

enum ipsec_mode {
	IPSEC_TUNNEL = 0,
	IPSEC_TRANSPORT = 1,
};

/* What one quick mode negotiates: a pair of ESP SAs for some traffic. */
struct ipsec_child {
	uint32_t id;                  /* your number for it, from 1 on, unique among the children of all peers */
	uint32_t peer;                /* whose child it is */
	struct ipsec_selectors selectors;
	struct ipsec_esp_proposal proposals[IPSEC_MAX_PROPOSALS]; /* best first */
	uint32_t lifetime_seconds;    /* 0 for one hour */
	uint32_t lifetime_kilobytes;  /* 0 for no limit in bytes */
	uint16_t replay_window;       /* packets, 32 to 1024; 0 for 64 */
	uint8_t mode;
	uint8_t pfs;                  /* the group of a Diffie-Hellman of its own */
};

enum ipsec_action {
	IPSEC_POLICY_PROTECT = 1, /* by a child, whose selectors it has */
	IPSEC_POLICY_BYPASS = 2,  /* in clear */
	IPSEC_POLICY_DISCARD = 3,
};

/* A line of the access list. The first that matches decides; what matches none is dropped. */
struct ipsec_policy {
	uint8_t action;
	uint32_t child;                   /* of IPSEC_POLICY_PROTECT */
	struct ipsec_selectors selectors; /* of the others */
};

struct ipsec_config {
	const struct ipsec_peer *peers;
	size_t peer_count;
	const struct ipsec_child *children;
	size_t child_count;
	const struct ipsec_policy *policies;
	size_t policy_count;
	uint16_t path_mtu;                /* bytes of the largest outer packet; 0 for no limit */
};

/* What the library calls. `arg` is handed to both. */
struct ipsec_host {
	/* Fills `bytes` from a cryptographically secure source. It cannot fail: a device that has no randomness yet must
	 * not call the library. */
	void (*random)(void *arg, void *bytes, size_t length);
	/* Takes a line of the log, zero-terminated and without line break; may be null. No line holds a secret. A stranger
	 * can cause one with every datagram: limit what you write. */
	void (*log)(void *arg, const char *line);
	void *arg;
};

/* ---- life ------------------------------------------------------------------------------------- */

/*
 * Wipes `ipsec` and begins. `size` is sizeof(struct ipsec). `host` and `config` are copied, keys and all: they may be
 * on the stack, and wiped afterwards.
 *
 * IPSEC_DONE, or IPSEC_ERR_NULL, _SIZE, _CONFIG, _FULL, _ADDRESS; then `ipsec` is closed.
 */
int ipsec_init(struct ipsec *ipsec, size_t size, const struct ipsec_host *host, const struct ipsec_config *config);

/*
 * Puts another configuration in the place of the one before, at once. SAs go on, but traffic whose line is gone is not
 * carried any more, and SAs of a peer that is gone are not renewed: ipsec_stop() ends them before, and tells the peer. On an
 * error the old configuration stays.
 */
int ipsec_configure(struct ipsec *ipsec, const struct ipsec_config *config);

/*
 * Ends at once and wipes all of the memory: every byte is zero then, keys and pre-shared keys too. The peers are not
 * told; for that, call ipsec_stop() and send what ipsec_poll() has first.
 */
int ipsec_close(struct ipsec *ipsec);

/* ---- packets ---------------------------------------------------------------------------------- */

/* A packet in a buffer of yours. Calls work in place and move its borders. */
struct ipsec_packet {
	uint8_t *buffer;
	size_t size;     /* of the buffer */
	size_t offset;   /* where the packet begins in it */
	size_t length;   /* of the packet */
	uint16_t mtu;    /* out, with IPSEC_TOO_BIG: the largest inner packet that fits, in bytes */
	const char *why; /* out, with IPSEC_DROP: static text for the log; null otherwise */
};

/*
 * An IP packet that is to leave: forwarded, or the router's own. It needs IPSEC_HEADROOM in front and IPSEC_TAILROOM
 * behind. IKE and ESP of the router itself need not come by here; if they do, bypass lines must let them pass.
 *
 * IPSEC_SEND: the packet is an IP packet with ESP in it. IPSEC_HOLD: an SA is being negotiated.
 */
int ipsec_packet_out(struct ipsec *ipsec, uint64_t now, struct ipsec_packet *packet);

/* An IP packet from the outside: ESP, ESP in UDP, or in clear. Fragments of ESP are to be put together before. */
int ipsec_packet_in(struct ipsec *ipsec, uint64_t now, struct ipsec_packet *packet);

/*
 * The payload of a UDP datagram to our port 500 or 4500: IKE, ESP, or a keepalive. The local port of `path` says which
 * of the two it is. ESP in transport mode needs IPSEC_HEADROOM in front of it.
 *
 * IPSEC_DONE: it was taken, or ignored; a line of the log says why. IPSEC_DELIVER, IPSEC_DROP: it held a packet.
 */
int ipsec_datagram_in(struct ipsec *ipsec, uint64_t now, const struct ipsec_path *path, struct ipsec_packet *datagram);

/*
 * Writes to `reply` the ICMP error that tells the sender of a packet found IPSEC_TOO_BIG what would fit. `own` is an
 * address of the router on the inside. 1280 bytes are enough. Its length; 0 where no error may be sent.
 */
size_t ipsec_too_big(const struct ipsec_packet *packet, const struct ipsec_address *own, uint8_t *reply, size_t size);

/* ---- what is to be done ----------------------------------------------------------------------- */

/* A datagram to send by UDP. */
struct ipsec_datagram {
	struct ipsec_path path;
	const uint8_t *data; /* lent until the next call */
	size_t length;
};

/* The next datagram: IPSEC_MORE, or IPSEC_DONE if there is none. */
int ipsec_poll(struct ipsec *ipsec, struct ipsec_datagram *datagram);

enum ipsec_event_kind {
	IPSEC_PEER_UP = 1,    /* phase 1 is done: the peer is authenticated */
	IPSEC_PEER_DOWN = 2,  /* an IKE SA ended; after a renewal the peer has another */
	IPSEC_PEER_MOVED = 3, /* its NAT shows it at another address or port */
	IPSEC_CHILD_UP = 4,   /* traffic can be sent, or goes by new keys now: send what was held */
	IPSEC_CHILD_DOWN = 5, /* a pair of SAs ended; after a renewal the child has another */
	IPSEC_FAILED = 6,     /* an exchange failed; `text` says what did not match */
	IPSEC_HINT = 7,       /* a notify that proves nothing, and may explain something */
};

struct ipsec_event {
	uint32_t kind;
	uint32_t peer;             /* your numbers; 0 where there is none */
	uint32_t child;
	uint32_t spi_in, spi_out;  /* of a child's SAs */
	char text[IPSEC_MAX_TEXT]; /* the event as a line for the log, zero-terminated */
};

/* The next event: IPSEC_MORE, or IPSEC_DONE if there is none. Events wait with what they are about; they do not overflow. */
int ipsec_event(struct ipsec *ipsec, uint64_t now, struct ipsec_event *event);

#define IPSEC_NEVER UINT64_MAX

/* When ipsec_timeout() wants to be called next; IPSEC_NEVER if not at all. */
uint64_t ipsec_deadline(const struct ipsec *ipsec);

/* The time has come. Does no harm before. */
int ipsec_timeout(struct ipsec *ipsec, uint64_t now);

/*
 * Computes for at most `budget` modular multiplications, one of which takes a Cortex-M4 some 75 000 instructions with
 * IPSEC_MODP2048; a curve is not divided. IPSEC_MORE while there is something left.
 */
int ipsec_work(struct ipsec *ipsec, uint64_t now, uint32_t budget);

/* ---- requests ---------------------------------------------------------------------------------
 * Traffic begins a tunnel by itself, and lifetimes renew it; these are for a router's command line. */

/* Sets a child up, and phase 1 before it where it is needed. Does no harm while it is up. */
int ipsec_start(struct ipsec *ipsec, uint64_t now, uint32_t child);

/* Renews the SAs of a child: the new ones are up before the old ones go. */
int ipsec_renew(struct ipsec *ipsec, uint64_t now, uint32_t child);

/* Ends everything with a peer, and tells it. */
int ipsec_stop(struct ipsec *ipsec, uint64_t now, uint32_t peer);

struct ipsec_stats {
	uint64_t sealed, opened, passed, held, dropped; /* packets */
	uint32_t ike_sas, child_sas, exchanges;         /* in use now */
};

int ipsec_stats(const struct ipsec *ipsec, struct ipsec_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
