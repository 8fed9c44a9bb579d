/* Two ends that talk to each other, on a clock of their own. */
#ifndef PAIR_H
#define PAIR_H

#include <stdbool.h>
#include <string.h>

#include "check.h"
#include "ipsec.h"

#define ROOM 1500

/* One end, and what it has said. */
struct end {
	struct ipsec ipsec;
	struct ipsec_peer peer;
	struct ipsec_child child;
	struct ipsec_policy policy;
	struct ipsec_config config;
	unsigned datagrams;
	unsigned events[8]; /* how many of each type */
	char failure[IPSEC_MAX_TEXT], log[IPSEC_MAX_TEXT];
};

struct pair {
	struct end a, b;
	uint64_t now;
};

extern const struct ipsec_host test_host; /* its `arg` is to be an end */

/* The configurations of 192.0.2.1 with 10.1.0.0/24 and 192.0.2.2 with 10.2.0.0/24. */
void pair_configure(struct pair *pair);

/* Initialises both. */
void pair_open(struct pair *pair);

/* Until both have nothing left to do for so long. */
void pair_run(struct pair *pair, uint64_t milliseconds);

/* A UDP packet from 10.1.0.2 to 10.2.0.2, or the other way, to be sent by `from`; its length, and where it begins. */
struct ipsec_packet pair_packet(uint8_t buffer[ROOM], bool a_to_b);

/* Sends a packet and hands what came of it to the other end; what that one says. */
int pair_send(struct pair *pair, bool a_to_b);

bool all_zero(const struct ipsec *ipsec);

#endif
