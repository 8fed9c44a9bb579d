/* The little of IP and UDP that IKE needs: headers read and written. A firmware with a network stack uses that. */
#ifndef NET_H
#define NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipsec.h"

#define NET_ICMP 1
#define NET_UDP 17
#define NET_ESP 50

/* What net_udp_write() puts in front: IPv6 and UDP. */
#define NET_HEADERS 48

/* Copies bytes that do not overlap; there may be no C library. */
static inline void net_copy(uint8_t *to, const uint8_t *from, size_t length)
{
	while (length-- > 0)
		*to++ = *from++;
}

/* The protocol of an IP packet, behind no extension headers; 0 if it is none. */
uint8_t net_protocol(const uint8_t *packet, size_t length);

/*
 * Whether an IP packet, not a fragment, is a whole UDP datagram to `own`: then the path it came along, and where in the
 * packet its payload lies.
 */
bool net_udp_read(const uint8_t *packet, size_t length, const struct ipsec_address *own, struct ipsec_path *path,
                  size_t *payload, size_t *payload_length);

/*
 * Writes IP and UDP headers along `path` and `length` bytes behind them; the length of the packet, 0 if it has no room.
 */
size_t net_udp_write(uint8_t *packet, size_t room, const struct ipsec_path *path, const uint8_t *payload, size_t length);

/* The Internet checksum (RFC 1071), going on from `sum`; net_checksum_end() makes it what stands in a header. */
uint32_t net_checksum(uint32_t sum, const uint8_t *bytes, size_t length);
uint16_t net_checksum_end(uint32_t sum);

#endif
