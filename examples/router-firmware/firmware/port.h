/*
 * What the router needs of its board: a clock, random bytes, a log, and two interfaces that carry whole IP packets.
 * A real port has a network driver behind these, with ARP or neighbour discovery.
 */
#ifndef PORT_H
#define PORT_H

#include <stddef.h>
#include <stdint.h>

struct port; /* the board's own */

enum port_side {
	PORT_INSIDE,
	PORT_OUTSIDE,
};

/* Milliseconds since the board came up. */
uint64_t port_clock(const struct port *port);

/* Fills `bytes` from the board's random number generator. `port` is a struct port: these two are callbacks. */
void port_random(void *port, void *bytes, size_t length);

/* Takes a line of the log. */
void port_log(void *port, const char *line);

/* The next IP packet that came in on a side, of at most `room` bytes; its length, 0 if there is none. */
size_t port_receive(struct port *port, enum port_side side, uint8_t *packet, size_t room);

/* Sends an IP packet on a side. */
void port_send(struct port *port, enum port_side side, const uint8_t *packet, size_t length);

#endif
