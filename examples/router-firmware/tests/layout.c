#include "layout.h"

#include <stdbool.h>

#include "ipsec.h"

struct place {
	char name[24];
	size_t bytes;
};

/* The library's view, in the order of src/abi.rs. */
extern const struct place ipsec_layout[];

#define SIZE(type) { "sizeof", sizeof(struct type) }
#define FIELD(type, field) { #field, offsetof(struct type, field) }

static const struct place layout[] = {
	SIZE(ipsec_address),
	FIELD(ipsec_address, family),
	FIELD(ipsec_address, bytes),
	SIZE(ipsec_path),
	FIELD(ipsec_path, local),
	FIELD(ipsec_path, remote),
	FIELD(ipsec_path, local_port),
	FIELD(ipsec_path, remote_port),
	SIZE(ipsec_ike_proposal),
	FIELD(ipsec_ike_proposal, cipher),
	FIELD(ipsec_ike_proposal, hash),
	FIELD(ipsec_ike_proposal, group),
	SIZE(ipsec_esp_proposal),
	FIELD(ipsec_esp_proposal, cipher),
	FIELD(ipsec_esp_proposal, hash),
	FIELD(ipsec_esp_proposal, esn),
	SIZE(ipsec_selectors),
	FIELD(ipsec_selectors, local),
	FIELD(ipsec_selectors, local_prefix),
	FIELD(ipsec_selectors, remote),
	FIELD(ipsec_selectors, remote_prefix),
	FIELD(ipsec_selectors, protocol),
	FIELD(ipsec_selectors, local_port),
	FIELD(ipsec_selectors, remote_port),
	SIZE(ipsec_identity),
	FIELD(ipsec_identity, kind),
	FIELD(ipsec_identity, data),
	FIELD(ipsec_identity, length),
	SIZE(ipsec_peer),
	FIELD(ipsec_peer, id),
	FIELD(ipsec_peer, local),
	FIELD(ipsec_peer, remote),
	FIELD(ipsec_peer, local_id),
	FIELD(ipsec_peer, remote_id),
	FIELD(ipsec_peer, psk),
	FIELD(ipsec_peer, psk_length),
	FIELD(ipsec_peer, proposals),
	FIELD(ipsec_peer, lifetime_seconds),
	FIELD(ipsec_peer, dpd_seconds),
	FIELD(ipsec_peer, nat_traversal),
	SIZE(ipsec_child),
	FIELD(ipsec_child, id),
	FIELD(ipsec_child, peer),
	FIELD(ipsec_child, selectors),
	FIELD(ipsec_child, proposals),
	FIELD(ipsec_child, lifetime_seconds),
	FIELD(ipsec_child, lifetime_kilobytes),
	FIELD(ipsec_child, replay_window),
	FIELD(ipsec_child, mode),
	FIELD(ipsec_child, pfs),
	SIZE(ipsec_policy),
	FIELD(ipsec_policy, action),
	FIELD(ipsec_policy, child),
	FIELD(ipsec_policy, selectors),
	SIZE(ipsec_config),
	FIELD(ipsec_config, peers),
	FIELD(ipsec_config, peer_count),
	FIELD(ipsec_config, children),
	FIELD(ipsec_config, child_count),
	FIELD(ipsec_config, policies),
	FIELD(ipsec_config, policy_count),
	FIELD(ipsec_config, path_mtu),
	SIZE(ipsec_host),
	FIELD(ipsec_host, random),
	FIELD(ipsec_host, log),
	FIELD(ipsec_host, arg),
	SIZE(ipsec_packet),
	FIELD(ipsec_packet, buffer),
	FIELD(ipsec_packet, size),
	FIELD(ipsec_packet, offset),
	FIELD(ipsec_packet, length),
	FIELD(ipsec_packet, mtu),
	FIELD(ipsec_packet, why),
	SIZE(ipsec_datagram),
	FIELD(ipsec_datagram, path),
	FIELD(ipsec_datagram, data),
	FIELD(ipsec_datagram, length),
	SIZE(ipsec_event),
	FIELD(ipsec_event, kind),
	FIELD(ipsec_event, peer),
	FIELD(ipsec_event, child),
	FIELD(ipsec_event, spi_in),
	FIELD(ipsec_event, spi_out),
	FIELD(ipsec_event, text),
	SIZE(ipsec_stats),
	FIELD(ipsec_stats, sealed),
	FIELD(ipsec_stats, opened),
	FIELD(ipsec_stats, passed),
	FIELD(ipsec_stats, held),
	FIELD(ipsec_stats, dropped),
	FIELD(ipsec_stats, ike_sas),
	FIELD(ipsec_stats, child_sas),
	FIELD(ipsec_stats, exchanges),
	{ "", 0 },
};

static bool same_name(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b)
		a++, b++;
	return *a == *b;
}

const char *layout_differs(void)
{
	for (size_t i = 0; i < sizeof layout / sizeof layout[0]; i++)
		if (layout[i].bytes != ipsec_layout[i].bytes || !same_name(layout[i].name, ipsec_layout[i].name))
			return layout[i].name[0] == '\0' ? "a structure more" : layout[i].name;
	return sizeof(struct ipsec) == IPSEC_SIZE ? NULL : "struct ipsec";
}
