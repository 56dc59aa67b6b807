/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server's end of its segment: one NIC of one server. It parks at each relay of its list and listens, if told to; gateways of
 * the segment come with tickets, each over as many paths as there are relays; this end elects the one path that is active, and
 * lends it a lease.
 *
 * Election. Only this end decides, so two gateways can never both serve one server, whatever they can see of each other. A
 * gateway serves only while its lease runs, counted from when it sent the BEAT that the GRANT answers; this end gives another
 * gateway a grant only when the last lease it gave has surely ended (counted from when the BEAT came), or was released.
 * Between paths of one gateway nothing is waited for. Preferred are paths of gateways whose LAN works, then the higher priority,
 * then the one that is active, then the smaller round trip; a working active gateway is not left for a better priority sooner
 * than after 10 s (no flapping).
 *
 * Servers of one segment: PEERS tell this end of other servers, their MACs and tickets. It calls them (direct address first,
 * then by relay; of two servers the one whose name comes first calls) and sends unicast frames for their MACs there; all else
 * goes by the gateway. A peer may send only from its own MACs to ours.
 *
 * All calls on the loop's thread, or under its guard.
 */
#pragma once
#include <sys/uio.h>
#include "lib/l2/frame.h"
#include "lib/l2/path.h"
#include "lib/loop.h"

struct l2_server;

enum { L2_RELAYS = 4, L2_MACS = 16 };

struct l2_server_config {
	const char *server, *nic, *segment;	/* names; the server's is that of its certificate */
	uint8_t mac[FRAME_MAC];
	const char *relay[L2_RELAYS];		/* HOST:PORT of CSCs; NULL behind the last */
	const char *listen;			/* ADDRESS:PORT for direct connections, or NULL */
	const char *advertise;			/* what callers shall dial for it; NULL: listen */
	unsigned mtu;				/* largest IP packet that the NIC takes, for the hello; 0: not known */
	SSL_CTX *tls_server, *tls_client;	/* purpose hull-l2/1; references are taken. Both NULL: plain, for tests */
	SSL_CTX *tls_relay;			/* client, purpose hull-relay/1 */
	size_t queue_max;
	/*
	 * May this caller (role and name out of its certificate, which are to be "role" and "name" of its HELLO) have this path?
	 * Asked for each connection; hello has "ticket". NULL (tests): everybody.
	 */
	int (*authorise)(void *ctx, struct link *link, const json_t *hello, struct err *err);
};

/* frame is set. */
struct l2_server_ops {
	/*
	 * A frame for the NIC, as path_ops.frame. False: no room; it is dropped and counted (the NIC's queue is the last
	 * one).
	 */
	bool (*frame)(void *ctx, struct frame *f);
	void (*carrier)(void *ctx, bool up);	/* some gateway is active, or none is */
	/* Frames from and to other servers pass no gateway's filter: may this one go? Unset: yes. */
	bool (*peer_pass)(void *ctx, bool to_nic, struct frame *f);
	/* Flows that went by the gateway go to another server directly from now on: peer_pass will see them from their middle. */
	void (*peer_moved)(void *ctx);
	/* The largest IP packets of the gateway's LAN, when it introduces servers; 0: not known. Unset: nothing. */
	void (*lan_mtu)(void *ctx, unsigned mtu);
};

struct l2_server_counters {
	/*
	 * passive: came from a gateway that is not active; spoofed: with our own MAC as its source; peer: from another server with
	 * a source that is not its own or for a MAC that is not ours; filtered: peer_pass said no; bad_frame: from the NIC
	 */
	uint64_t drop_no_gateway, drop_passive, drop_nic_full, drop_spoofed, drop_peer, drop_filtered, drop_bad_frame;
	uint64_t elections, takeovers, refused, calls, peers_ignored;	/* calls: connections that came in */
	uint64_t parked;		/* now, at all relays */
	struct path_counters paths;	/* all that are there now, and all that were */
};

int l2_server_create(struct loop *loop, const struct l2_server_config *config, const struct l2_server_ops *ops, void *ctx,
	struct l2_server **server, struct err *err) must_check;
void l2_server_free(struct l2_server *server);	/* releases; NULL is fine; not in its callbacks */
/*
 * From the NIC: a gather list (which may be guest memory: it is copied before it is looked at). Never blocks. UDP datagrams may
 * wait for the end of the loop's round, to go as one super-frame.
 */
void l2_server_send(struct l2_server *server, const struct virtio_net_hdr_v1 *hdr, const struct iovec *iov, unsigned n);
/* The same of one piece with FRAME_HEADROOM, which is not copied; hdr, data and len are set. */
void l2_server_send_frame(struct l2_server *server, struct frame *f);
/* 0 without listen; else the port, also the one that was got for port 0. */
uint16_t l2_server_port(const struct l2_server *server);
/* Fresh certificates for connections to come. */
void l2_server_set_tls(struct l2_server *server, SSL_CTX *tls_server, SSL_CTX *tls_client, SSL_CTX *tls_relay);
void l2_server_counters(const struct l2_server *server, struct l2_server_counters *counters);
/* Is some other server to be reached directly? */
bool l2_server_has_peer(const struct l2_server *server);
/*
 * For people and --json: paths with gateway, relay, state, round trip, rates; peers. The caller's reference; NULL: out of
 * memory.
 */
json_t *l2_server_status(const struct l2_server *server);
