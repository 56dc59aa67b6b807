/* SPDX-License-Identifier: Apache-2.0 */
/* Back ends for virtio tests: a disk in memory that completes when told to, a wire that records. */
#pragma once
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "hv/block/block.h"
#include "hv/net/port.h"

/* ---- disk */

struct fake_disk {
	struct block b;
	uint8_t *data;
	bool hold;			/* keep requests until fake_disk_complete */
	int fail;			/* result of the requests performed from now on */
	struct block_req *held[256];
	unsigned held_count, performed[BLOCK_OPS], fua, hurried;
	unsigned plugs, most_plugged;	/* most_plugged: held at an unplug */
};

static inline void fake_disk_perform(struct fake_disk *f, struct block_req *req)
{
	uint8_t *at = f->data + req->off;

	f->performed[req->op]++;
	f->fua += req->fua;
	for (unsigned i = 0; i < req->iov_count && !f->fail && req->op <= BLOCK_WRITE; i++) {
		uint8_t *p = req->iov[i].iov_base;

		memcpy(req->op == BLOCK_READ ? p : at, req->op == BLOCK_READ ? at : p, req->iov[i].iov_len);
		at += req->iov[i].iov_len;
	}
	if ((req->op == BLOCK_DISCARD || req->op == BLOCK_WRITE_ZEROES) && !f->fail)
		memset(at, 0, req->len);
	req->done(req, f->fail);
}

static inline void fake_disk_submit(struct block *b, struct block_req *req)
{
	struct fake_disk *f = (struct fake_disk *)b;

	if (!f->hold && !f->plugs) {
		fake_disk_perform(f, req);
		return;
	}
	if (f->held_count == 256)
		abort();
	f->held[f->held_count++] = req;
}

/* Complete the i-th held request. */
static inline void fake_disk_complete(struct fake_disk *f, unsigned i)
{
	struct block_req *req = f->held[i];

	memmove(&f->held[i], &f->held[i + 1], (--f->held_count - i) * sizeof f->held[0]);
	fake_disk_perform(f, req);
}

static inline void fake_disk_drain(struct block *b)
{
	struct fake_disk *f = (struct fake_disk *)b;

	f->hold = false;
	while (f->held_count)
		fake_disk_complete(f, 0);
}

static inline void fake_disk_hurry(struct block *b)
{
	((struct fake_disk *)b)->hurried++;
}

static inline void fake_disk_free(struct block *b)
{
	free(((struct fake_disk *)b)->data);
	free(b);
}

/* What came between the two completes inside unplug. */
static inline void fake_disk_plug(struct block *b)
{
	((struct fake_disk *)b)->plugs++;
}

static inline void fake_disk_unplug(struct block *b)
{
	struct fake_disk *f = (struct fake_disk *)b;

	bug_on(!f->plugs);
	if (f->held_count > f->most_plugged)
		f->most_plugged = f->held_count;
	f->plugs--;
	while (!f->plugs && !f->hold && f->held_count)
		fake_disk_complete(f, 0);
}

static const struct block_ops fake_disk_ops = {
	.name = "fake", .submit = fake_disk_submit, .drain = fake_disk_drain, .hurry = fake_disk_hurry, .free = fake_disk_free,
	.plug = fake_disk_plug, .unplug = fake_disk_unplug,
};

static inline struct fake_disk *fake_disk_new(uint64_t size)
{
	struct fake_disk *f = calloc(1, sizeof *f);

	f->data = calloc(1, size);
	f->b = (struct block){ .ops = &fake_disk_ops, .size = size, .logical = 512, .physical = 512, .can_discard = true };
	return f;
}

/* ---- wire */

struct fake_wire {
	struct net_port p;
	struct virtio_net_hdr_v1 hdr;	/* the last frame from the guest */
	uint8_t frame[NET_FRAME_MAX + 1];
	size_t len;
	unsigned sent, resumed, segments, offload;
	bool loop;			/* send every frame straight back */
	const void *waiting;		/* frame offered again at resume */
	size_t waiting_len;
};

static inline void fake_wire_send(struct net_port *p, const struct virtio_net_hdr_v1 *hdr, const struct iovec *iov,
				  unsigned count)
{
	struct fake_wire *w = (struct fake_wire *)p;

	w->sent++;
	w->hdr = *hdr;
	w->segments = count;
	w->len = 0;
	for (unsigned i = 0; i < count; i++) {
		if (iov[i].iov_len > sizeof w->frame - w->len)
			abort();
		memcpy(w->frame + w->len, iov[i].iov_base, iov[i].iov_len);
		w->len += iov[i].iov_len;
	}
	if (w->loop)
		p->nic_ops->receive(p->nic, hdr, w->frame, w->len);
}

static inline void fake_wire_resume(struct net_port *p)
{
	struct fake_wire *w = (struct fake_wire *)p;
	struct virtio_net_hdr_v1 h = { 0 };

	w->resumed++;
	if (w->waiting && p->nic_ops->receive(p->nic, &h, w->waiting, w->waiting_len))
		w->waiting = NULL;
}

static inline void fake_wire_offload(struct net_port *p, unsigned flags) { ((struct fake_wire *)p)->offload = flags; }
static inline void fake_wire_free(struct net_port *p) { free(p); }

static const struct net_port_ops fake_wire_ops = { "fake", fake_wire_send, fake_wire_resume, fake_wire_offload, fake_wire_free };

static inline struct fake_wire *fake_wire_new(void)
{
	struct fake_wire *w = calloc(1, sizeof *w);

	w->p.ops = &fake_wire_ops;
	w->p.carrier = true;
	return w;
}
