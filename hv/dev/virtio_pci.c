/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/dev/virtio_pci.h"
#include <errno.h>
#include <string.h>
#include "lib/bits.h"
#include "lib/buf.h"
#include "lib/log.h"

enum { ISR_QUEUE = 1, ISR_CONFIG = 2 };

#define STATUS_WRITABLE \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FEATURES_OK | \
	 VIRTIO_CONFIG_S_FAILED)

/* ---- interrupts */

static void raise(struct virtio_pci *v, uint16_t vector, uint8_t cause)
{
	if (pci_dev_msix_on(&v->pci)) {
		if (vector != VIRTIO_MSI_NO_VECTOR)
			pci_dev_send_msix(&v->pci, vector);
		return;
	}
	v->isr |= cause;
	pci_dev_set_intx(&v->pci, 1);
}

void virtio_pci_signal(struct virtio_pci *v, unsigned queue)
{
	struct virtio_queue *q = &v->queue[queue];

	if (virtio_pci_ring(v, queue) && virtio_ring_should_signal(&q->ring))
		raise(v, q->vector, ISR_QUEUE);
}

void virtio_pci_config_changed(struct virtio_pci *v)
{
	v->generation++;
	if (v->status & VIRTIO_CONFIG_S_DRIVER_OK)
		raise(v, v->config_vector, ISR_CONFIG);
}

static uint64_t isr_read(struct virtio_pci *v)
{
	uint8_t isr = v->isr;

	v->isr = 0;
	pci_dev_set_intx(&v->pci, 0);
	return isr;
}

/* ---- queues */

struct virtio_ring *virtio_pci_ring(struct virtio_pci *v, unsigned queue)
{
	struct virtio_ring *r = &v->queue[queue].ring;

	if (!r->live || r->fault || !(v->status & VIRTIO_CONFIG_S_DRIVER_OK) || v->status & VIRTIO_CONFIG_S_NEEDS_RESET ||
	    !pci_dev_may_dma(&v->pci))
		return NULL;
	return r;
}

