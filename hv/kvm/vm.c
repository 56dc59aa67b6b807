/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/kvm/vm.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "hv/kvm/probe.h"
#include "lib/log.h"
#include "lib/scope.h"

enum { TSS_ADDR = 0xfeffd000, IDENTITY_MAP_ADDR = 0xfeffc000, MAX_CPUID = 256 };

static int cap(const struct kvm_vm *vm, int what)
{
	int r = ioctl(vm->vm_fd, KVM_CHECK_EXTENSION, what);

	return r > 0 ? r : 0;
}

static void read_caps(struct kvm_vm *vm)
{
	struct kvm_caps *c = &vm->caps;

	c->sync_regs = cap(vm, KVM_CAP_SYNC_REGS) & KVM_SYNC_X86_REGS;
	c->coalesced_pio = cap(vm, KVM_CAP_COALESCED_PIO);
	c->coalesced_page = cap(vm, KVM_CAP_COALESCED_MMIO);
	c->exit_on_emulation_failure = cap(vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE);
	c->x2apic_api = cap(vm, KVM_CAP_X2APIC_API);
	c->disable_exits = cap(vm, KVM_CAP_X86_DISABLE_EXITS);
	c->max_vcpus = cap(vm, KVM_CAP_MAX_VCPUS);
	c->xcrs = cap(vm, KVM_CAP_XCRS);
	c->debugregs = cap(vm, KVM_CAP_DEBUGREGS);
	c->xsave = cap(vm, KVM_CAP_XSAVE);
	c->tsc_deadline = cap(vm, KVM_CAP_TSC_DEADLINE_TIMER);
	c->nested = cap(vm, KVM_CAP_NESTED_STATE);
	c->disable_quirks = cap(vm, KVM_CAP_DISABLE_QUIRKS);
}

static int enable(const struct kvm_vm *vm, unsigned what, uint64_t arg)
{
	struct kvm_enable_cap e = { .cap = what, .args[0] = arg };

	return ioctl(vm->vm_fd, KVM_ENABLE_CAP, &e) ? -errno : 0;
}

static int read_supported(struct kvm_vm *vm, struct err *err)
{
	vm->supported = calloc(1, sizeof *vm->supported + MAX_CPUID * sizeof vm->supported->entries[0]);
	if (!vm->supported)
		return err_set(err, -ENOMEM, "no memory");
	vm->supported->nent = MAX_CPUID;
	if (ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, vm->supported))
		return err_set(err, -errno, "/dev/kvm: KVM_GET_SUPPORTED_CPUID: %s", strerror(errno));
	return 0;
}

static int make_chips(struct kvm_vm *vm, struct err *err)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	uint64_t identity = IDENTITY_MAP_ADDR;

	if (ioctl(vm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) && errno != ENOTTY && errno != EINVAL)
		return err_set(err, -errno, "KVM_SET_IDENTITY_MAP_ADDR: %s", strerror(errno));
	if (ioctl(vm->vm_fd, KVM_SET_TSS_ADDR, (unsigned long)TSS_ADDR))
		return err_set(err, -errno, "KVM_SET_TSS_ADDR: %s", strerror(errno));
	if (ioctl(vm->vm_fd, KVM_CREATE_IRQCHIP, 0))
		return err_set(err, -errno, "this KVM has no in-kernel interrupt chips (KVM_CREATE_IRQCHIP: %s)", strerror(errno));
	if (ioctl(vm->vm_fd, KVM_CREATE_PIT2, &pit))
		return err_set(err, -errno, "this KVM has no in-kernel PIT (KVM_CREATE_PIT2: %s)", strerror(errno));
	return 0;
}

