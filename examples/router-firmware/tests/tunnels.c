/* Two ends over the C interface: what a tunnel has to do, and what it must not. */
#include "pair.h"

static struct pair pair;

/* Both open, and a tunnel between them that traffic asked for. */
static void up(void)
{
	uint8_t buffer[ROOM];
	struct ipsec_packet packet = pair_packet(buffer, true);

	pair_open(&pair);
	CHECK_IS(ipsec_packet_out(&pair.a.ipsec, pair.now, &packet), IPSEC_HOLD);
	pair_run(&pair, 1000);
	CHECK_IS(pair.a.events[IPSEC_CHILD_UP], 1);
	CHECK_IS(pair.b.events[IPSEC_CHILD_UP], 1);
	CHECK_IS(pair_send(&pair, true), IPSEC_DELIVER);
	CHECK_IS(pair_send(&pair, false), IPSEC_DELIVER);
}

static void close_both(void)
{
	CHECK_IS(ipsec_close(&pair.a.ipsec), IPSEC_DONE);
	CHECK_IS(ipsec_close(&pair.b.ipsec), IPSEC_DONE);
	CHECK(all_zero(&pair.a.ipsec) && all_zero(&pair.b.ipsec));
}

/* Before there is an SA a packet is held: untouched, as often as it is tried, and nothing but IKE leaves. */
static void traffic_is_held_before_there_is_an_sa(void)
{
	uint8_t buffer[ROOM], before[ROOM];
	struct ipsec_stats stats;

	pair_configure(&pair);
	pair_open(&pair);
	struct ipsec_packet packet = pair_packet(buffer, true);
	memcpy(before, buffer, sizeof before);
	for (int i = 0; i < 3; i++) {
		CHECK_IS(ipsec_packet_out(&pair.a.ipsec, pair.now, &packet), IPSEC_HOLD);
		CHECK_IS(packet.offset, IPSEC_HEADROOM);
		CHECK(memcmp(before, buffer, packet.offset + packet.length) == 0);
	}
	/* What comes in clear and should have been protected is dropped. */
	struct ipsec_packet clear = pair_packet(buffer, false);
	CHECK_IS(ipsec_packet_in(&pair.a.ipsec, pair.now, &clear), IPSEC_DROP);
	CHECK(strstr(clear.why, "clear") != NULL);
	/* And what no policy knows. */
	packet = pair_packet(buffer, true);
	buffer[packet.offset + 12] = 11;
	CHECK_IS(ipsec_packet_out(&pair.a.ipsec, pair.now, &packet), IPSEC_DROP);

	pair_run(&pair, 1000);
	CHECK_IS(pair.a.datagrams, 5);
	CHECK_IS(pair.b.datagrams, 4);
	CHECK_IS(pair_send(&pair, true), IPSEC_DELIVER);
	CHECK_IS(ipsec_stats(&pair.a.ipsec, &stats), IPSEC_DONE);
	CHECK_IS(stats.held, 3);
	CHECK_IS(stats.sealed, 1);
	CHECK_IS(stats.child_sas, 1);
	close_both();
}

static void a_replayed_or_changed_packet_is_dropped(void)
{
	uint8_t buffer[ROOM], copy[ROOM];

	pair_configure(&pair);
	up();
	struct ipsec_packet packet = pair_packet(buffer, true);
	CHECK_IS(ipsec_packet_out(&pair.a.ipsec, pair.now, &packet), IPSEC_SEND);
	memcpy(copy, buffer, sizeof copy);
	struct ipsec_packet again = packet, changed = packet;
	changed.buffer = again.buffer = copy;
	copy[changed.offset + changed.length - 1] ^= 1;
	CHECK_IS(ipsec_packet_in(&pair.b.ipsec, pair.now, &changed), IPSEC_DROP);
	CHECK(strstr(changed.why, "integrity") != NULL);
	copy[again.offset + again.length - 1] ^= 1;
	CHECK_IS(ipsec_packet_in(&pair.b.ipsec, pair.now, &packet), IPSEC_DELIVER);
	CHECK_IS(ipsec_packet_in(&pair.b.ipsec, pair.now, &again), IPSEC_DROP);
	CHECK(strstr(again.why, "replay") != NULL);
	close_both();
}

