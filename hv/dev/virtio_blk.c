/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/dev/virtio_blk.h"
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>
#include <string.h>
#include "lib/bits.h"

#define QUEUE_SIZE 256
#define SEGMENTS (QUEUE_SIZE - 2)	/* data buffers of a request: beside its header and its status */
#define SECTOR 512ull
#define RANGE_SECTORS 0x3fffff		/* most sectors of one discard or write zeroes */

struct request {
	struct block_req block;
	struct virtio_blk *blk;
	struct request *next_free;
	uint32_t generation;		/* the device's when it was taken */
	uint16_t head;
	uint32_t written;		/* bytes the driver gets when it succeeds, status included */
	uint8_t *status;		/* guest memory */
	struct virtio_chain chain;
	struct iovec iov[QUEUE_SIZE];
};

struct virtio_blk {
	struct virtio_pci virtio;
	struct block *block;
	const struct env_disk *disk;
	struct request *pool, *free;
	uint8_t config[64];
	uint32_t generation;		/* counts resets, of the device and of its queue */
	unsigned in_flight, stale;	/* stale: of before the last of them */
	bool in_round;			/* notify is on the stack: it signals at its end */
	bool stalled;			/* the round ended for want of a free request */
	bool write_through;
};

#define CONFIG(field) offsetof(struct virtio_blk_config, field)

/* ---- one request */

static void run(struct virtio_blk *b);

static void release(struct virtio_blk *b, struct request *q)
{
	q->next_free = b->free;
	b->free = q;
}

static void finish(struct virtio_blk *b, struct request *q, uint8_t status)
{
	struct virtio_ring *r = virtio_pci_ring(&b->virtio, 0);

	if (r) {
		*q->status = status;
		virtio_ring_push(r, q->head, status == VIRTIO_BLK_S_OK ? q->written : 1);
		if (!b->in_round)
			virtio_pci_signal(&b->virtio, 0);
	}
	release(b, q);
}

static void done(struct block_req *req, int result)
{
	struct request *q = req->ctx;
	struct virtio_blk *b = q->blk;

	b->in_flight--;
	if (q->generation == b->generation) {
		finish(b, q, !result ? VIRTIO_BLK_S_OK : result == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR);
	} else {
		b->stale--;
		release(b, q);
	}
	if (b->stalled && !b->in_round)
		run(b);
}

/* Cut the status byte, the last writable one, off the data. */
static uint8_t *take_status(struct virtio_chain *c)
{
	struct iovec *last = &c->iov[c->readable + c->writable - 1];

	c->write_len--;
	if (!--last->iov_len)
		c->writable--;
	return (uint8_t *)last->iov_base + last->iov_len;
}

/* The volume may be larger than the disk: the disk ends where the environment says. */
static bool inside(const struct virtio_blk *b, uint64_t sector, uint64_t len)
{
	return sector <= b->disk->size / SECTOR && len <= b->disk->size - sector * SECTOR;
}

/* READ and WRITE: the chain's own segments are the scatter list. */
static uint8_t transfer(struct virtio_blk *b, struct request *q, enum block_op op, uint64_t sector)
{
	struct virtio_chain *c = &q->chain;
	uint64_t len = op == BLOCK_READ ? c->write_len : c->read_len;

	if (!len || len % SECTOR || !inside(b, sector, len))
		return VIRTIO_BLK_S_IOERR;
	q->block = (struct block_req){
		.op = op,
		.fua = op == BLOCK_WRITE && b->write_through,
		.off = sector * SECTOR,
		.len = len,
		.iov = op == BLOCK_READ ? c->iov + c->readable : c->iov,
		.iov_count = op == BLOCK_READ ? c->writable : c->readable,
	};
	q->written = op == BLOCK_READ ? (uint32_t)len + 1 : 1;
	return VIRTIO_BLK_S_OK;
}

static uint8_t range(struct virtio_blk *b, struct request *q, enum block_op op)
{
	struct virtio_blk_discard_write_zeroes seg;
	uint32_t flags, sectors;
	uint64_t sector;

	if (!b->disk->trim)
		return VIRTIO_BLK_S_UNSUPP;
	if (q->chain.read_len != sizeof seg)
		return VIRTIO_BLK_S_IOERR;
	virtio_chain_read(&q->chain, 0, &seg, sizeof seg);
	sector = le64toh(seg.sector);
	sectors = le32toh(seg.num_sectors);
	flags = le32toh(seg.flags);
	if (flags & ~VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP || (op == BLOCK_DISCARD && flags))
		return VIRTIO_BLK_S_UNSUPP;
	if (!sectors || sectors > RANGE_SECTORS || !inside(b, sector, sectors * SECTOR))
		return VIRTIO_BLK_S_IOERR;
	q->block = (struct block_req){
		.op = op,
		.fua = op == BLOCK_WRITE_ZEROES && b->write_through,
		.off = sector * SECTOR,
		.len = sectors * SECTOR,
	};
	q->written = 1;
	return VIRTIO_BLK_S_OK;
}