/* ISA lines reach both PICs and the I/O APIC; the timer's, line 0, arrives at pin 2 there, as the MADT says. */
static int route_lines(struct kvm_vm *vm, struct err *err)
{
	enum { PICS = 16, PINS = 24, PIC_PINS = 8 };
	struct { struct kvm_irq_routing head; struct kvm_irq_routing_entry entry[PICS + PINS]; } t = { .head.nr = 0 };

	for (unsigned gsi = 0; gsi < PICS; gsi++) {
		if (gsi == 2)
			continue;	/* the cascade */
		t.entry[t.head.nr++] = (struct kvm_irq_routing_entry){
			.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { .irqchip = gsi < PIC_PINS ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
				       .pin = gsi % PIC_PINS } };
	}
	for (unsigned gsi = 0; gsi < PINS; gsi++) {
		if (gsi == 2)
			continue;
		t.entry[t.head.nr++] = (struct kvm_irq_routing_entry){
			.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = gsi ? gsi : 2 } };
	}
	if (ioctl(vm->vm_fd, KVM_SET_GSI_ROUTING, &t))
		return err_set(err, -errno, "KVM_SET_GSI_ROUTING: %s", strerror(errno));
	return 0;
}

static int create_vm(struct kvm_vm *vm, struct err *err)
{
	int n;

	/* The kernel may be told to stop here by a signal on its own behalf: ask again. */
	do {
		vm->vm_fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
	} while (vm->vm_fd < 0 && errno == EINTR);
	if (vm->vm_fd < 0)
		return err_set(err, -errno, "/dev/kvm: a VM can't be made (%s); `hull-hv --probe` says what this machine lacks",
			       strerror(errno));
	n = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (n < (int)sizeof(struct kvm_run))
		return err_set(err, -EINVAL, "/dev/kvm: KVM_GET_VCPU_MMAP_SIZE gives %d", n);
	vm->run_size = (size_t)n;
	read_caps(vm);
	if (vm->caps.exit_on_emulation_failure)
		(void)enable(vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1);
	if (vm->caps.disable_quirks)
		(void)enable(vm, KVM_CAP_DISABLE_QUIRKS, KVM_X86_QUIRK_OUT_7E_INC_RIP);
	n = make_chips(vm, err);
	return n ? n : route_lines(vm, err);
}

int kvm_vm_create(struct kvm_vm **out, struct err *err)
{
	struct kvm_vm *vm = calloc(1, sizeof *vm);
	int r;

	if (!vm)
		return err_set(err, -ENOMEM, "no memory");
	vm->vm_fd = vm->kvm_fd = -1;
	r = vm->kvm_fd = kvm_probe_open(err);
	r = r < 0 ? r : kvm_probe_required(vm->kvm_fd, err);
	r = r < 0 ? r : read_supported(vm, err);
	r = r < 0 ? r : create_vm(vm, err);
	if (r < 0) {
		kvm_vm_free(vm);
		return r;
	}
	*out = vm;
	return 0;
}

void kvm_vm_free(struct kvm_vm *vm)
{
	if (!vm)
		return;
	if (vm->vm_fd >= 0)
		close(vm->vm_fd);
	if (vm->kvm_fd >= 0)
		close(vm->kvm_fd);
	free(vm->supported);
	free(vm);
}

int kvm_vm_add_memory(struct kvm_vm *vm, uint64_t gpa, uint64_t len, void *host, bool readonly, struct err *err)
{
	struct kvm_userspace_memory_region m = {
		.slot = vm->slots, .flags = readonly ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = gpa, .memory_size = len, .userspace_addr = (uintptr_t)host,
	};

	if (ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &m))
		return err_set(err, -errno, "guest memory %#llx+%#llx: %s", (unsigned long long)gpa, (unsigned long long)len,
			       strerror(errno));
	vm->slots++;
	return 0;
}

void kvm_vm_set_irq(struct kvm_vm *vm, unsigned gsi, int level)
{
	struct kvm_irq_level l = { .irq = gsi, .level = (unsigned)level };

	if (ioctl(vm->vm_fd, KVM_IRQ_LINE, &l))
		log_limited(LOG_WARN, "interrupt line %u: %s", gsi, strerror(errno));
}

