/* A caller's mistakes are answered by an error, and nothing happens. */
#include "pair.h"

static struct pair pair;

/* Opens one end with a changed configuration; what is said to it. */
static int open_with(const struct ipsec_config *config)
{
	struct ipsec_host host = test_host;

	host.arg = &pair.a;
	return ipsec_init(&pair.a.ipsec, sizeof pair.a.ipsec, &host, config);
}

static void null_pointers(void)
{
	struct ipsec *ipsec = &pair.a.ipsec;
	struct ipsec_host host = test_host;
	struct ipsec_event event;
	struct ipsec_datagram datagram;
	struct ipsec_stats stats;
	struct ipsec_path path = { pair.a.peer.local, pair.a.peer.remote, 500, 500 };
	struct ipsec_packet packet = { NULL, 100, 0, 10, 0, NULL };

	host.arg = &pair.a;
	CHECK_IS(ipsec_init(NULL, sizeof *ipsec, &host, &pair.a.config), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_init(ipsec, sizeof *ipsec, NULL, &pair.a.config), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_init(ipsec, sizeof *ipsec, &host, NULL), IPSEC_ERR_NULL);
	host.random = NULL;
	CHECK_IS(ipsec_init(ipsec, sizeof *ipsec, &host, &pair.a.config), IPSEC_ERR_NULL);
	host = (struct ipsec_host){ test_host.random, NULL, NULL };
	CHECK_IS(ipsec_init(ipsec, sizeof *ipsec, &host, &pair.a.config), IPSEC_DONE);

	CHECK_IS(ipsec_configure(ipsec, NULL), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_packet_out(ipsec, 0, NULL), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_packet_out(ipsec, 0, &packet), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_packet_in(ipsec, 0, NULL), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_packet_in(ipsec, 0, &packet), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_datagram_in(ipsec, 0, NULL, &packet), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_datagram_in(ipsec, 0, &path, &packet), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_datagram_in(ipsec, 0, &path, NULL), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_poll(ipsec, NULL), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_event(ipsec, 0, NULL), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_stats(ipsec, NULL), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_too_big(NULL, NULL, NULL, 0), 0);

	CHECK_IS(ipsec_configure(NULL, &pair.a.config), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_packet_out(NULL, 0, &packet), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_packet_in(NULL, 0, &packet), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_datagram_in(NULL, 0, &path, &packet), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_poll(NULL, &datagram), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_event(NULL, 0, &event), IPSEC_ERR_NULL);
	CHECK(ipsec_deadline(NULL) == IPSEC_NEVER);
	CHECK_IS(ipsec_timeout(NULL, 0), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_work(NULL, 0, 1), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_start(NULL, 0, 3), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_renew(NULL, 0, 3), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_stop(NULL, 0, 7), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_stats(NULL, &stats), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_close(NULL), IPSEC_ERR_NULL);
	CHECK_IS(ipsec_close(ipsec), IPSEC_DONE);
}

static void closed(void)
{
	struct ipsec *ipsec = &pair.a.ipsec;
	struct ipsec_event event;
	struct ipsec_datagram datagram;
	uint8_t buffer[ROOM];
	struct ipsec_packet packet = pair_packet(buffer, true);

	memset(ipsec, 0, sizeof *ipsec);
	CHECK_IS(ipsec_packet_out(ipsec, 0, &packet), IPSEC_ERR_CLOSED);
	CHECK_IS(ipsec_event(ipsec, 0, &event), IPSEC_ERR_CLOSED);
	CHECK_IS(ipsec_poll(ipsec, &datagram), IPSEC_ERR_CLOSED);
	CHECK_IS(ipsec_close(ipsec), IPSEC_ERR_CLOSED);
	CHECK(ipsec_deadline(ipsec) == IPSEC_NEVER);
	CHECK_IS(open_with(&pair.a.config), IPSEC_DONE);
	CHECK_IS(ipsec_close(ipsec), IPSEC_DONE);
	CHECK_IS(ipsec_close(ipsec), IPSEC_ERR_CLOSED);
}

static void wrong_memory(void)
{
	struct ipsec_host host = test_host;
	struct ipsec *shifted = (void *)(pair.a.ipsec.opaque + 1);

	host.arg = &pair.a;
	CHECK_IS(ipsec_init(&pair.a.ipsec, sizeof pair.a.ipsec - 1, &host, &pair.a.config), IPSEC_ERR_SIZE);
	CHECK_IS(ipsec_init(&pair.a.ipsec, sizeof pair.a.ipsec + 1, &host, &pair.a.config), IPSEC_ERR_SIZE);
	CHECK_IS(ipsec_init(&pair.a.ipsec, 0, &host, &pair.a.config), IPSEC_ERR_SIZE);
	CHECK_IS(ipsec_init(shifted, IPSEC_SIZE, &host, &pair.a.config), IPSEC_ERR_SIZE);
	CHECK_IS(ipsec_close(shifted), IPSEC_ERR_SIZE);
}

