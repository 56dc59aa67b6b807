/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/doorbell.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "hv/dev/virtio_pci.h"
#include "hv/machine.h"

struct doorbell {
	struct doorbell *next;
	struct machine *machine;
	struct virtio_pci *dev;
	unsigned queue;
	uint64_t gpa;
	int fd;
	struct loop_watch *watch;
};

static void rung(void *ctx, int fd, uint32_t events)
{
	struct doorbell *d = ctx;
	uint64_t n;

	if (read(fd, &n, sizeof n) == sizeof n)
		virtio_pci_notify(d->dev, d->queue);
}

static void destroy(struct doorbell *d)
{
	kvm_vm_unbind_ioeventfd(d->machine->vm, false, d->gpa, d->fd);
	loop_watch_remove(d->watch);
	close(d->fd);
	free(d);
}

static int bind(void *ctx, struct virtio_pci *dev, unsigned queue, uint64_t gpa)
{
	struct machine *m = ctx;
	struct doorbell *d = calloc(1, sizeof *d);
	int r;

	if (!d)
		return -ENOMEM;
	*d = (struct doorbell){ .machine = m, .dev = dev, .queue = queue, .gpa = gpa, .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	r = d->fd < 0 ? -errno : loop_watch_add(m->loop, d->fd, EPOLLIN, rung, d, &d->watch);
	if (!r) {
		r = kvm_vm_bind_ioeventfd(m->vm, false, gpa, d->fd);
		if (r)
			loop_watch_remove(d->watch);
	}
	if (r) {
		if (d->fd >= 0)
			close(d->fd);
		free(d);
		return r;
	}
	d->next = m->doorbells;
	m->doorbells = d;
	return 0;
}

static void unbind(void *ctx, struct virtio_pci *dev, unsigned queue, uint64_t gpa)
{
	struct machine *m = ctx;

	for (struct doorbell **at = &m->doorbells; *at; at = &(*at)->next) {
		struct doorbell *d = *at;

		if (d->dev != dev || d->queue != queue || d->gpa != gpa)
			continue;
		*at = d->next;
		destroy(d);
		return;
	}
}

static const struct virtio_notify_ops ops = { .bind = bind, .unbind = unbind };

void doorbell_attach(struct machine *m, struct pci_dev *pci)
{
	virtio_pci_set_notify(virtio_pci_of(pci), &ops, m);
}