/* Whatever comes from outside is answered by a verdict, and the tunnel lives on. */
static void strangers_change_nothing(void)
{
	static const uint8_t exchanges[] = { 2, 4, 5, 32 }; /* main, aggressive, informational, quick */
	uint8_t sealed[ROOM], buffer[ROOM], noise[8];
	struct ipsec_path path;

	pair_configure(&pair);
	up();
	path = (struct ipsec_path){ pair.b.peer.local, pair.b.peer.remote, 500, 500 };
	struct ipsec_packet genuine = pair_packet(sealed, true);
	CHECK_IS(ipsec_packet_out(&pair.a.ipsec, pair.now, &genuine), IPSEC_SEND);
	for (int i = 0; i < 20000; i++) {
		test_host.random(NULL, noise, sizeof noise);
		struct ipsec_packet packet = genuine;
		packet.buffer = buffer;
		memcpy(buffer, sealed, sizeof buffer);
		/* A packet with a bit of it changed, the lower half of them cut. */
		size_t at = packet.offset + (noise[0] + 256u * noise[1]) % packet.length;
		buffer[at] ^= (uint8_t)(1 << noise[2] % 8);
		if (noise[3] < 128)
			packet.length = noise[4] % packet.length;
		int result = ipsec_packet_in(&pair.b.ipsec, pair.now, &packet);
		CHECK(result == IPSEC_DROP || (result == IPSEC_DELIVER && at < genuine.offset + 20));
		/* A message with a header that could be, and noise in it. */
		path.local_port = noise[5] % 2 ? 500 : 4500;
		test_host.random(NULL, buffer, sizeof buffer);
		uint8_t *message = buffer + (path.local_port == 500 ? 0 : 4);
		size_t length = 28u + noise[6];
		if (path.local_port != 500)
			memset(buffer, 0, 4);
		memset(message + 8, 0, noise[7] % 2 ? 8 : 0);
		message[16] = noise[7] % 16;
		message[17] = 0x10;
		message[18] = exchanges[noise[3] % 4];
		message[19] = noise[4] % 2;
		message[24] = message[25] = 0;
		message[26] = (uint8_t)(length >> 8);
		message[27] = (uint8_t)length;
		packet = (struct ipsec_packet){ buffer, ROOM, 0, length + (size_t)(message - buffer), 0, NULL };
		CHECK_IS(ipsec_datagram_in(&pair.b.ipsec, pair.now, &path, &packet), IPSEC_DONE);
		pair.now++;
	}
	pair_run(&pair, 60000);
	CHECK_IS(pair_send(&pair, true), IPSEC_DELIVER);
	CHECK_IS(pair_send(&pair, false), IPSEC_DELIVER);
	CHECK_IS(pair.b.events[IPSEC_CHILD_DOWN], 0);
	close_both();
}

/* Both learn what does not match, each in the way that it can know it. */
static void a_wrong_key_is_named(void)
{
	pair_configure(&pair);
	pair.b.peer.psk = "sixteen bytes and more of a KEY";
	pair_open(&pair);
	CHECK_IS(ipsec_start(&pair.a.ipsec, pair.now, 3), IPSEC_DONE);
	pair_run(&pair, 60000);
	CHECK_IS(pair.a.events[IPSEC_FAILED], 2); /* phase 1, and the child that waited for it */
	CHECK_IS(pair.a.events[IPSEC_PEER_UP], 0);
	CHECK_IS(pair.b.events[IPSEC_PEER_UP], 0);
	CHECK(strstr(pair.b.log, "does not decrypt: often a PSK mismatch") != NULL);
	close_both();
}

static void proposals_that_do_not_match_are_named(void)
{
	pair_configure(&pair);
	pair.b.peer.proposals[0].hash = IPSEC_SHA512;
	pair_open(&pair);
	CHECK_IS(ipsec_start(&pair.a.ipsec, pair.now, 3), IPSEC_DONE);
	pair_run(&pair, 60000);
	CHECK(strstr(pair.b.failure, "hash: ours SHA-512, theirs SHA-256") != NULL);
	close_both();
}

