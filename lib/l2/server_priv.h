/* SPDX-License-Identifier: Apache-2.0 */
/* A server end's inside: paths that came in, and other servers. */
#pragma once
#include "lib/l2/caller.h"
#include "lib/l2/coalesce.h"
#include "lib/l2/door.h"
#include "lib/l2/election.h"
#include "lib/l2/hello.h"
#include "lib/l2/server.h"

struct peer;

/* A path that came in: a gateway's, or another server's. */
struct entry {
	struct l2_server *server;
	struct entry *next, **link;
	struct path *path;
	bool gateway;
	char name[HELLO_NAME_MAX + 1], instance[33], way[HELLO_ADDRESS_MAX + 1], nic[HELLO_NAME_MAX + 1];
	json_int_t attempt;
	unsigned lanes;
	uint64_t made_ns;
	struct candidate candidate;	/* gateway, once open */
	bool in_election;
};

enum { ENTRIES_MAX = 96, ROUTES = 256 };

/* Whose MAC. */
struct route { struct route *next; uint8_t mac[FRAME_MAC]; struct peer *peer; };

struct peers {
	struct l2_server *server;
	struct peer *first;
	unsigned count;
	struct route *routes[ROUTES];
};

struct l2_server {
	struct loop *loop;
	struct l2_server_ops ops;
	void *ctx;
	int (*authorise)(void *ctx, struct link *link, const json_t *hello, struct err *err);
	char *name, *nic, *segment, instance[17];
	uint8_t mac[FRAME_MAC];
	unsigned mtu;
	size_t queue_max;
	SSL_CTX *tls_client, *tls_relay;
	struct door *door;
	struct entry *entries;
	unsigned entry_count;
	struct election election;
	struct loop_timer *timer;	/* the election's next deadline, and looking for dead paths */
	struct peers peers;
	uint8_t moves;			/* struct wire_grant's */
	struct l2_server_counters counters;	/* paths: of those that were */
	uint8_t *buffer;		/* a frame from the NIC, behind its headroom */
	struct coalesce *coalesce;	/* the NIC's datagrams of a round */
	struct loop_task *flush;	/* its end */
};

/* ---- server_peer.c */

/* Of a PEERS message that hello_parse_peers took apart: what is not in it any more is forgotten. */
void peers_set(struct peers *p, const struct hello_peer *list, unsigned count);
void peers_free(struct peers *p);
/* NULL: no peer has that MAC, or none of its paths works: the gateway's way. */
struct path *peers_find(struct peers *p, const uint8_t mac[FRAME_MAC], uint64_t now_ns);
/* A frame of that source came directly. */
void peers_heard(struct peers *p, const uint8_t mac[FRAME_MAC]);
/* A path by which it called in is open. */
void peers_came(struct peers *p, const char *name, const char *nic);
bool peers_work(const struct peers *p, uint64_t now_ns);	/* by some path of theirs */
/* May name send frames of that source here? */
bool peers_owns(const struct peers *p, const char *name, const char *nic, const uint8_t mac[FRAME_MAC]);
bool peers_knows(const struct peers *p, const char *name, const char *nic);
void peers_set_tls(struct peers *p, SSL_CTX *tls, SSL_CTX *tls_relay);
void peers_add_counters(const struct peers *p, struct path_counters *sum);
json_t *peers_status(const struct peers *p);

/* ---- server.c */

void server_gateway_frame(struct l2_server *s, const struct candidate *from, struct frame *f);
/* From another server. */
void server_peer_frame(struct l2_server *s, const char *name, const char *nic, struct frame *f);
/* What is due is decided, and the timer armed. */
void server_elect(struct l2_server *s);

/* ---- server_entry.c */

void server_arrived(void *ctx, struct lane *lane, const json_t *json);	/* door_ops */
/* Paths that are dead end soon; when to look again. */
uint64_t server_sweep(struct l2_server *s, uint64_t now_ns);
void entry_free(struct entry *e);
