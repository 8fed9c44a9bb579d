#include "router.h"

#include "net.h"

int router_init(struct router *router, struct port *port, const struct ipsec_config *config,
                const struct ipsec_address *outside, const struct ipsec_address *inside)
{
	const struct ipsec_host host = { .random = port_random, .log = port_log, .arg = port };

	router->port = port;
	router->outside = *outside;
	router->inside = *inside;
	router->first = 0;
	router->waiting = 0;
	return ipsec_init(&router->vpn, sizeof router->vpn, &host, config);
}

/* Keeps a packet until there is an SA for it. When there is no place the oldest goes: its sender has waited longest. */
static void hold(struct router *router, const struct ipsec_packet *packet)
{
	if (router->waiting == ROUTER_HELD) {
		router->first = (router->first + 1) % ROUTER_HELD;
		router->waiting--;
		port_log(router->port, "a held packet makes room for another");
	}
	struct router_held *place = &router->held[(router->first + router->waiting++) % ROUTER_HELD];
	place->length = (uint16_t)packet->length;
	net_copy(place->bytes, packet->buffer + packet->offset, packet->length);
}

/* A packet from the inside, of `length` bytes behind the headroom of our buffer. */
static void from_inside(struct router *router, uint64_t now, size_t length)
{
	struct ipsec_packet packet = {
		.buffer = router->buffer,
		.size = sizeof router->buffer,
		.offset = IPSEC_HEADROOM,
		.length = length,
	};

	switch (ipsec_packet_out(&router->vpn, now, &packet)) {
	case IPSEC_SEND:
	case IPSEC_PASS:
		port_send(router->port, PORT_OUTSIDE, packet.buffer + packet.offset, packet.length);
		break;
	case IPSEC_HOLD:
		hold(router, &packet);
		break;
	case IPSEC_TOO_BIG: {
		uint8_t reply[1280];
		length = ipsec_too_big(&packet, &router->inside, reply, sizeof reply);
		if (length > 0)
			port_send(router->port, PORT_INSIDE, reply, length);
		break;
	}
	default:
		if (packet.why != NULL)
			port_log(router->port, packet.why);
	}
}

/* A packet from the outside, of `length` bytes behind the headroom of our buffer. */
static void from_outside(struct router *router, uint64_t now, size_t length)
{
	struct ipsec_packet packet = {
		.buffer = router->buffer,
		.size = sizeof router->buffer,
		.offset = IPSEC_HEADROOM,
		.length = length,
	};
	struct ipsec_path path;
	size_t payload, payload_length;
	int result;

	if (net_udp_read(packet.buffer + packet.offset, length, &router->outside, &path, &payload, &payload_length) &&
	    (path.local_port == IPSEC_IKE_PORT || path.local_port == IPSEC_NAT_PORT)) {
		packet.offset += payload;
		packet.length = payload_length;
		result = ipsec_datagram_in(&router->vpn, now, &path, &packet);
	} else {
		result = ipsec_packet_in(&router->vpn, now, &packet);
	}
	if (result == IPSEC_DELIVER || result == IPSEC_PASS)
		port_send(router->port, PORT_INSIDE, packet.buffer + packet.offset, packet.length);
	else if (result == IPSEC_DROP)
		port_log(router->port, packet.why);
}

/* Those that still find no SA are held again. */
static void release(struct router *router, uint64_t now)
{
	for (unsigned count = router->waiting; count > 0; count--) {
		const struct router_held *held = &router->held[router->first];
		size_t length = held->length;
		net_copy(router->buffer + IPSEC_HEADROOM, held->bytes, length);
		router->first = (router->first + 1) % ROUTER_HELD;
		router->waiting--;
		from_inside(router, now, length);
	}
}

bool router_round(struct router *router)
{
	uint64_t now = port_clock(router->port);
	bool busy = false;
	size_t length;

	length = port_receive(router->port, PORT_OUTSIDE, router->buffer + IPSEC_HEADROOM, ROUTER_MTU);
	if (length > 0) {
		from_outside(router, now, length);
		busy = true;
	}
	length = port_receive(router->port, PORT_INSIDE, router->buffer + IPSEC_HEADROOM, ROUTER_MTU);
	if (length > 0) {
		from_inside(router, now, length);
		busy = true;
	}
	if (ipsec_deadline(&router->vpn) <= now) {
		ipsec_timeout(&router->vpn, now);
		busy = true;
	}
	if (ipsec_work(&router->vpn, now, ROUTER_WORK) == IPSEC_MORE)
		busy = true;

	/* Events first: with them SAs are installed, and some datagrams wait for that. */
	struct ipsec_event event;
	while (ipsec_event(&router->vpn, now, &event) == IPSEC_MORE) {
		port_log(router->port, event.text);
		if (event.kind == IPSEC_CHILD_UP)
			release(router, now);
		busy = true;
	}
	struct ipsec_datagram datagram;
	while (ipsec_poll(&router->vpn, &datagram) == IPSEC_MORE) {
		length = net_udp_write(router->buffer, sizeof router->buffer, &datagram.path, datagram.data,
		                       datagram.length);
		if (length > 0)
			port_send(router->port, PORT_OUTSIDE, router->buffer, length);
		busy = true;
	}
	return busy;
}

uint64_t router_deadline(const struct router *router)
{
	return ipsec_deadline(&router->vpn);
}
