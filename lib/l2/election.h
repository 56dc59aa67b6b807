/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The election at a server's end (lib/l2/server.h says by which rules): which path serves, and who has been lent the right to
 * until when. And the other half, a gateway's lease. Both without clock, sockets or timers of their own. Inside lib/l2 only.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/l2/wire.h"

enum { ELECTION_LEASE_MS = 500, ELECTION_LEASE_MAX_MS = 2000, ELECTION_QUIET_MS = 350, ELECTION_HOLD_MS = 10000 };
enum { ELECTION_NAME = 128 };

/* One path; its memory is the owner's. */
struct candidate {
	char gateway[ELECTION_NAME];	/* name and instance: who runs twice is two */
	void *path;			/* the owner's */
	struct candidate *next;
	struct wire_beat beat;		/* the last one */
	uint64_t beat_ns;		/* when it came; 0: none, or it has released since */
	uint64_t good_ns;		/* since when beats come without a pause */
};

struct election_ops {
	void (*grant)(void *ctx, struct candidate *c, const struct wire_grant *grant);	/* send it; c stays */
	void (*changed)(void *ctx, struct candidate *active);				/* NULL: none serves */
};

struct election {
	const struct election_ops *ops;
	void *ctx;
	struct candidate *first, *active;	/* active: the path to send by */
	char holder[ELECTION_NAME];		/* whose lease runs until */
	uint64_t until_ns, granted_stamp_ns;	/* the youngest beat that the lease answers */
	bool leaving;				/* the holder gets no more: another one is better */
	uint64_t elections, takeovers;
	char last[ELECTION_NAME];		/* the last holder */
};

/* Leases that an earlier process of ours gave may still run: the first is given when they are surely over. */
void election_init(struct election *e, const struct election_ops *ops, void *ctx, uint64_t now_ns);
void election_add(struct election *e, struct candidate *c);	/* gateway and path are set */
void election_remove(struct election *e, struct candidate *c, uint64_t now_ns);
void election_beat(struct election *e, struct candidate *c, const struct wire_beat *beat, uint64_t now_ns);
void election_release(struct election *e, struct candidate *c, uint64_t stamp_ns, uint64_t now_ns);
/* Something may be due; the deadline of the next call is returned, 0: none. */
uint64_t election_tick(struct election *e, uint64_t now_ns);
/* How long its leases are, by the round trip of its last beat. */
uint32_t election_lease_ms(const struct candidate *c);
/* May a frame that comes by c pass? */
bool election_serves(const struct election *e, const struct candidate *c, uint64_t now_ns);

/* ---- a gateway's lease */

struct lease {
	uint64_t until_ns, stamp_ns;	/* of the youngest beat that it answers */
	uint64_t released_ns;		/* grants for beats up to then count no more */
	void *path;			/* to send by; NULL: none */
};

/* True: the lease that ran was taken away; send RELEASE with released_ns. */
bool lease_grant(struct lease *l, void *path, const struct wire_grant *grant, uint64_t now_ns) must_check;
/* Give up, if there is something; true: send RELEASE with released_ns. */
bool lease_release(struct lease *l, uint64_t now_ns);
/* The path is gone. Another one may still bring grants. */
void lease_forget(struct lease *l, const void *path);
static inline bool lease_runs(const struct lease *l, uint64_t now_ns) { return l->path && now_ns < l->until_ns; }
