/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the loop's side of trust (trust.c) and its thread (trust_thread.c). The thread owns `id` and the client; all else
 * stands under the lock. Whoever lets go last frees: the thread may be in the middle of a connection when the gateway is done
 * with it.
 */
#pragma once
#include <pthread.h>
#include "crypto/identity.h"
#include "crypto/lmaclient.h"
#include "lcg/trust.h"

struct trust_job {
	struct trust_job *next;
	trust_fn *fn;
	const void *ctx;		/* NULL: nobody waits for it any more */
	char caller[PKI_NAME_MAX + 4], callee[PKI_NAME_MAX + 1], nic[32];
	unsigned want, count;
	struct err why;
	struct trust_ticket ticket[TRUST_TICKETS];
};

struct trust_queue { struct trust_job *first, **last; unsigned count; };

struct trust_shared {
	pthread_mutex_t lock;
	pthread_cond_t wake, idle;
	char *dir, *lma;
	bool stop, over;		/* over: the thread has left */
	unsigned users;
	int event_fd;			/* the loop's side has something to fetch */
	struct trust_queue todo, done;
	struct trust_job *busy;		/* under way, in no queue */
	struct identity fresh;		/* references for the loop's side; cert NULL: nothing new */
	bool away;
	struct trust_counters counters;
	/* the thread's own */
	struct identity id;
	struct lmaclient *client;
	uint64_t try_ns;		/* not before: the application is away */
	unsigned tries;
	struct err away_why;
};

void *trust_thread(void *shared);
void trust_unref(struct trust_shared *s);
void trust_queue_put(struct trust_queue *q, struct trust_job *job);
struct trust_job *trust_queue_take(struct trust_queue *q);
/* More references to the same. */
struct identity trust_share(const struct identity *id);
