/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A modern virtio device on PCI (virtio 1.2 §3, §4.1): configuration structures, status, features, queues, interrupts.
 * A device (blk, net, rng) embeds one, describes itself with a struct virtio_model, and asks virtio_pci_ring for a queue
 * each time it wants to move a buffer. VIRTIO_F_VERSION_1 is required; there is no legacy interface.
 * All calls under the device lock.
 */
#pragma once
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <stdbool.h>
#include <stdint.h>
#include "hv/clock.h"
#include "hv/dev/virtio_ring.h"
#include "hv/pci/pci.h"
#include "lib/env/env.h"

#define VIRTIO_PCI_MAX_QUEUES 17
#define VIRTIO_BAR 4			/* the configuration structures */
#define VIRTIO_BAR_SIZE 0x4000
#define VIRTIO_MSIX_BAR 1

/* virtio 1.2; system headers from before it lack them */
#ifndef VIRTIO_F_RING_RESET
#define VIRTIO_F_RING_RESET 40
#endif
#ifndef VIRTIO_PCI_COMMON_Q_RESET
#define VIRTIO_PCI_COMMON_Q_NDATA 56
#define VIRTIO_PCI_COMMON_Q_RESET 58
#endif

enum { VIRTIO_COMMON = 0, VIRTIO_ISR = 0x1000, VIRTIO_DEVICE = 0x2000, VIRTIO_NOTIFY = 0x3000, VIRTIO_NOTIFY_STEP = 4 };

struct virtio_pci;

/* What a device provides; every slot is set. */
struct virtio_model_ops {
	/* Queue's driver side may have moved. Not called before DRIVER_OK. */
	void (*notify)(void *ctx, unsigned queue);
	/* DRIVER_OK: features are final. Then notify is called for every enabled queue. */
	void (*start)(void *ctx);
	/* Forget everything the driver said. Requests in flight may still end later; they are dropped then. */
	void (*reset)(void *ctx);
	/* Is something of before the last reset still in flight? Device status reads as not yet reset until then. */
	bool (*busy)(void *ctx);
	/* The same two for one queue (virtio 1.2 §2.6.1): its ring is stopped and forgotten already; the rest goes on. */
	void (*queue_reset)(void *ctx, unsigned queue);
	bool (*queue_busy)(void *ctx, unsigned queue);
	/* May the driver work with these features? All of them were offered. */
	bool (*accept)(void *ctx, uint64_t features);
	/* Device configuration [off, off+size) written by the driver; inside config_size. */
	void (*config_write)(void *ctx, unsigned off, unsigned size, uint64_t val);
};

struct virtio_model {
	const char *name;		/* when the environment names none */
	uint32_t class_code;
	const struct virtio_model_ops *ops;
	void *ctx;
	uint64_t features;		/* offered beside VERSION_1, INDIRECT_DESC, EVENT_IDX and RING_RESET */
	const uint8_t *config;		/* device configuration as the driver reads it; the model's, read at any time */
	unsigned config_size;
	unsigned queues;		/* up to VIRTIO_PCI_MAX_QUEUES */
	uint16_t queue_size[VIRTIO_PCI_MAX_QUEUES];	/* most entries, powers of two */
};

/* Where a device goes, and what it lives on. */
struct virtio_place {
	const struct env_pci *env;	/* outlives the device */
	struct clock *clock;		/* a timer takes up the work that one round left over */
	bool express;			/* below a root port: has an Express capability */
};

/*
 * The machine's way to take notifications without an exit to the bus, as KVM ioeventfds. Called when BAR 4 is mapped and
 * unmapped, once per queue. A guest's write (of any size and value) at gpa shall then lead to virtio_pci_notify.
 * A notification still under way at unbind may be dropped: the device looks at the queue once more by itself.
 * bind: 0, or -errno: that queue is then notified through the bus. unbind follows only a bind that returned 0.
 */
struct virtio_notify_ops {
	int (*bind)(void *ctx, struct virtio_pci *v, unsigned queue, uint64_t gpa);
	void (*unbind)(void *ctx, struct virtio_pci *v, unsigned queue, uint64_t gpa);
};

struct virtio_queue {
	struct virtio_ring ring;
	uint16_t vector;		/* VIRTIO_MSI_NO_VECTOR: none */
	bool enabled;
	bool resetting;			/* queue_reset was written; over when the model is no longer busy with the queue */
	uint64_t bound;			/* notify address bound by the machine, 0: none */
};

struct virtio_pci {
	struct pci_dev pci;
	struct virtio_model model;
	const struct virtio_notify_ops *notify_ops;
	void *notify_ctx;
	struct clock *clock;
	struct clock_timer again;
	uint32_t again_queues;		/* bits */
	uint64_t offered, driver;	/* features */
	uint32_t offered_select, driver_select;
	uint16_t queue_select, config_vector;
	uint8_t status, old_status;	/* old: what reads show while a reset is under way */
	uint8_t generation, isr;
	uint8_t cfg_cap;		/* the PCI configuration access capability */
	bool master;			/* bus mastering as last seen */
	struct virtio_queue queue[VIRTIO_PCI_MAX_QUEUES];
	uint64_t broken;		/* times a driver broke the rules */
};

void virtio_pci_init(struct virtio_pci *v, const struct virtio_place *place, const struct virtio_model *model);
/* Stops timers and unbinds notifications; the function must be off the tree's hands, the machine is going away. */
void virtio_pci_exit(struct virtio_pci *v);
/* The virtio half of a PCI function that virtio_pci_init described. */
struct virtio_pci *virtio_pci_of(struct pci_dev *pci);
/* Binds at once when BAR 4 is mapped already. Once per device. */
void virtio_pci_set_notify(struct virtio_pci *v, const struct virtio_notify_ops *ops, void *ctx);
/* The driver notified queue: from the bus, or from the machine for a bound address. Any queue number. */
void virtio_pci_notify(struct virtio_pci *v, unsigned queue);

/* For devices. */
/* The queue's ring while it may be used: enabled, DRIVER_OK, bus master, healthy. Else NULL. */
struct virtio_ring *virtio_pci_ring(struct virtio_pci *v, unsigned queue);
static inline bool virtio_pci_has(const struct virtio_pci *v, unsigned feature) { return v->driver >> feature & 1; }
/* After used buffers were shown: interrupt if the driver wants one. */
void virtio_pci_signal(struct virtio_pci *v, unsigned queue);
/* The device configuration changed: new generation, configuration interrupt. */
void virtio_pci_config_changed(struct virtio_pci *v);
/* Notify queue again from the clock, delay_ns from now: there is more to do than one round may. */
void virtio_pci_again(struct virtio_pci *v, unsigned queue, uint64_t delay_ns);
/* The driver broke the rules on queue: count, say so, NEEDS_RESET. why: static text. */
void virtio_pci_break(struct virtio_pci *v, unsigned queue, const char *why);
/* virtio_ring_pop, with a broken ring turned into virtio_pci_break: true when c holds a chain. */
bool virtio_pci_pop(struct virtio_pci *v, unsigned queue, struct virtio_chain *c);
/* virtio_ring_listen for a queue in use: true when virtio_pci_pop has something new to say. */
bool virtio_pci_listen(struct virtio_pci *v, unsigned queue);