void kvm_vm_send_msi(struct kvm_vm *vm, uint64_t addr, uint32_t data)
{
	struct kvm_msi m = { .address_lo = (uint32_t)addr, .address_hi = (uint32_t)(addr >> 32), .data = data };

	/* A guest may aim an MSI at nobody: that is its own affair. */
	if (ioctl(vm->vm_fd, KVM_SIGNAL_MSI, &m) < 0)
		log_limited(LOG_DEBUG, "MSI to %#llx not delivered: %s", (unsigned long long)addr, strerror(errno));
}

static int ioeventfd(struct kvm_vm *vm, bool port, uint64_t addr, int fd, unsigned flags)
{
	struct kvm_ioeventfd e = { .addr = addr, .fd = fd, .flags = flags | (port ? KVM_IOEVENTFD_FLAG_PIO : 0u) };

	return ioctl(vm->vm_fd, KVM_IOEVENTFD, &e) ? -errno : 0;
}

int kvm_vm_bind_ioeventfd(struct kvm_vm *vm, bool port, uint64_t addr, int fd)
{
	return ioeventfd(vm, port, addr, fd, 0);
}

void kvm_vm_unbind_ioeventfd(struct kvm_vm *vm, bool port, uint64_t addr, int fd)
{
	int r = ioeventfd(vm, port, addr, fd, KVM_IOEVENTFD_FLAG_DEASSIGN);

	if (r)
		log_limited(LOG_WARN, "ioeventfd at %#llx: %s", (unsigned long long)addr, strerror(-r));
}

int kvm_vm_bind_irqfd(struct kvm_vm *vm, unsigned gsi, int fd)
{
	struct kvm_irqfd i = { .fd = (unsigned)fd, .gsi = gsi };

	return ioctl(vm->vm_fd, KVM_IRQFD, &i) ? -errno : 0;
}

void kvm_vm_coalesce_ports(struct kvm_vm *vm, uint16_t port, unsigned len)
{
	struct kvm_coalesced_mmio_zone z = { .addr = port, .size = len, .pio = 1 };

	if (vm->caps.coalesced_pio && vm->ring && ioctl(vm->vm_fd, KVM_REGISTER_COALESCED_MMIO, &z))
		log_debug("ports %#x+%u are not coalesced: %s", port, len, strerror(errno));
}

/* ---- power-on state */

struct kvm_chips {
	struct kvm_irqchip chip[3];	/* PIC master, PIC slave, I/O APIC */
	struct kvm_pit_state2 pit;
};

int kvm_vm_save_chips(struct kvm_vm *vm, struct kvm_chips **out, struct err *err)
{
	auto_free struct kvm_chips *c = calloc(1, sizeof *c);

	if (!c)
		return err_set(err, -ENOMEM, "no memory");
	for (unsigned i = 0; i < 3; i++) {
		c->chip[i].chip_id = i;
		if (ioctl(vm->vm_fd, KVM_GET_IRQCHIP, &c->chip[i]))
			return err_set(err, -errno, "KVM_GET_IRQCHIP: %s", strerror(errno));
	}
	if (ioctl(vm->vm_fd, KVM_GET_PIT2, &c->pit))
		return err_set(err, -errno, "KVM_GET_PIT2: %s", strerror(errno));
	*out = take_ptr(c);
	return 0;
}

void kvm_vm_restore_chips(struct kvm_vm *vm, const struct kvm_chips *c)
{
	for (unsigned i = 0; i < 3; i++) {
		if (ioctl(vm->vm_fd, KVM_SET_IRQCHIP, &c->chip[i]))
			log_warn("reset of interrupt chip %u: %s", i, strerror(errno));
	}
	if (ioctl(vm->vm_fd, KVM_SET_PIT2, &c->pit))
		log_warn("reset of the PIT: %s", strerror(errno));
}
