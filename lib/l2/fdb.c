/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries in one array, chained by a keyed hash (so that nobody can fill one chain), and, those that are not pinned, in a list
 * by when they were seen: its first is the next to make room.
 */
#include "lib/l2/fdb.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { NONE = -1, FDB_SIZE_MIN = 16, FDB_SIZE_MAX = 1 << 20 };
#define NS_PER_S 1000000000ull

struct entry {
	uint64_t key;		/* VLAN and MAC */
	uint64_t seen_ns;
	int port;
	int chain;		/* next of the same hash; next free one */
	int before, after;	/* by time seen */
	bool pinned;
};

struct fdb {
	struct entry *entries;
	int *heads;
	unsigned size;		/* of both, a power of two */
	int free, oldest, newest;
	uint64_t age_ns, secret;
	struct fdb_counters counters;
};

int fdb_create(unsigned size, uint32_t age_s, struct fdb **fdb)
{
	struct fdb *new;
	unsigned n = FDB_SIZE_MIN;

	if (size > FDB_SIZE_MAX || !age_s)
		return -EINVAL;
	while (n < size)
		n *= 2;
	new = calloc(1, sizeof *new);
	if (!new)
		return -ENOMEM;
	new->entries = calloc(n, sizeof *new->entries);
	new->heads = malloc(n * sizeof *new->heads);
	if (!new->entries || !new->heads || getrandom(&new->secret, sizeof new->secret, 0) != sizeof new->secret) {
		fdb_free(new);
		return -ENOMEM;
	}
	new->size = n;
	new->age_ns = age_s * NS_PER_S;
	new->oldest = new->newest = NONE;
	for (unsigned i = 0; i < n; i++) {
		new->heads[i] = NONE;
		new->entries[i].chain = i + 1 < n ? (int)i + 1 : NONE;
	}
	*fdb = new;
	return 0;
}

void fdb_free(struct fdb *fdb)
{
	if (!fdb)
		return;
	free(fdb->entries);
	free(fdb->heads);
	free(fdb);
}

static uint64_t key_of(uint16_t vid, const uint8_t mac[FRAME_MAC])
{
	uint64_t key = vid;

	for (unsigned i = 0; i < FRAME_MAC; i++)
		key = key << 8 | mac[i];
	return key;
}

static int *head_of(const struct fdb *fdb, uint64_t key)
{
	unsigned __int128 p = (unsigned __int128)(key ^ fdb->secret) * (fdb->secret | 1);

	return &fdb->heads[((uint64_t)p ^ (uint64_t)(p >> 64)) & (fdb->size - 1)];
}

static int look_up(const struct fdb *fdb, uint64_t key)
{
	int i = *head_of(fdb, key);

	while (i != NONE && fdb->entries[i].key != key)
		i = fdb->entries[i].chain;
	return i;
}

static void list_remove(struct fdb *fdb, int i)
{
	struct entry *e = &fdb->entries[i];

	*(e->before == NONE ? &fdb->oldest : &fdb->entries[e->before].after) = e->after;
	*(e->after == NONE ? &fdb->newest : &fdb->entries[e->after].before) = e->before;
}

static void list_append(struct fdb *fdb, int i)
{
	struct entry *e = &fdb->entries[i];

	e->before = fdb->newest;
	e->after = NONE;
	*(fdb->newest == NONE ? &fdb->oldest : &fdb->entries[fdb->newest].after) = i;
	fdb->newest = i;
}

static void remove_entry(struct fdb *fdb, int i)
{
	int *at = head_of(fdb, fdb->entries[i].key);

	while (*at != i)
		at = &fdb->entries[*at].chain;
	*at = fdb->entries[i].chain;
	if (!fdb->entries[i].pinned)
		list_remove(fdb, i);
	fdb->entries[i].chain = fdb->free;
	fdb->free = i;
}

static bool expired(const struct fdb *fdb, const struct entry *e, uint64_t now_ns)
{
	return !e->pinned && now_ns > e->seen_ns && now_ns - e->seen_ns > fdb->age_ns;
}