static void packets_outside_of_their_buffer(void)
{
	static const size_t wrong[][3] = { /* size, offset, length */
		{ 100, 0, 101 }, { 100, 101, 0 }, { 100, 60, 41 }, { 100, SIZE_MAX, 2 }, { 100, 1, SIZE_MAX }, { 0, 0, 1 },
	};
	uint8_t buffer[ROOM] = { 0 };
	struct ipsec_path path = { pair.a.peer.local, pair.a.peer.remote, 4500, 4500 };

	CHECK_IS(open_with(&pair.a.config), IPSEC_DONE);
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		struct ipsec_packet packet = { buffer, wrong[i][0], wrong[i][1], wrong[i][2], 0, NULL };
		CHECK_IS(ipsec_packet_out(&pair.a.ipsec, 0, &packet), IPSEC_ERR_BUFFER);
		CHECK_IS(ipsec_packet_in(&pair.a.ipsec, 0, &packet), IPSEC_ERR_BUFFER);
		CHECK_IS(ipsec_datagram_in(&pair.a.ipsec, 0, &path, &packet), IPSEC_ERR_BUFFER);
		CHECK_IS(ipsec_too_big(&packet, &pair.a.peer.local, buffer, sizeof buffer), 0);
	}
	struct ipsec_packet endless = { buffer, SIZE_MAX, 0, 1, 0, NULL };
	CHECK_IS(ipsec_packet_out(&pair.a.ipsec, 0, &endless), IPSEC_ERR_SIZE);

	/* Nothing at all is no mistake of the caller's, and no packet. */
	struct ipsec_packet empty = { NULL, 0, 0, 0, 0, NULL };
	CHECK_IS(ipsec_packet_out(&pair.a.ipsec, 0, &empty), IPSEC_DROP);
	CHECK(empty.why != NULL);
	CHECK_IS(ipsec_datagram_in(&pair.a.ipsec, 0, &path, &empty), IPSEC_DONE);
	CHECK_IS(ipsec_close(&pair.a.ipsec), IPSEC_DONE);
}

static void addresses(void)
{
	uint8_t buffer[ROOM] = { 0 };
	struct ipsec_packet packet = { buffer, sizeof buffer, 0, 28, 0, NULL };
	struct ipsec_path path = { pair.a.peer.local, { .family = IPSEC_IPV6 }, 500, 500 };

	CHECK_IS(open_with(&pair.a.config), IPSEC_DONE);
	CHECK_IS(ipsec_datagram_in(&pair.a.ipsec, 0, &path, &packet), IPSEC_ERR_ADDRESS);
	path.remote.family = 0;
	CHECK_IS(ipsec_datagram_in(&pair.a.ipsec, 0, &path, &packet), IPSEC_ERR_ADDRESS);
	path.remote.family = 9;
	CHECK_IS(ipsec_datagram_in(&pair.a.ipsec, 0, &path, &packet), IPSEC_ERR_ADDRESS);
	CHECK_IS(ipsec_close(&pair.a.ipsec), IPSEC_DONE);
}

/* A configuration that cannot work leaves closed memory behind, and a running one as it is. */
static void refused(const struct ipsec_config *config, int error)
{
	CHECK_IS(open_with(config), error);
	CHECK(all_zero(&pair.a.ipsec));
	CHECK_IS(open_with(&pair.b.config), IPSEC_DONE);
	CHECK_IS(ipsec_configure(&pair.a.ipsec, config), error);
	CHECK_IS(ipsec_start(&pair.a.ipsec, 0, 3), IPSEC_DONE);
	CHECK_IS(ipsec_close(&pair.a.ipsec), IPSEC_DONE);
}

