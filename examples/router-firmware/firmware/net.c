#include "net.h"

enum { IPV4_HEADER = 20, IPV6_HEADER = 40, UDP_HEADER = 8, HOPS = 64 };

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static size_t address_length(const struct ipsec_address *address)
{
	return address->family == IPSEC_IPV4 ? 4 : 16;
}

uint8_t net_protocol(const uint8_t *packet, size_t length)
{
	if (length >= IPV4_HEADER && packet[0] >> 4 == 4)
		return packet[9];
	if (length >= IPV6_HEADER && packet[0] >> 4 == 6)
		return packet[6];
	return 0;
}

/* Length of the IP header and of all of the packet; false if it is none, or a fragment. */
static bool measure(const uint8_t *packet, size_t length, size_t *header, size_t *total)
{
	if (length >= IPV4_HEADER && packet[0] >> 4 == 4) {
		*header = (size_t)(packet[0] & 15) * 4;
		*total = get16(packet + 2);
		return *header >= IPV4_HEADER && *header <= *total && *total <= length &&
		       (get16(packet + 6) & 0x3fff) == 0;
	}
	if (length >= IPV6_HEADER && packet[0] >> 4 == 6) {
		*header = IPV6_HEADER;
		*total = IPV6_HEADER + (size_t)get16(packet + 4);
		return *total <= length;
	}
	return false;
}

bool net_udp_read(const uint8_t *packet, size_t length, const struct ipsec_address *own, struct ipsec_path *path,
                  size_t *payload, size_t *payload_length)
{
	size_t header, total;

	if (net_protocol(packet, length) != NET_UDP || !measure(packet, length, &header, &total))
		return false;
	const uint8_t *udp = packet + header;
	if (total - header < UDP_HEADER || get16(udp + 4) < UDP_HEADER || get16(udp + 4) > total - header)
		return false;

	bool v4 = packet[0] >> 4 == 4;
	struct ipsec_address local = { .family = v4 ? IPSEC_IPV4 : IPSEC_IPV6 }, remote = local;
	size_t bytes = address_length(&local);
	const uint8_t *source = packet + (v4 ? 12 : 8);
	net_copy(remote.bytes, source, bytes);
	net_copy(local.bytes, source + bytes, bytes);
	if (local.family != own->family)
		return false;
	for (size_t i = 0; i < bytes; i++)
		if (local.bytes[i] != own->bytes[i])
			return false;
	*path = (struct ipsec_path){ local, remote, get16(udp + 2), get16(udp) };
	*payload = header + UDP_HEADER;
	*payload_length = get16(udp + 4) - (size_t)UDP_HEADER;
	return true;
}

size_t net_udp_write(uint8_t *packet, size_t room, const struct ipsec_path *path, const uint8_t *payload, size_t length)
{
	bool v4 = path->local.family == IPSEC_IPV4;
	size_t header = v4 ? IPV4_HEADER : IPV6_HEADER, bytes = address_length(&path->local);
	size_t udp_length = UDP_HEADER + length, total = header + udp_length;

	if (length > UINT16_MAX || total > UINT16_MAX || total > room)
		return 0;
	for (size_t i = 0; i < header; i++)
		packet[i] = 0;
	uint8_t *source = packet + (v4 ? 12 : 8), *udp = packet + header;
	net_copy(source, path->local.bytes, bytes);
	net_copy(source + bytes, path->remote.bytes, bytes);
	if (v4) {
		packet[0] = 4 << 4 | IPV4_HEADER / 4;
		put16(packet + 2, (uint16_t)total);
		packet[8] = HOPS;
		packet[9] = NET_UDP;
		put16(packet + 10, net_checksum_end(net_checksum(0, packet, IPV4_HEADER)));
	} else {
		packet[0] = 6 << 4;
		put16(packet + 4, (uint16_t)udp_length);
		packet[6] = NET_UDP;
		packet[7] = HOPS;
	}
	put16(udp, path->local_port);
	put16(udp + 2, path->remote_port);
	put16(udp + 4, (uint16_t)udp_length);
	put16(udp + 6, 0);
	net_copy(udp + UDP_HEADER, payload, length);
	/* The pseudo header: both addresses, the protocol and the length (RFC 768, RFC 8200 section 8.1). */
	uint32_t sum = net_checksum((uint32_t)(NET_UDP + udp_length), source, 2 * bytes);
	uint16_t checksum = net_checksum_end(net_checksum(sum, udp, udp_length));
	put16(udp + 6, checksum == 0 ? 0xffff : checksum);
	return total;
}

uint32_t net_checksum(uint32_t sum, const uint8_t *bytes, size_t length)
{
	size_t i;

	for (i = 0; i + 1 < length; i += 2)
		sum += get16(bytes + i);
	return i < length ? sum + (uint32_t)(bytes[i] << 8) : sum;
}

uint16_t net_checksum_end(uint32_t sum)
{
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}