static void identify(struct virtio_blk *b, struct request *q)
{
	char id[VIRTIO_BLK_ID_BYTES] = { 0 };

	memcpy(id, b->disk->serial, strnlen(b->disk->serial, sizeof id));
	q->written = (uint32_t)virtio_chain_write(&q->chain, 0, id, sizeof id) + 1;
	finish(b, q, VIRTIO_BLK_S_OK);
}

static void submit(struct virtio_blk *b, struct request *q)
{
	q->block.done = done;
	q->block.ctx = q;
	b->in_flight++;
	block_submit(b->block, &q->block);
}

static void begin(struct virtio_blk *b, struct request *q)
{
	struct virtio_blk_outhdr h;
	uint8_t status;

	if (q->chain.read_len < sizeof h || !q->chain.write_len) {
		release(b, q);
		virtio_pci_break(&b->virtio, 0, "block request without a header or a status");
		return;
	}
	virtio_chain_read(&q->chain, 0, &h, sizeof h);
	virtio_chain_skip(&q->chain, sizeof h);
	q->status = take_status(&q->chain);
	switch (le32toh(h.type)) {
	case VIRTIO_BLK_T_IN:
		status = transfer(b, q, BLOCK_READ, le64toh(h.sector));
		break;
	case VIRTIO_BLK_T_OUT:
		status = transfer(b, q, BLOCK_WRITE, le64toh(h.sector));
		break;
	case VIRTIO_BLK_T_FLUSH:
		q->block = (struct block_req){ .op = BLOCK_FLUSH };
		q->written = 1;
		status = VIRTIO_BLK_S_OK;
		break;
	case VIRTIO_BLK_T_GET_ID:
		identify(b, q);
		return;
	case VIRTIO_BLK_T_DISCARD:
		status = range(b, q, BLOCK_DISCARD);
		if (status == VIRTIO_BLK_S_OK && !b->block->can_discard) {	/* a hint: no harm in what is still there */
			finish(b, q, status);
			return;
		}
		break;
	case VIRTIO_BLK_T_WRITE_ZEROES:
		status = range(b, q, BLOCK_WRITE_ZEROES);
		break;
	default:
		status = VIRTIO_BLK_S_UNSUPP;
		break;
	}
	if (status == VIRTIO_BLK_S_OK)
		submit(b, q);
	else
		finish(b, q, status);
}

/* ---- the queue */

/* Take the next request, or NULL when there is none or no room for one. */
static struct request *take(struct virtio_blk *b)
{
	struct request *q = b->free;

	b->stalled = !q;
	if (!q)
		return NULL;
	q->chain = (struct virtio_chain){ .iov = q->iov, .max = QUEUE_SIZE };
	if (!virtio_pci_pop(&b->virtio, 0, &q->chain))
		return NULL;
	b->free = q->next_free;
	q->head = q->chain.head;
	q->generation = b->generation;
	return q;
}

/* One round, bounded: a driver that adds faster than we take must not keep the lock. */
static void run(struct virtio_blk *b)
{
	struct virtio_ring *r = virtio_pci_ring(&b->virtio, 0);
	unsigned budget = QUEUE_SIZE;
	struct request *q;

	if (!r)
		return;
	b->in_round = true;
	do {
		virtio_ring_quiet(r);
		block_plug(b->block);
		while (budget && (q = take(b))) {
			budget--;
			begin(b, q);
		}
		block_unplug(b->block);	/* may complete some */
		/* Without a free request the next completion comes back here. */
	} while (budget && (b->stalled ? b->free != NULL : virtio_pci_listen(&b->virtio, 0)));
	b->in_round = false;
	if (!budget)
		virtio_pci_again(&b->virtio, 0, 0);
	virtio_pci_signal(&b->virtio, 0);
}

static void notify(void *ctx, unsigned queue)
{
	struct virtio_blk *b = ctx;

	/* A back end that calls back into the bus would find the round under way. */
	if (!b->in_round)
		run(b);
}

/* ---- the device */

static void start(void *ctx)
{
	struct virtio_blk *b = ctx;

	/* virtio 1.2 §5.2.5.2: without the switch, a driver that cannot flush gets write through. */
	if (!virtio_pci_has(&b->virtio, VIRTIO_BLK_F_CONFIG_WCE))
		b->config[CONFIG(wce)] = virtio_pci_has(&b->virtio, VIRTIO_BLK_F_FLUSH);
	b->write_through = !b->config[CONFIG(wce)];
}

/* The one queue holds all there is. */
static void queue_reset(void *ctx, unsigned queue)
{
	struct virtio_blk *b = ctx;

	b->generation++;
	b->stale = b->in_flight;
	b->stalled = false;
}

static bool queue_busy(void *ctx, unsigned queue)
{
	struct virtio_blk *b = ctx;

	return b->stale;
}

static void reset(void *ctx)
{
	struct virtio_blk *b = ctx;

	queue_reset(b, 0);
	b->config[CONFIG(wce)] = 1;
	b->write_through = false;
}

static bool busy(void *ctx)
{
	struct virtio_blk *b = ctx;

	return b->stale;
}

static bool accept(void *ctx, uint64_t features)
{
	return true;
}