static void configurations(void)
{
	static struct ipsec_peer peers[IPSEC_MAX_PEERS + 1];
	struct end *a = &pair.a;

#define REFUSED(change, error)              \
	do {                                \
		pair_configure(&pair);      \
		change;                     \
		refused(&a->config, error); \
	} while (0)
	REFUSED(a->peer.psk_length = 0, IPSEC_ERR_CONFIG);
	REFUSED(a->peer.psk = NULL, IPSEC_ERR_NULL);
	REFUSED((a->peer.psk = a->ipsec.opaque, a->peer.psk_length = IPSEC_MAX_PSK + 1), IPSEC_ERR_CONFIG);
	REFUSED(a->peer.proposals[0].cipher = 0, IPSEC_ERR_CONFIG);
	REFUSED(a->peer.proposals[0].cipher = IPSEC_AES128_GCM, IPSEC_ERR_CONFIG);
	REFUSED(a->peer.proposals[0].group = IPSEC_NO_GROUP, IPSEC_ERR_CONFIG);
	REFUSED(a->peer.local.family = 0, IPSEC_ERR_ADDRESS);
	REFUSED(a->peer.nat_traversal = 3, IPSEC_ERR_CONFIG);
	REFUSED(a->peer.lifetime_seconds = 59, IPSEC_ERR_CONFIG);
	REFUSED(a->peer.local_id.kind = IPSEC_ID_FQDN, IPSEC_ERR_CONFIG);
	REFUSED((a->peer.local_id = (struct ipsec_identity){ IPSEC_ID_USER, "\xff", 1 }), IPSEC_ERR_CONFIG);
	REFUSED((a->peer.local_id = (struct ipsec_identity){ 9, "a", 1 }), IPSEC_ERR_CONFIG);
	/* Encryption without integrity, integrity twice. */
	REFUSED(a->child.proposals[0].hash = IPSEC_NO_HASH, IPSEC_ERR_CONFIG);
	REFUSED(a->child.proposals[0].cipher = IPSEC_AES256_GCM, IPSEC_ERR_CONFIG);
	REFUSED(a->child.id = 0, IPSEC_ERR_CONFIG);
	REFUSED(a->child.peer = 8, IPSEC_ERR_UNKNOWN);
	REFUSED(a->child.replay_window = 31, IPSEC_ERR_CONFIG);
	REFUSED(a->child.mode = 2, IPSEC_ERR_CONFIG);
	REFUSED(a->child.selectors.local_prefix = 33, IPSEC_ERR_CONFIG);
	REFUSED(a->policy.child = 4, IPSEC_ERR_UNKNOWN);
	REFUSED(a->policy.action = 0, IPSEC_ERR_CONFIG);
	REFUSED(a->config.policies = NULL, IPSEC_ERR_NULL);
	REFUSED(a->config.policy_count = SIZE_MAX, IPSEC_ERR_SIZE);
	for (uint32_t i = 0; i < IPSEC_MAX_PEERS + 1; i++) {
		peers[i] = a->peer;
		peers[i].id = i + 10;
	}
	REFUSED((a->config.peers = peers, a->config.peer_count = IPSEC_MAX_PEERS + 1), IPSEC_ERR_FULL);
#undef REFUSED
}

static void requests(void)
{
	CHECK_IS(open_with(&pair.a.config), IPSEC_DONE);
	CHECK_IS(ipsec_start(&pair.a.ipsec, 0, 4), IPSEC_ERR_UNKNOWN);
	CHECK_IS(ipsec_renew(&pair.a.ipsec, 0, 3), IPSEC_ERR_UNKNOWN);
	CHECK_IS(ipsec_stop(&pair.a.ipsec, 0, 8), IPSEC_ERR_UNKNOWN);
	CHECK_IS(ipsec_stop(&pair.a.ipsec, 0, 7), IPSEC_DONE);
	CHECK_IS(ipsec_close(&pair.a.ipsec), IPSEC_DONE);
}

static int from_callback;

static void random_that_calls_back(void *arg, void *bytes, size_t length)
{
	test_host.random(arg, bytes, length);
	from_callback = ipsec_timeout(&pair.a.ipsec, 0);
}

static void log_that_calls_back(void *arg, const char *line)
{
	(void)arg, (void)line;
	from_callback = ipsec_timeout(&pair.a.ipsec, 0);
}

static void callbacks_that_call_back(void)
{
	struct ipsec_host host = { random_that_calls_back, NULL, &pair.a };

	CHECK_IS(ipsec_init(&pair.a.ipsec, sizeof pair.a.ipsec, &host, &pair.a.config), IPSEC_DONE);
	CHECK_IS(ipsec_start(&pair.a.ipsec, 0, 3), IPSEC_DONE);
	CHECK_IS(from_callback, IPSEC_ERR_BUSY);
	CHECK_IS(ipsec_close(&pair.a.ipsec), IPSEC_DONE);

	/* While it is being opened, too: a key that can be guessed is worth a line. */
	host = (struct ipsec_host){ test_host.random, log_that_calls_back, &pair.a };
	pair.a.peer.psk_length = 15;
	from_callback = IPSEC_DONE;
	CHECK_IS(ipsec_init(&pair.a.ipsec, sizeof pair.a.ipsec, &host, &pair.a.config), IPSEC_DONE);
	CHECK_IS(from_callback, IPSEC_ERR_BUSY);
	CHECK_IS(ipsec_close(&pair.a.ipsec), IPSEC_DONE);
}

static void errors_have_names(void)
{
	for (int error = IPSEC_ERR_ADDRESS - 1; error <= IPSEC_DROP + 1; error++)
		for (int other = IPSEC_ERR_ADDRESS; other < 0; other++)
			CHECK((strcmp(ipsec_strerror(error), ipsec_strerror(other)) == 0) == (error == other));
}

void test_misuse(void)
{
	pair_configure(&pair);
	null_pointers();
	closed();
	wrong_memory();
	packets_outside_of_their_buffer();
	addresses();
	configurations();
	pair_configure(&pair);
	requests();
	callbacks_that_call_back();
	errors_have_names();
}