static void keys_are_renewed(void)
{
	pair_configure(&pair);
	up();
	CHECK_IS(ipsec_renew(&pair.a.ipsec, pair.now, 3), IPSEC_DONE);
	for (int i = 0; i < 60; i++) {
		pair_run(&pair, 1000);
		CHECK_IS(pair_send(&pair, true), IPSEC_DELIVER);
		CHECK_IS(pair_send(&pair, false), IPSEC_DELIVER);
	}
	CHECK_IS(pair.a.events[IPSEC_CHILD_UP], 2);
	CHECK_IS(pair.b.events[IPSEC_CHILD_UP], 2);
	CHECK_IS(pair.a.events[IPSEC_CHILD_DOWN], 1);
	CHECK_IS(pair.b.events[IPSEC_CHILD_DOWN], 1);
	close_both();
}

/* Half an hour: IKE SAs of ten minutes, children of three, and each second a packet that passes. */
static void lifetimes_end_and_traffic_goes_on(void)
{
	pair_configure(&pair);
	pair.a.peer.lifetime_seconds = pair.b.peer.lifetime_seconds = 600;
	pair.a.child.lifetime_seconds = pair.b.child.lifetime_seconds = 180;
	up();
	for (int i = 0; i < 1800; i++) {
		pair_run(&pair, 1000);
		CHECK_IS(pair_send(&pair, i % 2 == 0), IPSEC_DELIVER);
	}
	CHECK(pair.a.events[IPSEC_CHILD_UP] >= 10);
	CHECK(pair.a.events[IPSEC_PEER_UP] >= 3);
	CHECK_IS(pair.a.events[IPSEC_FAILED] + pair.b.events[IPSEC_FAILED], 0);
	close_both();
}

static void an_end_stops_and_begins_anew(void)
{
	uint8_t buffer[ROOM];

	pair_configure(&pair);
	up();
	CHECK_IS(ipsec_stop(&pair.a.ipsec, pair.now, 7), IPSEC_DONE);
	pair_run(&pair, 10000);
	CHECK_IS(pair.a.events[IPSEC_CHILD_DOWN], 1);
	CHECK_IS(pair.b.events[IPSEC_CHILD_DOWN], 1);
	CHECK_IS(pair.b.events[IPSEC_PEER_DOWN], 1);
	struct ipsec_packet packet = pair_packet(buffer, true);
	CHECK_IS(ipsec_packet_out(&pair.a.ipsec, pair.now, &packet), IPSEC_HOLD);
	pair_run(&pair, 1000);
	CHECK_IS(pair_send(&pair, true), IPSEC_DELIVER);
	close_both();
}

/* close_both() looks at every byte. */
static void memory_is_wiped(void)
{
	pair_configure(&pair);
	up();
	CHECK(!all_zero(&pair.a.ipsec));
	close_both();
	/* In the middle of a computation, too. */
	pair_configure(&pair);
	pair.a.peer.proposals[0].group = IPSEC_MODP2048;
	pair_open(&pair);
	CHECK_IS(ipsec_start(&pair.a.ipsec, pair.now, 3), IPSEC_DONE);
	close_both();
}

static void udp_encapsulation(void)
{
	uint8_t buffer[ROOM];

	pair_configure(&pair);
	pair.a.peer.nat_traversal = pair.b.peer.nat_traversal = IPSEC_NAT_FORCE;
	up();
	struct ipsec_packet packet = pair_packet(buffer, true);
	CHECK_IS(ipsec_packet_out(&pair.a.ipsec, pair.now, &packet), IPSEC_SEND);
	CHECK_IS(packet.buffer[packet.offset + 9], 17);
	/* As a socket sees it: without headers. */
	packet.offset += 28;
	packet.length -= 28;
	struct ipsec_path path = { pair.b.peer.local, pair.b.peer.remote, 4500, 4500 };
	CHECK_IS(ipsec_datagram_in(&pair.b.ipsec, pair.now, &path, &packet), IPSEC_DELIVER);
	CHECK_IS(packet.length, 36);
	close_both();
}