static void config_write(void *ctx, unsigned off, unsigned size, uint64_t val)
{
	struct virtio_blk *b = ctx;

	if (off != CONFIG(wce) || size != 1 || !virtio_pci_has(&b->virtio, VIRTIO_BLK_F_CONFIG_WCE))
		return;
	b->config[off] = val & 1;
	b->write_through = !(val & 1);
}

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

static uint64_t features(const struct env_disk *disk, const struct block *block)
{
	uint64_t f = BIT64(VIRTIO_BLK_F_SEG_MAX) | BIT64(VIRTIO_BLK_F_GEOMETRY) | BIT64(VIRTIO_BLK_F_BLK_SIZE) |
		     BIT64(VIRTIO_BLK_F_FLUSH) | BIT64(VIRTIO_BLK_F_TOPOLOGY) | BIT64(VIRTIO_BLK_F_CONFIG_WCE);

	if (block->readonly)
		f |= BIT64(VIRTIO_BLK_F_RO);
	if (disk->trim)
		f |= BIT64(VIRTIO_BLK_F_DISCARD) | BIT64(VIRTIO_BLK_F_WRITE_ZEROES);
	return f;
}

static void fill_config(struct virtio_blk *b)
{
	const struct env_disk *d = b->disk;
	uint64_t sectors = d->size / SECTOR, cylinders = sectors / (16 * 63);
	uint8_t *c = b->config;

	put_le64(c + CONFIG(capacity), sectors);
	put_le32(c + CONFIG(seg_max), SEGMENTS);
	/* BIOS geometry: 16 heads, 63 sectors, as ATA disks say */
	put_le16(c + CONFIG(geometry.cylinders), (uint16_t)(cylinders < 2 ? 2 : cylinders > 16383 ? 16383 : cylinders));
	c[CONFIG(geometry.heads)] = 16;
	c[CONFIG(geometry.sectors)] = 63;
	put_le32(c + CONFIG(blk_size), d->logical);
	c[CONFIG(physical_block_exp)] = (uint8_t)(d->physical > d->logical ? __builtin_ctz(d->physical / d->logical) : 0);
	c[CONFIG(wce)] = 1;
	put_le16(c + CONFIG(num_queues), 1);
	if (!d->trim)
		return;
	put_le32(c + CONFIG(max_discard_sectors), RANGE_SECTORS);
	put_le32(c + CONFIG(max_discard_seg), 1);
	put_le32(c + CONFIG(discard_sector_alignment), (uint32_t)(d->logical / SECTOR));
	put_le32(c + CONFIG(max_write_zeroes_sectors), RANGE_SECTORS);
	put_le32(c + CONFIG(max_write_zeroes_seg), 1);
	c[CONFIG(write_zeroes_may_unmap)] = 1;
}

static int check(const struct virtio_place *place, const struct block *block, struct err *err)
{
	const struct env_disk *d = &place->env->disks[0];

	if (!place->env->disk_count || d->medium != ENV_DISK)
		return err_set(err, -EINVAL, "%s: a virtio block device needs one disk", place->env->name);
	if (block->size < d->size)
		return err_set(err, -EINVAL, "%s: the volume holds %llu bytes, the disk has %llu: enlarge the volume", d->name,
			       (unsigned long long)block->size, (unsigned long long)d->size);
	if (block->logical > d->logical)
		return err_set(err, -EINVAL, "%s: the volume cannot serve sectors of %u bytes, only of %u: use another volume",
			       d->name, d->logical, block->logical);
	return 0;
}

int virtio_blk_create(struct virtio_blk **blk, const struct virtio_place *place, struct block *block, struct err *err)
{
	struct virtio_model model = {
		.name = "virtio-blk",
		.class_code = 0x010000,
		.ops = &model_ops,
		.features = features(&place->env->disks[0], block),
		.config_size = 60,
		.queues = 1,
		.queue_size = { QUEUE_SIZE },
	};
	int e = check(place, block, err);
	struct virtio_blk *b;

	if (e)
		return e;
	b = calloc(1, sizeof *b);
	if (b)
		b->pool = calloc(QUEUE_SIZE, sizeof *b->pool);
	if (!b || !b->pool) {
		free(b);
		return err_set(err, -ENOMEM, "%s: no memory for a block device", place->env->name);
	}
	for (unsigned i = 0; i < QUEUE_SIZE; i++) {
		b->pool[i].blk = b;
		release(b, &b->pool[i]);
	}
	b->block = block;
	b->disk = &place->env->disks[0];
	fill_config(b);
	model.ctx = b;
	model.config = b->config;
	virtio_pci_init(&b->virtio, place, &model);
	*blk = b;
	return 0;
}

void virtio_blk_free(struct virtio_blk *blk)
{
	if (!blk)
		return;
	virtio_pci_exit(&blk->virtio);
	reset(blk);	/* what still completes is for nobody */
	block_drain(blk->block);
	bug_on(blk->in_flight);
	free(blk->pool);
	free(blk);
}

struct pci_dev *virtio_blk_pci(struct virtio_blk *blk)
{
	return &blk->virtio.pci;
}
