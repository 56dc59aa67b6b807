/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port that ends in the L2 link (lib/l2/server.h): the server's NIC stays on its segment through a gateway, wherever it runs.
 * Offloads travel whole in both directions, except those that the NIC does not take, which are carried out here. Until the
 * first start there is no link and no listening socket: no frame leaves this machine without a certificate.
 */
#pragma once
#include <jansson.h>
#include <openssl/ssl.h>
#include "hv/net/port.h"
#include "lib/l2/filter.h"
#include "lib/loop.h"

struct link;

enum { NET_L2_RELAYS = 4, NET_L2_HOLD_S = 10, NET_L2_HELD = 256 << 10 };

struct net_l2_config {
	const char *server, *nic, *segment;
	uint8_t mac[FRAME_MAC];
	const char *relay[NET_L2_RELAYS];	/* HOST:PORT; NULL behind the last */
	const char *listen, *advertise;		/* ADDRESS:PORT, HOST:PORT or NULL */
	/*
	 * The carrier never goes down; else it is up from the first gateway on, until none has been there for NET_L2_HOLD_S and no
	 * other server is to be reached directly.
	 */
	bool carrier;
	/* May the one who calls over link have this NIC? NULL (tests): everybody may. */
	int (*authorise)(void *ctx, const char *nic, struct link *link, const json_t *hello, struct err *err);
	void *ctx;
};

/*
 * Strings stay the caller's. policy: what frames to and from other servers of the segment have to pass, which go by no gateway;
 * taken over, also on failure. loop outlives the port, and runs its callbacks under the device lock.
 */
int net_l2_create(const struct net_l2_config *config, struct policy *policy, struct loop *loop, struct net_port **port,
	struct err *err) must_check;
/* Contexts of server side, client side and relays: begins, or is for links to come. All NULL (tests): plain links. */
int net_l2_start(struct net_port *port, SSL_CTX *server, SSL_CTX *client, SSL_CTX *relay, struct err *err) must_check;
/* Is it one of these? */
bool net_l2_is(const struct net_port *port);
/* For people and --json: {"segment": …, "port": that it listens on or 0, "link": l2_server_status or null, counters}. */
json_t *net_l2_status(const struct net_port *port);
