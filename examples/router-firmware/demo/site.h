/* The configurations of the two routers of the demonstration, as a firmware would make them of its flash. */
#ifndef SITE_H
#define SITE_H

#include "ipsec.h"

/*
 *      10.1.0.2 -- 10.1.0.1 left 192.0.2.1 ==== 192.0.2.2 right 10.2.0.1 -- 10.2.0.2
 */
struct site {
	const char *name;
	struct ipsec_address outside, inside;
	uint8_t station[4]; /* the host behind it */
	struct ipsec_config config;
};

extern const struct site site_left, site_right;

#define SITE_PEER 1
#define SITE_LAN 1 /* the child between the two networks */

#endif
