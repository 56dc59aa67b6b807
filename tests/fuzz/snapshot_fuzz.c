/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot store of any bytes. Blocks are given their right checksums, else nothing behind those would be seen. The input: a byte
 * of choices, then the store, whose data (not its structures) is a pattern.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "hv/block/snapshot_priv.h"
#include "lib/scope.h"

enum { VOLUME = 40 * SNAP_CLUSTER };

struct memory { struct block b; uint8_t *data; };

static void submit(struct block *b, struct block_req *req)
{
	struct memory *m = container_of(b, struct memory, b);
	uint64_t off = req->off;

	for (unsigned i = 0; i < req->iov_count; i++) {
		if (req->op == BLOCK_READ)
			memcpy(req->iov[i].iov_base, m->data + off, req->iov[i].iov_len);
		else
			memcpy(m->data + off, req->iov[i].iov_base, req->iov[i].iov_len);
		off += req->iov[i].iov_len;
	}
	req->done(req, 0);
}

static void free_memory(struct block *b)
{
	struct memory *m = container_of(b, struct memory, b);

	free(m->data);
	free(m);
}

static struct memory *make(uint64_t size)
{
	static const struct block_ops ops = { .name = "memory", .submit = submit, .free = free_memory };
	struct memory *m = calloc(1, sizeof *m);

	m->b = (struct block){ .ops = &ops, .size = size, .logical = 512, .physical = 4096, .can_discard = true };
	m->data = calloc(1, size);
	return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory *store, *volume;
	struct snap_store *s = NULL;
	struct err err = { .text = "" };
	size_t room;

	if (size < 2 || size > 64 * 1024)
		return 0;
	room = (size - 1 + SNAP_BLOCK - 1) / SNAP_BLOCK * SNAP_BLOCK;
	store = make(room + 3 * SNAP_CLUSTER);
	memcpy(store->data, data + 1, size - 1);
	if (data[0] & 1)
		for (size_t off = 0; off < room; off += SNAP_BLOCK)
			snap_seal(store->data + off);
	volume = make(VOLUME);
	if (snap_store_open(&store->b, NULL, &s, &err)) {
		if (!err.text[0])
			abort();
	} else {
		if (data[0] & 2)	/* the volume that the store wants, as far as its size goes */
			volume->b.size = s->h.size <= VOLUME ? s->h.size : VOLUME;
		if (data[0] & 4)
			s->h.probe_count = 0;
		if (snap_roll_back_on(&volume->b, s, NULL, NULL, &err) && !err.text[0])
			abort();
		snap_store_free(s);
	}
	block_free(&volume->b);
	return 0;
}