/* A fresh entry, unlisted; NONE when all are pinned. */
static int add(struct fdb *fdb, uint64_t key, uint64_t now_ns)
{
	int i, *head;

	if (fdb->oldest != NONE && expired(fdb, &fdb->entries[fdb->oldest], now_ns)) {
		remove_entry(fdb, fdb->oldest);
		fdb->counters.aged++;
	} else if (fdb->free == NONE && fdb->oldest != NONE) {
		remove_entry(fdb, fdb->oldest);
		fdb->counters.evicted++;
	}
	i = fdb->free;
	if (i == NONE)
		return NONE;
	fdb->free = fdb->entries[i].chain;
	head = head_of(fdb, key);
	fdb->entries[i] = (struct entry){ .key = key, .seen_ns = now_ns, .chain = *head };
	*head = i;
	return i;
}

int fdb_pin(struct fdb *fdb, uint16_t vid, const uint8_t mac[FRAME_MAC], int port)
{
	uint64_t key = key_of(vid, mac);
	int i = look_up(fdb, key);

	if (mac[0] & 1 || port < 0)
		return -EINVAL;
	if (i != NONE && fdb->entries[i].pinned)
		return fdb->entries[i].port == port ? 0 : -EEXIST;
	if (i != NONE)
		list_remove(fdb, i);
	else
		i = add(fdb, key, 0);
	if (i == NONE)
		return -ENOSPC;
	fdb->entries[i].pinned = true;
	fdb->entries[i].port = port;
	return 0;
}

void fdb_unpin(struct fdb *fdb, uint16_t vid, const uint8_t mac[FRAME_MAC])
{
	int i = look_up(fdb, key_of(vid, mac));

	if (i != NONE && fdb->entries[i].pinned)
		remove_entry(fdb, i);
}

bool fdb_learn(struct fdb *fdb, uint16_t vid, const uint8_t mac[FRAME_MAC], int port, uint64_t now_ns)
{
	uint64_t key = key_of(vid, mac);
	int i = look_up(fdb, key);
	struct entry *e;

	if (mac[0] & 1 || port < 0) {
		fdb->counters.refused++;
		return false;
	}
	if (i == NONE) {
		i = add(fdb, key, now_ns);
		if (i == NONE)
			return true;
		fdb->entries[i].port = port;
		list_append(fdb, i);
		fdb->counters.learned++;
		return true;
	}
	e = &fdb->entries[i];
	if (e->port != port) {
		if (e->pinned) {
			fdb->counters.refused++;
			return false;
		}
		e->port = port;
		fdb->counters.moved++;
	}
	/* The list need not be exact to the second, and busy stations should not pay for it with each frame. */
	if (now_ns > e->seen_ns && now_ns - e->seen_ns > NS_PER_S) {
		e->seen_ns = now_ns;
		if (!e->pinned) {
			list_remove(fdb, i);
			list_append(fdb, i);
		}
	}
	return true;
}

int fdb_find(struct fdb *fdb, uint16_t vid, const uint8_t mac[FRAME_MAC], uint64_t now_ns)
{
	int i = look_up(fdb, key_of(vid, mac));

	if (i == NONE)
		return FDB_NO_PORT;
	if (expired(fdb, &fdb->entries[i], now_ns)) {
		remove_entry(fdb, i);
		fdb->counters.aged++;
		return FDB_NO_PORT;
	}
	return fdb->entries[i].port;
}

void fdb_forget_port(struct fdb *fdb, int port)
{
	for (int i = fdb->oldest, next; i != NONE; i = next) {
		next = fdb->entries[i].after;
		if (fdb->entries[i].port == port)
			remove_entry(fdb, i);
	}
}

const struct fdb_counters *fdb_counters(const struct fdb *fdb)
{
	return &fdb->counters;
}

int fdb_walk(const struct fdb *fdb, int (*fn)(void *ctx, uint16_t vid, const uint8_t *mac, int port, uint64_t seen_ns, bool pinned),
	void *ctx)
{
	uint8_t mac[FRAME_MAC];

	for (unsigned h = 0; h < fdb->size; h++) {
		for (int i = fdb->heads[h]; i != NONE; i = fdb->entries[i].chain) {
			const struct entry *e = &fdb->entries[i];
			int r;

			for (unsigned b = 0; b < FRAME_MAC; b++)
				mac[b] = (uint8_t)(e->key >> 8 * (FRAME_MAC - 1 - b));
			r = fn(ctx, (uint16_t)(e->key >> 48), mac, e->port, e->seen_ns, e->pinned);
			if (r)
				return r;
		}
	}
	return 0;
}
