#include "pair.h"

/* The same numbers in every run: xorshift, for tests alone. */
static void random_bytes(void *arg, void *bytes, size_t length)
{
	static uint64_t state = 0x9e3779b97f4a7c15;
	uint8_t *to = bytes;

	(void)arg;
	while (length-- > 0) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		*to++ = (uint8_t)(state >> 32);
	}
}

static void log_line(void *arg, const char *line)
{
	struct end *end = arg;

	CHECK(memchr(line, '\0', IPSEC_MAX_TEXT) != NULL);
	strcpy(end->log, line);
}

const struct ipsec_host test_host = { .random = random_bytes, .log = log_line };

static void configure(struct end *end, uint8_t own, uint8_t other)
{
	*end = (struct end){
		.peer = {
			.id = 7,
			.local = IPSEC_ADDRESS4(192, 0, 2, own),
			.remote = IPSEC_ADDRESS4(192, 0, 2, other),
			.psk = "sixteen bytes and more of a key",
			.psk_length = 31,
			.proposals = { { IPSEC_AES128, IPSEC_SHA256, IPSEC_CURVE25519 } },
		},
		.child = {
			.id = 3,
			.peer = 7,
			.selectors = {
				.local = IPSEC_ADDRESS4(10, own, 0, 0),
				.local_prefix = 24,
				.remote = IPSEC_ADDRESS4(10, other, 0, 0),
				.remote_prefix = 24,
			},
			.proposals = { { IPSEC_AES128, IPSEC_SHA256, 0 } },
		},
		.policy = { .action = IPSEC_POLICY_PROTECT, .child = 3 },
	};
	end->config = (struct ipsec_config){
		.peers = &end->peer, .peer_count = 1,
		.children = &end->child, .child_count = 1,
		.policies = &end->policy, .policy_count = 1,
	};
}

void pair_configure(struct pair *pair)
{
	configure(&pair->a, 1, 2);
	configure(&pair->b, 2, 1);
	pair->now = 1000;
}

void pair_open(struct pair *pair)
{
	struct ipsec_host host = test_host;

	host.arg = &pair->a;
	CHECK_IS(ipsec_init(&pair->a.ipsec, sizeof pair->a.ipsec, &host, &pair->a.config), IPSEC_DONE);
	host.arg = &pair->b;
	CHECK_IS(ipsec_init(&pair->b.ipsec, sizeof pair->b.ipsec, &host, &pair->b.config), IPSEC_DONE);
}

/* One round of one end; whether it did something. */
static bool drive(struct end *end, struct end *other, uint64_t now)
{
	struct ipsec_event event;
	struct ipsec_datagram datagram;
	bool busy = false;

	if (ipsec_deadline(&end->ipsec) <= now) {
		CHECK_IS(ipsec_timeout(&end->ipsec, now), IPSEC_DONE);
		busy = true;
	}
	while (ipsec_work(&end->ipsec, now, 1000) == IPSEC_MORE)
		busy = true;
	while (ipsec_event(&end->ipsec, now, &event) == IPSEC_MORE) {
		CHECK(event.kind < sizeof end->events / sizeof end->events[0]);
		end->events[event.kind]++;
		if (event.kind == IPSEC_CHILD_UP || event.kind == IPSEC_CHILD_DOWN) {
			CHECK_IS(event.peer, 7);
			CHECK_IS(event.child, 3);
			CHECK(event.spi_in > 255 && event.spi_out > 255);
		}
		if (event.kind == IPSEC_FAILED)
			strcpy(end->failure, event.text);
		busy = true;
	}
	while (ipsec_poll(&end->ipsec, &datagram) == IPSEC_MORE) {
		uint8_t buffer[ROOM];
		struct ipsec_packet packet = { buffer, sizeof buffer, 0, datagram.length, 0, NULL };
		struct ipsec_path path = { datagram.path.remote, datagram.path.local, datagram.path.remote_port,
			                   datagram.path.local_port };

		CHECK(datagram.length <= sizeof buffer);
		memcpy(buffer, datagram.data, datagram.length);
		end->datagrams++;
		CHECK_IS(ipsec_datagram_in(&other->ipsec, now, &path, &packet), IPSEC_DONE);
		busy = true;
	}
	return busy;
}

void pair_run(struct pair *pair, uint64_t milliseconds)
{
	uint64_t end = pair->now + milliseconds;

	for (;;) {
		bool busy = drive(&pair->a, &pair->b, pair->now);
		busy |= drive(&pair->b, &pair->a, pair->now);
		if (busy)
			continue;
		uint64_t next = ipsec_deadline(&pair->a.ipsec), other = ipsec_deadline(&pair->b.ipsec);
		next = other < next ? other : next;
		if (next > end)
			break;
		pair->now = next;
	}
	pair->now = end;
}

struct ipsec_packet pair_packet(uint8_t buffer[ROOM], bool a_to_b)
{
	static const uint8_t udp[] = {
		0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, 2, 10, 2, 0, 2, /* IPv4 */
		0x10, 0, 0x20, 0, 0, 16, 0, 0,                                     /* UDP without checksum */
		'c', 'l', 'e', 'a', 'r', 't', 'x', 't',
	};
	uint8_t *packet = buffer + IPSEC_HEADROOM;
	uint32_t sum = 0;

	memcpy(packet, udp, sizeof udp);
	packet[13] = a_to_b ? 1 : 2;
	packet[17] = a_to_b ? 2 : 1;
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)packet[i] << 8 | packet[i + 1];
	sum = ~((sum & 0xffff) + (sum >> 16));
	packet[10] = (uint8_t)(sum >> 8);
	packet[11] = (uint8_t)sum;
	return (struct ipsec_packet){ buffer, ROOM, IPSEC_HEADROOM, sizeof udp, 0, NULL };
}

int pair_send(struct pair *pair, bool a_to_b)
{
	uint8_t buffer[ROOM], clear[ROOM];
	struct end *from = a_to_b ? &pair->a : &pair->b, *to = a_to_b ? &pair->b : &pair->a;
	struct ipsec_packet packet = pair_packet(buffer, a_to_b);
	size_t length = packet.length;

	memcpy(clear, buffer + packet.offset, length);
	CHECK_IS(ipsec_packet_out(&from->ipsec, pair->now, &packet), IPSEC_SEND);
	/* Nothing of it can be read on the way. */
	for (size_t i = 0; i + 8 <= packet.length; i++)
		CHECK(memcmp(packet.buffer + packet.offset + i, clear + length - 8, 8) != 0);
	int result = ipsec_packet_in(&to->ipsec, pair->now, &packet);
	if (result == IPSEC_DELIVER) {
		CHECK_IS(packet.length, length);
		CHECK(memcmp(packet.buffer + packet.offset, clear, length) == 0);
	}
	return result;
}

bool all_zero(const struct ipsec *ipsec)
{
	for (size_t i = 0; i < sizeof ipsec->opaque; i++)
		if (ipsec->opaque[i] != 0)
			return false;
	return true;
}
