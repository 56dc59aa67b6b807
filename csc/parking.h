/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets of servers that wait to be called: nothing but the socket, a watch that sees it go, and whose it is. Of several that a
 * server parked for one NIC the youngest is called first: an old one may be half open. On the loop's thread.
 */
#pragma once
#include <stdbool.h>
#include <time.h>
#include "crypto/pki/cert.h"
#include "lib/loop.h"

struct parking;

enum { PARKING_NIC = 32 };

struct parked {
	char server[PKI_NAME_MAX + 1], nic[PARKING_NIC];
	char serial[PKI_SERIAL_TEXT];	/* of the certificate it came with */
	time_t since;
	int fd;
};

enum parking_loss {
	PARKING_GONE,		/* it ended, or failed */
	PARKING_SPOKE,		/* it said something before it was called */
	PARKING_EVICTED,	/* it made room for a younger one */
};
/* One is lost; its socket is closed afterwards. */
typedef void parking_lost_fn(void *ctx, const struct parked *parked, enum parking_loss why);

/* max sockets in all; per_server: then its oldest makes room for a new one. */
int parking_create(struct loop *loop, unsigned max, unsigned per_server, parking_lost_fn *fn, void *ctx, struct parking **parking,
	struct err *err) must_check;
void parking_free(struct parking *parking);	/* closes all; NULL is fine */
/* The fd is the parking's from now on, also after a failure. -ENOSPC: it is full. */
int parking_add(struct parking *parking, const struct parked *parked, struct err *err) must_check;
/* The youngest; its fd is the caller's then. -ENOENT. */
int parking_take(struct parking *parking, const char *server, const char *nic, struct parked *parked) must_check;
/* Closes those that fn says so of, without parking_lost_fn; returns how many. */
unsigned parking_sweep(struct parking *parking, bool (*fn)(void *ctx, const struct parked *parked), void *ctx);
unsigned parking_count(const struct parking *parking);
unsigned parking_servers(const struct parking *parking);
/* From the from-th on, at most max, server by server: how many were filled in. */
unsigned parking_list(const struct parking *parking, unsigned from, struct parked *list, unsigned max);
