#include "site.h"

/* 32 random bytes in earnest, another 32 for each pair of routers. */
static const char psk[] = "not a key: openssl rand -base64 32";

#define LEFT_OUTSIDE  IPSEC_ADDRESS4(192, 0, 2, 1)
#define LEFT_NETWORK  IPSEC_ADDRESS4(10, 1, 0, 0)
#define RIGHT_OUTSIDE IPSEC_ADDRESS4(192, 0, 2, 2)
#define RIGHT_NETWORK IPSEC_ADDRESS4(10, 2, 0, 0)

/* Both ends differ only in who is local: the rest is said once. */
#define PEER(own, other)                                                         \
	{                                                                        \
		.id = SITE_PEER,                                                 \
		.local = own,                                                    \
		.remote = other,                                                 \
		.psk = psk,                                                      \
		.psk_length = sizeof psk - 1,                                    \
		.proposals = { { IPSEC_AES128, IPSEC_SHA256, IPSEC_MODP2048 } }, \
		.dpd_seconds = 30,                                               \
	}
#define LAN(own, other)                                      \
	{                                                    \
		.id = SITE_LAN,                              \
		.peer = SITE_PEER,                           \
		.selectors = {                               \
			.local = own,                        \
			.local_prefix = 24,                  \
			.remote = other,                     \
			.remote_prefix = 24,                 \
		},                                           \
		.proposals = {                               \
			{ .cipher = IPSEC_AES128_GCM },      \
			{ IPSEC_AES128, IPSEC_SHA256 },      \
		},                                           \
	}

static const struct ipsec_peer left_peer = PEER(LEFT_OUTSIDE, RIGHT_OUTSIDE);
static const struct ipsec_peer right_peer = PEER(RIGHT_OUTSIDE, LEFT_OUTSIDE);
static const struct ipsec_child left_lan = LAN(LEFT_NETWORK, RIGHT_NETWORK);
static const struct ipsec_child right_lan = LAN(RIGHT_NETWORK, LEFT_NETWORK);
static const struct ipsec_policy policy = { .action = IPSEC_POLICY_PROTECT, .child = SITE_LAN };

const struct site site_left = {
	.name = "left",
	.outside = LEFT_OUTSIDE,
	.inside = IPSEC_ADDRESS4(10, 1, 0, 1),
	.station = { 10, 1, 0, 2 },
	.config = {
		.peers = &left_peer, .peer_count = 1,
		.children = &left_lan, .child_count = 1,
		.policies = &policy, .policy_count = 1,
		.path_mtu = 1500,
	},
};

const struct site site_right = {
	.name = "right",
	.outside = RIGHT_OUTSIDE,
	.inside = IPSEC_ADDRESS4(10, 2, 0, 1),
	.station = { 10, 2, 0, 2 },
	.config = {
		.peers = &right_peer, .peer_count = 1,
		.children = &right_lan, .child_count = 1,
		.policies = &policy, .policy_count = 1,
		.path_mtu = 1500,
	},
};
