/* A router with an inside, an outside, and IPsec between them: what a superloop does in one round. */
#ifndef ROUTER_H
#define ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipsec.h"
#include "port.h"

#define ROUTER_MTU 1500 /* bytes of the largest packet of either side */
#define ROUTER_HELD 4   /* packets that may wait for an SA */
#define ROUTER_WORK 16  /* modular multiplications a round: about 9 ms at 168 MHz */

struct router_held {
	uint16_t length;
	uint8_t bytes[ROUTER_MTU];
};

struct router {
	struct ipsec vpn;
	struct port *port;
	struct ipsec_address outside, inside; /* our own addresses */
	struct router_held held[ROUTER_HELD]; /* from `first` on, round and round */
	unsigned first, waiting;
	uint8_t buffer[IPSEC_HEADROOM + ROUTER_MTU + IPSEC_TAILROOM];
};

/* IPSEC_DONE, or why it cannot begin. */
int router_init(struct router *router, struct port *port, const struct ipsec_config *config,
                const struct ipsec_address *outside, const struct ipsec_address *inside);

/* One round of the superloop: at most a packet of each side. Whether there was anything to do. */
bool router_round(struct router *router);

/* When router_round() has something to do, should nothing come in before; IPSEC_NEVER if nothing. */
uint64_t router_deadline(const struct router *router);

#endif
