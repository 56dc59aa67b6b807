/* SPDX-License-Identifier: Apache-2.0 */
/* What a doorbell does without KVM: KVM refuses each one. That the others ring is for the system tests. */
#include <dirent.h>
#include "hv/dev/virtio_rng.h"
#include "hv/doorbell.h"
#include "hv/machine.h"
#include "tests/unit/suite.h"
#include "tests/unit/hv/dev/virtio_driver.h"

static const struct env_pci env = { .kind = ENV_PCI_VIRTIO_RNG, .name = "", .vendor_id = 0x1af4, .device_id = 0x1044 };

static unsigned descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

static void refused_doorbells_leave_the_bus_and_nothing_behind(void)
{
	struct kvm_vm vm = { .kvm_fd = -1, .vm_fd = -1 };
	struct machine *m = calloc(1, sizeof *m);
	struct rig *rig = rig_new();
	struct virtio_place place = { &env, &rig->clock, false };
	struct virtio_rng *rng = NULL;
	uint32_t id = 0, len = 0;
	unsigned before;
	struct driver d;
	struct vq q;

	m->vm = &vm;
	check_eq(loop_create(&m->loop, NULL), 0);
	check_eq(virtio_rng_create(&rng, &place, NULL), 0);
	d = driver_open(rig, virtio_rng_pci(rng), 6);
	before = descriptors();
	doorbell_attach(m, virtio_rng_pci(rng));	/* mapped already */
	for (unsigned i = 0; i < 3; i++) {
		d.bar += 0x4000;
		driver_map(&d);
	}
	check(!m->doorbells);
	check_eq(descriptors(), before);
	check(driver_negotiate(&d, BIT64(VIRTIO_F_VERSION_1)));
	vq_place(&q, rig, 0x10000, 8, false);
	vq_program(&d, &q, 0);
	set_status(&d, VIRTIO_CONFIG_S_DRIVER_OK);
	vq_add(&q, (struct buffer[]){ { 0x2000, 32, VRING_DESC_F_WRITE } }, 1);
	check(vq_kick(&q));
	check(vq_take(&q, &id, &len));
	check_eq(len, 32);
	check_eq(rig_advance(rig, 0), 0);	/* nothing was lost, so nobody looks again */
	virtio_rng_free(rng);
	loop_free(m->loop);
	rig_free(rig);
	free(m);
}

static const struct test tests[] = {
	{ "refused doorbells leave the bus, and nothing behind", refused_doorbells_leave_the_bus_and_nothing_behind },
	{ NULL, NULL },
};

const struct suite suite_hv_doorbell = { tests };
