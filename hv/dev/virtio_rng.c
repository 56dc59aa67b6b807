/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/dev/virtio_rng.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define QUEUE_SIZE 8

struct virtio_rng {
	struct virtio_pci virtio;
	uint64_t pause_until;		/* clock */
	struct iovec iov[VIRTIO_RING_MAX];
};

/* Random bytes into the chain, at most limit; returns how many. */
static uint32_t fill(const struct virtio_chain *c, uint64_t limit)
{
	uint32_t done = 0;

	for (unsigned i = 0; i < c->writable && done < limit; i++) {
		const struct iovec *v = &c->iov[c->readable + i];
		size_t want = v->iov_len < limit - done ? v->iov_len : (size_t)(limit - done);
		ssize_t got = getrandom(v->iov_base, want, GRND_NONBLOCK);

		if (got < 0)
			break;
		done += (uint32_t)got;
		if ((size_t)got < want)
			break;
	}
	return done;
}

static void notify(void *ctx, unsigned queue)
{
	struct virtio_rng *g = ctx;
	struct virtio_ring *r = virtio_pci_ring(&g->virtio, 0);
	struct virtio_chain c = { .iov = g->iov, .max = VIRTIO_RING_MAX };
	uint64_t now = clock_now(g->virtio.clock);
	unsigned left = VIRTIO_RNG_ROUND;

	if (!r)
		return;
	virtio_ring_quiet(r);
	if (now < g->pause_until) {
		virtio_pci_again(&g->virtio, 0, g->pause_until - now);
		return;
	}
	do {
		virtio_ring_quiet(r);
		/* However small, a buffer costs a share of the round: the round is bounded in buffers too. */
		while (left >= VIRTIO_RNG_REQUEST && virtio_pci_pop(&g->virtio, 0, &c)) {
			uint32_t n = fill(&c, VIRTIO_RNG_REQUEST);

			left -= n > VIRTIO_RNG_REQUEST / 64 ? n : VIRTIO_RNG_REQUEST / 64;
			virtio_ring_push(r, c.head, n);
		}
	} while (left >= VIRTIO_RNG_REQUEST && virtio_pci_listen(&g->virtio, 0));
	virtio_pci_signal(&g->virtio, 0);
	if (left < VIRTIO_RNG_REQUEST) {
		g->pause_until = now + VIRTIO_RNG_PAUSE_NS;
		virtio_pci_again(&g->virtio, 0, VIRTIO_RNG_PAUSE_NS);
	}
}

static void start(void *ctx) {}

static void reset(void *ctx) {}

static bool busy(void *ctx)
{
	return false;
}

static void queue_reset(void *ctx, unsigned queue) {}

static bool queue_busy(void *ctx, unsigned queue)
{
	return false;
}

static bool accept(void *ctx, uint64_t features)
{
	return true;
}

static void config_write(void *ctx, unsigned off, unsigned size, uint64_t val) {}

static const struct virtio_model_ops model_ops = {
	.notify = notify,
	.start = start,
	.reset = reset,
	.busy = busy,
	.queue_reset = queue_reset,
	.queue_busy = queue_busy,
	.accept = accept,
	.config_write = config_write,
};

int virtio_rng_create(struct virtio_rng **rng, const struct virtio_place *place, struct err *err)
{
	struct virtio_rng *g = calloc(1, sizeof *g);
	const struct virtio_model model = {
		.name = "virtio-rng",
		.class_code = 0x00ff00,
		.ops = &model_ops,
		.ctx = g,
		.queues = 1,
		.queue_size = { QUEUE_SIZE },
	};

	if (!g)
		return err_set(err, -ENOMEM, "%s: no memory for an entropy device", place->env->name);
	virtio_pci_init(&g->virtio, place, &model);
	*rng = g;
	return 0;
}

void virtio_rng_free(struct virtio_rng *rng)
{
	if (!rng)
		return;
	virtio_pci_exit(&rng->virtio);
	free(rng);
}

struct pci_dev *virtio_rng_pci(struct virtio_rng *rng)
{
	return &rng->virtio.pci;
}