static void outside_over_ipv6(void)
{
	static const struct ipsec_address a = { IPSEC_IPV6, { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } };
	static const struct ipsec_address b = { IPSEC_IPV6, { 0x20, 0x01, 0x0d, 0xb8, [15] = 2 } };
	uint8_t buffer[ROOM];

	pair_configure(&pair);
	pair.a.peer.local = pair.b.peer.remote = a;
	pair.a.peer.remote = pair.b.peer.local = b;
	up();
	struct ipsec_packet packet = pair_packet(buffer, true);
	CHECK_IS(ipsec_packet_out(&pair.a.ipsec, pair.now, &packet), IPSEC_SEND);
	CHECK_IS(packet.buffer[packet.offset] >> 4, 6);
	CHECK(memcmp(packet.buffer + packet.offset + 8, a.bytes, 16) == 0);
	CHECK(memcmp(packet.buffer + packet.offset + 24, b.bytes, 16) == 0);
	close_both();
}

static void a_packet_too_big_is_answered(void)
{
	uint8_t buffer[ROOM], reply[1280];
	struct ipsec_address own = IPSEC_ADDRESS4(10, 1, 0, 1);

	pair_configure(&pair);
	pair.a.config.path_mtu = 600;
	up();
	struct ipsec_packet packet = pair_packet(buffer, true);
	memset(buffer + IPSEC_HEADROOM + packet.length, 0, 600);
	packet.length = 600;
	buffer[IPSEC_HEADROOM + 2] = 600 >> 8;
	buffer[IPSEC_HEADROOM + 3] = 600 & 255;
	buffer[IPSEC_HEADROOM + 6] = 0x40; /* don't fragment */
	CHECK_IS(ipsec_packet_out(&pair.a.ipsec, pair.now, &packet), IPSEC_TOO_BIG);
	CHECK(packet.mtu > 500 && packet.mtu < 600);
	size_t length = ipsec_too_big(&packet, &own, reply, sizeof reply);
	CHECK(length >= 56);
	CHECK_IS(reply[20], 3); /* destination unreachable, fragmentation needed */
	CHECK_IS(reply[21], 4);
	CHECK_IS(reply[26] << 8 | reply[27], packet.mtu);
	CHECK_IS(reply[19], 2); /* to 10.1.0.2 */
	close_both();
}

/* Names as identities, and a peer that comes from anywhere. */
static void a_peer_from_anywhere(void)
{
	pair_configure(&pair);
	pair.b.peer.remote.family = 0;
	pair.a.peer.local_id = (struct ipsec_identity){ IPSEC_ID_FQDN, "branch.example", 14 };
	pair.b.peer.remote_id = pair.a.peer.local_id;
	up();
	/* It cannot be called; it has to begin. */
	CHECK_IS(ipsec_stop(&pair.a.ipsec, pair.now, 7), IPSEC_DONE);
	pair_run(&pair, 10000);
	CHECK_IS(ipsec_start(&pair.b.ipsec, pair.now, 3), IPSEC_ERR_UNKNOWN);
	close_both();
}

static void another_configuration_takes_over(void)
{
	pair_configure(&pair);
	up();
	CHECK_IS(ipsec_configure(&pair.a.ipsec, &pair.a.config), IPSEC_DONE);
	CHECK_IS(pair_send(&pair, true), IPSEC_DELIVER);
	/* Without the peer nothing of it is left. */
	struct ipsec_config nothing = { 0 };
	CHECK_IS(ipsec_configure(&pair.a.ipsec, &nothing), IPSEC_DONE);
	uint8_t buffer[ROOM];
	struct ipsec_packet packet = pair_packet(buffer, true);
	CHECK_IS(ipsec_packet_out(&pair.a.ipsec, pair.now, &packet), IPSEC_DROP);
	struct ipsec_stats stats;
	pair_run(&pair, 36000000);
	CHECK_IS(ipsec_stats(&pair.a.ipsec, &stats), IPSEC_DONE);
	CHECK_IS(stats.ike_sas, 0);
	CHECK_IS(stats.child_sas, 0);
	close_both();
}

void test_tunnels(void)
{
	traffic_is_held_before_there_is_an_sa();
	a_replayed_or_changed_packet_is_dropped();
	strangers_change_nothing();
	a_wrong_key_is_named();
	proposals_that_do_not_match_are_named();
	keys_are_renewed();
	lifetimes_end_and_traffic_goes_on();
	an_end_stops_and_begins_anew();
	memory_is_wiped();
	udp_encapsulation();
	outside_over_ipv6();
	a_packet_too_big_is_answered();
	a_peer_from_anywhere();
	another_configuration_takes_over();
}