void virtio_pci_break(struct virtio_pci *v, unsigned queue, const char *why)
{
	v->broken++;
	log_limited(LOG_WARN, "%s: queue %u: %s: the device stops until its driver resets it", v->pci.name, queue, why);
	if (v->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	v->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	if (v->status & VIRTIO_CONFIG_S_DRIVER_OK)
		raise(v, v->config_vector, ISR_CONFIG);
}

bool virtio_pci_pop(struct virtio_pci *v, unsigned queue, struct virtio_chain *c)
{
	struct virtio_ring *r = virtio_pci_ring(v, queue);
	int n = r ? virtio_ring_pop(r, c) : 0;

	if (n < 0)
		virtio_pci_break(v, queue, r->fault);
	return n > 0;
}

bool virtio_pci_listen(struct virtio_pci *v, unsigned queue)
{
	struct virtio_ring *r = virtio_pci_ring(v, queue);

	return r && virtio_ring_listen(r);
}

void virtio_pci_notify(struct virtio_pci *v, unsigned queue)
{
	if (queue < v->model.queues && virtio_pci_ring(v, queue))
		v->model.ops->notify(v->model.ctx, queue);
}

static void notify_all(struct virtio_pci *v)
{
	for (unsigned i = 0; i < v->model.queues; i++)
		virtio_pci_notify(v, i);
}

void virtio_pci_again(struct virtio_pci *v, unsigned queue, uint64_t delay_ns)
{
	uint64_t at = clock_now(v->clock) + delay_ns;

	v->again_queues |= BIT(queue);
	clock_arm(v->clock, &v->again, v->again.armed && v->again.deadline_ns < at ? v->again.deadline_ns : at);
}

static void again(void *ctx)
{
	struct virtio_pci *v = ctx;
	uint32_t queues = v->again_queues;

	v->again.armed = false;
	v->again_queues = 0;
	for (unsigned i = 0; i < v->model.queues; i++) {
		if (queues & BIT(i))
			virtio_pci_notify(v, i);
	}
}

static void enable_queue(struct virtio_pci *v, unsigned queue)
{
	struct virtio_queue *q = &v->queue[queue];

	q->ring.mem = v->pci.bus ? v->pci.bus->host->mem : NULL;
	if (q->enabled || !q->ring.mem)
		return;
	q->ring.indirect = virtio_pci_has(v, VIRTIO_RING_F_INDIRECT_DESC);
	q->ring.event_idx = virtio_pci_has(v, VIRTIO_RING_F_EVENT_IDX);
	q->enabled = true;
	if (!(v->status & VIRTIO_CONFIG_S_FEATURES_OK))
		virtio_pci_break(v, queue, "queue enabled before features were agreed");
	else if (virtio_ring_start(&q->ring))
		virtio_pci_break(v, queue, q->ring.fault);
	/* After DRIVER_OK, a queue that comes back: nobody else looks for what waits in it, or at the back end for it. */
	virtio_pci_notify(v, queue);
}

static void forget_queue(struct virtio_pci *v, unsigned queue)
{
	struct virtio_queue *q = &v->queue[queue];

	virtio_ring_reset(&q->ring);
	q->ring.size = v->model.queue_size[queue];
	q->vector = VIRTIO_MSI_NO_VECTOR;
	q->enabled = q->resetting = false;
	v->again_queues &= ~BIT(queue);
}

static void reset_queue(struct virtio_pci *v, unsigned queue)
{
	if (!virtio_pci_has(v, VIRTIO_F_RING_RESET) || !(v->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	forget_queue(v, queue);
	v->queue[queue].resetting = true;
	v->model.ops->queue_reset(v->model.ctx, queue);
}

/* The driver takes the queue's memory back when this ends: not while DMA goes on. */
static bool resetting(struct virtio_pci *v, unsigned queue)
{
	struct virtio_queue *q = &v->queue[queue];

	if (q->resetting)
		q->resetting = v->model.ops->queue_busy(v->model.ctx, queue);
	return q->resetting;
}

/* ---- status */

static void reset_driver_state(struct virtio_pci *v)
{
	clock_disarm(v->clock, &v->again);
	v->driver = 0;
	v->offered_select = v->driver_select = 0;
	v->queue_select = 0;
	v->config_vector = VIRTIO_MSI_NO_VECTOR;
	if (v->status)
		v->old_status = v->status;
	v->status = 0;
	v->isr = 0;
	pci_dev_set_intx(&v->pci, 0);
	for (unsigned i = 0; i < v->model.queues; i++)
		forget_queue(v, i);
	v->model.ops->reset(v->model.ctx);
}

static void status_write(struct virtio_pci *v, uint8_t val)
{
	uint8_t was = v->status, set = val & STATUS_WRITABLE & (uint8_t)~was;

	if (!val) {
		reset_driver_state(v);
		return;
	}
	if (set & VIRTIO_CONFIG_S_FEATURES_OK &&
	    (v->driver & ~v->offered || !virtio_pci_has(v, VIRTIO_F_VERSION_1) || !v->model.ops->accept(v->model.ctx, v->driver)))
		set &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
	if (!((was | set) & VIRTIO_CONFIG_S_FEATURES_OK))
		set &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	v->status |= set;
	if (set & VIRTIO_CONFIG_S_DRIVER_OK) {
		v->model.ops->start(v->model.ctx);
		notify_all(v);
	}
}

static uint8_t status_read(struct virtio_pci *v)
{
	/* A driver waits for 0 before it takes its memory back (virtio 1.2 §4.1.4.3.1): not while DMA goes on. */
	if (!v->status && v->model.ops->busy(v->model.ctx))
		return v->old_status;
	return v->status;
}

/* ---- common configuration (virtio 1.2 §4.1.4.3) */

static uint32_t features_read(const struct virtio_pci *v, uint64_t features, uint32_t select)
{
	return select < 2 ? (uint32_t)(features >> (32 * select)) : 0;
}

static uint64_t common_read(struct virtio_pci *v, unsigned off, unsigned size)
{
	static const struct virtio_queue none = { .vector = VIRTIO_MSI_NO_VECTOR };
	bool have = v->queue_select < v->model.queues;
	const struct virtio_queue *q = have ? &v->queue[v->queue_select] : &none;
	uint8_t image[64];
	struct wbuf b = wbuf_of(image, sizeof image);

	if (off + size > sizeof image)
		return 0;
	wbuf_le32(&b, v->offered_select);
	wbuf_le32(&b, features_read(v, v->offered, v->offered_select));
	wbuf_le32(&b, v->driver_select);
	wbuf_le32(&b, features_read(v, v->driver, v->driver_select));
	wbuf_le16(&b, v->config_vector);
	wbuf_le16(&b, (uint16_t)v->model.queues);
	wbuf_u8(&b, status_read(v));
	wbuf_u8(&b, v->generation);
	wbuf_le16(&b, v->queue_select);
	wbuf_le16(&b, q->ring.size);
	wbuf_le16(&b, q->vector);
	wbuf_le16(&b, q->enabled);
	wbuf_le16(&b, have ? v->queue_select : 0);	/* notify offset, in steps */
	wbuf_le64(&b, q->ring.desc_gpa);
	wbuf_le64(&b, q->ring.avail_gpa);
	wbuf_le64(&b, q->ring.used_gpa);
	wbuf_le16(&b, 0);	/* notify data: exists with VIRTIO_F_NOTIF_CONFIG_DATA only */
	wbuf_le16(&b, have && resetting(v, v->queue_select));
	wbuf_zero(&b, wbuf_left(&b));
	return get_le(image + off, size);
}

static uint16_t vector_of(const struct virtio_pci *v, uint64_t val)
{
	return (uint16_t)val < v->pci.msix.vectors ? (uint16_t)val : VIRTIO_MSI_NO_VECTOR;
}

static void driver_features_write(struct virtio_pci *v, uint32_t val)
{
	unsigned shift = 32 * v->driver_select;

	if (v->driver_select < 2 && !(v->status & VIRTIO_CONFIG_S_FEATURES_OK))
		v->driver = (v->driver & ~(0xffffffffull << shift)) | (uint64_t)val << shift;
}

/* Half or all of a 64-bit queue address. */
static void address_write(uint64_t *addr, unsigned at, unsigned size, uint64_t val)
{
	uint8_t bytes[8];

	if (size < 4 || at + size > sizeof bytes)
		return;
	put_le64(bytes, *addr);
	put_le(bytes + at, size, val);
	*addr = get_le64(bytes);
}

static void queue_write(struct virtio_pci *v, unsigned off, unsigned size, uint64_t val)
{
	struct virtio_queue *q;

	if (v->queue_select >= v->model.queues)
		return;
	/* Between a reset and its end the driver leaves the queue alone (§4.1.4.3.2). */
	if (resetting(v, v->queue_select))
		return;
	q = &v->queue[v->queue_select];
	if (off == VIRTIO_PCI_COMMON_Q_MSIX && size == 2)
		q->vector = vector_of(v, val);
	if (off == VIRTIO_PCI_COMMON_Q_RESET && size == 2 && (uint16_t)val == 1)
		reset_queue(v, v->queue_select);
	if (q->enabled)
		return;
	switch (off) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		/* A size we do not have stays as written, so that enabling the queue shows the driver its mistake. */
		if (size == 2)
			q->ring.size = (uint16_t)val > v->model.queue_size[v->queue_select] ? 0 : (uint16_t)val;
		break;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		if (size == 2 && (uint16_t)val == 1)
			enable_queue(v, v->queue_select);
		break;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		address_write(&q->ring.desc_gpa, off - VIRTIO_PCI_COMMON_Q_DESCLO, size, val);
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		address_write(&q->ring.avail_gpa, off - VIRTIO_PCI_COMMON_Q_AVAILLO, size, val);
		break;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		address_write(&q->ring.used_gpa, off - VIRTIO_PCI_COMMON_Q_USEDLO, size, val);
		break;
	default:
		break;
	}
}

/* Drivers use the width of each field (§4.1.3.1); other widths are dropped. */
static void common_write(struct virtio_pci *v, unsigned off, unsigned size, uint64_t val)
{
	unsigned width = off < VIRTIO_PCI_COMMON_MSIX ? 4 : off == VIRTIO_PCI_COMMON_STATUS ? 1 : 2;

	if (off > VIRTIO_PCI_COMMON_Q_SELECT) {
		queue_write(v, off, size, val);
		return;
	}
	if (size != width)
		return;
	switch (off) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		v->offered_select = (uint32_t)val;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		v->driver_select = (uint32_t)val;
		break;
	case VIRTIO_PCI_COMMON_GF:
		driver_features_write(v, (uint32_t)val);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		v->config_vector = vector_of(v, val);
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		status_write(v, (uint8_t)val);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		v->queue_select = (uint16_t)val;
		break;
	default:
		break;
	}
}

/* ---- the structures in BAR 4 */

static uint64_t read(void *ctx, unsigned bar, uint64_t off, unsigned size)
{
	struct virtio_pci *v = ctx;

	if (bar != VIRTIO_BAR || off >= VIRTIO_NOTIFY)
		return 0;
	if (off >= VIRTIO_DEVICE) {
		off -= VIRTIO_DEVICE;
		return off + size <= v->model.config_size ? get_le(v->model.config + off, size) : 0;
	}
	if (off >= VIRTIO_ISR)
		return off == VIRTIO_ISR ? isr_read(v) : 0;
	return common_read(v, (unsigned)off, size);
}

static void write(void *ctx, unsigned bar, uint64_t off, unsigned size, uint64_t val)
{
	struct virtio_pci *v = ctx;

	if (bar != VIRTIO_BAR)
		return;
	val &= bits_mask(size);
	if (off >= VIRTIO_NOTIFY)
		virtio_pci_notify(v, (unsigned)(off - VIRTIO_NOTIFY) / VIRTIO_NOTIFY_STEP);
	else if (off >= VIRTIO_DEVICE && off - VIRTIO_DEVICE + size <= v->model.config_size)
		v->model.ops->config_write(v->model.ctx, (unsigned)(off - VIRTIO_DEVICE), size, val);
	else if (off < VIRTIO_ISR)
		common_write(v, (unsigned)off, size, val);
}

/* Returns the queues that were bound, as bits. */
static uint32_t unbind(struct virtio_pci *v)
{
	uint32_t queues = 0;

	for (unsigned i = 0; i < v->model.queues; i++) {
		struct virtio_queue *q = &v->queue[i];

		if (!q->bound)
			continue;
		v->notify_ops->unbind(v->notify_ctx, v, i, q->bound);
		q->bound = 0;
		queues |= BIT(i);
	}
	return queues;
}

static void bar_mapped(void *ctx, unsigned bar, uint64_t addr)
{
	struct virtio_pci *v = ctx;
	uint32_t lost;

	if (bar != VIRTIO_BAR || !v->notify_ops)
		return;
	lost = unbind(v);
	for (unsigned i = 0; addr != ~0ull && i < v->model.queues; i++) {
		uint64_t gpa = addr + VIRTIO_NOTIFY + i * VIRTIO_NOTIFY_STEP;

		if (!v->notify_ops->bind(v->notify_ctx, v, i, gpa))
			v->queue[i].bound = gpa;
	}
	/* What the driver had notified when its address went is not taken up by anybody else. */
	for (unsigned i = 0; i < v->model.queues; i++) {
		if (lost & BIT(i))
			virtio_pci_again(v, i, 0);
	}
}

void virtio_pci_set_notify(struct virtio_pci *v, const struct virtio_notify_ops *ops, void *ctx)
{
	const struct bus_range *range = &v->pci.bar[VIRTIO_BAR].range;

	v->notify_ops = ops;
	v->notify_ctx = ctx;
	bar_mapped(v, VIRTIO_BAR, range->mapped ? range->base : ~0ull);
}

/* ---- PCI configuration access capability (virtio 1.2 §4.1.4.9): BAR 4 for firmware that cannot map it */

static bool window(struct virtio_pci *v, unsigned off, unsigned size, uint32_t *at, uint32_t *len)
{
	const struct virtio_pci_cfg_cap *cap = NULL;
	unsigned data = v->cfg_cap + (unsigned)sizeof(struct virtio_pci_cap);
	const uint8_t *c = v->pci.config + v->cfg_cap;

	if (off >= data + sizeof cap->pci_cfg_data || off + size <= data)
		return false;
	*at = get_le32(c + VIRTIO_PCI_CAP_OFFSET);
	*len = get_le32(c + VIRTIO_PCI_CAP_LENGTH);
	return c[VIRTIO_PCI_CAP_BAR] == VIRTIO_BAR && (*len == 1 || *len == 2 || *len == 4) && !(*at & (*len - 1)) &&
	       *at < VIRTIO_BAR_SIZE;
}

static void config_read(void *ctx, unsigned off, unsigned size)
{
	struct virtio_pci *v = ctx;
	uint32_t at, len;

	if (window(v, off, size, &at, &len))
		put_le(v->pci.config + v->cfg_cap + sizeof(struct virtio_pci_cap), len, read(v, VIRTIO_BAR, at, len));
}

static void config_written(void *ctx, unsigned off, unsigned size)
{
	struct virtio_pci *v = ctx;
	bool master = pci_dev_may_dma(&v->pci), gained = master && !v->master;
	uint32_t at, len;

	v->master = master;
	if (gained)
		notify_all(v);	/* notifications of before were not acted on */
	if (window(v, off, size, &at, &len))
		write(v, VIRTIO_BAR, at, len, get_le(v->pci.config + v->cfg_cap + sizeof(struct virtio_pci_cap), len));
}

static void reset(void *ctx)
{
	struct virtio_pci *v = ctx;

	v->master = false;
	v->generation = 0;
	reset_driver_state(v);
}

static const struct pci_dev_ops ops = {
	.bar_read = read,
	.bar_write = write,
	.config_read = config_read,
	.config_written = config_written,
	.bar_mapped = bar_mapped,
	.reset = reset,
};

/* ---- description */

static unsigned add_cap(struct virtio_pci *v, uint8_t type, uint32_t off, unsigned extra)
{
	unsigned len = (unsigned)sizeof(struct virtio_pci_cap) + extra, at = pci_dev_add_cap(&v->pci, PCI_CAP_VENDOR, len);
	uint8_t *c = v->pci.config + at;

	c[VIRTIO_PCI_CAP_LEN] = (uint8_t)len;
	c[VIRTIO_PCI_CAP_CFG_TYPE] = type;
	if (type == VIRTIO_PCI_CAP_PCI_CFG)
		return at;
	c[VIRTIO_PCI_CAP_BAR] = VIRTIO_BAR;
	put_le32(c + VIRTIO_PCI_CAP_OFFSET, off);
	put_le32(c + VIRTIO_PCI_CAP_LENGTH, 0x1000);
	return at;
}

/* The same offsets, and the same order from last to first, as a server that comes from QEMU has seen them. */
static void reverse_caps(struct pci_dev *d)
{
	uint8_t at = d->config[PCI_CAP_PTR], before = 0;

	d->cap_last = (uint8_t)(at + 1);
	while (at) {
		uint8_t next = d->config[at + 1];

		d->config[at + 1] = before;
		before = at;
		at = next;
	}
	d->config[PCI_CAP_PTR] = before;
}

static void add_caps(struct virtio_pci *v, bool express)
{
	struct pci_dev *d = &v->pci;
	unsigned at;

	if (express) {
		pci_dev_add_express(d, 0, 0);
		at = pci_dev_add_cap(d, PCI_CAP_PM, 8);
		put_le16(d->config + at + 2, 3);	/* PCI Power Management 1.2, no D1, D2, PME */
		pci_dev_set_writable(d, at + 4, 2, 3);
	}
	add_cap(v, VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_COMMON, 0);
	add_cap(v, VIRTIO_PCI_CAP_ISR_CFG, VIRTIO_ISR, 0);
	add_cap(v, VIRTIO_PCI_CAP_DEVICE_CFG, VIRTIO_DEVICE, 0);
	at = add_cap(v, VIRTIO_PCI_CAP_NOTIFY_CFG, VIRTIO_NOTIFY, 4);
	put_le32(d->config + at + VIRTIO_PCI_NOTIFY_CAP_MULT, VIRTIO_NOTIFY_STEP);
	at = add_cap(v, VIRTIO_PCI_CAP_PCI_CFG, 0, 4);
	v->cfg_cap = (uint8_t)at;
	pci_dev_set_writable(d, at + VIRTIO_PCI_CAP_BAR, 1, 0xff);
	pci_dev_set_writable(d, at + VIRTIO_PCI_CAP_OFFSET, 4, ~0u);
	pci_dev_set_writable(d, at + VIRTIO_PCI_CAP_LENGTH, 4, ~0u);
	pci_dev_set_writable(d, at + (unsigned)sizeof(struct virtio_pci_cap), 4, ~0u);
	pci_dev_add_msix(d, 0, v->model.queues + 1, VIRTIO_MSIX_BAR, 0, 0x800);
	reverse_caps(d);
}

void virtio_pci_init(struct virtio_pci *v, const struct virtio_place *place, const struct virtio_model *model)
{
	const struct env_pci *env = place->env;
	const struct pci_id id = { env->vendor_id, env->device_id, env->subsystem_vendor, env->subsystem_device,
				   model->class_code, env->revision };

	bug_on(!model->queues || model->queues > VIRTIO_PCI_MAX_QUEUES);
	memset(v, 0, sizeof *v);
	v->model = *model;
	v->clock = place->clock;
	v->again = (struct clock_timer){ .fire = again, .ctx = v };
	v->offered = model->features | BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_RING_F_INDIRECT_DESC) |
		     BIT64(VIRTIO_RING_F_EVENT_IDX) | BIT64(VIRTIO_F_RING_RESET);
	pci_dev_init(&v->pci, env->name[0] ? env->name : model->name, &id, &ops, v);
	pci_dev_set_pin(&v->pci, 1);
	pci_dev_add_bar(&v->pci, VIRTIO_MSIX_BAR, PCI_BAR_MEM32, 0x1000);
	pci_dev_add_bar(&v->pci, VIRTIO_BAR, PCI_BAR_MEM64_PREFETCH, VIRTIO_BAR_SIZE);
	add_caps(v, place->express);
	reset_driver_state(v);
}

void virtio_pci_exit(struct virtio_pci *v)
{
	clock_disarm(v->clock, &v->again);
	unbind(v);
}

struct virtio_pci *virtio_pci_of(struct pci_dev *pci)
{
	return pci->ctx;
}
