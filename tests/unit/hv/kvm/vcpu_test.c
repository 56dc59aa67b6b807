/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/kvm/vcpu.h"
#include <sys/eventfd.h>
#include <unistd.h>
#include "tests/unit/hv/kvm/guest.h"

#define DONE 0xe6, 0xf4, 0xeb, 0xfe	/* out %al,$0xf4; jmp . */

static void check_access(const struct guest *g, unsigned i, bool port, bool write, unsigned size, uint64_t addr, uint64_t val)
{
	const struct guest_access *a = &g->access[i];

	check_eq(a->port, port);
	check_eq(a->write, write);
	check_eq(a->size, size);
	check_eq(a->addr, addr);
	check_eq(a->count, 1);
	check_eq(get_le(a->data, size), val);
}

static void port_writes_of_each_size(void)
{
	static const uint8_t code[] = {
		0x66, 0xb8, 0x44, 0x33, 0x22, 0x11,	/* mov $0x11223344,%eax */
		0xba, 0x10, 0x05,			/* mov $0x510,%dx */
		0xee, 0xef, 0x66, 0xef, DONE };		/* out %al, %ax, %eax */
	struct guest *g = GUEST(code);

	if (!g)
		return;
	if (guest_run(g)) {
		check_eq(g->accesses, 3);
		check_access(g, 0, true, true, 1, 0x510, 0x44);
		check_access(g, 1, true, true, 2, 0x510, 0x3344);
		check_access(g, 2, true, true, 4, 0x510, 0x11223344);
		check_eq(atomic_load(&g->vcpu->exits[VCPU_EXIT_PORT]), 4);
		check(atomic_load(&g->vcpu->first_run_ns) != 0);
	}
	guest_end(g);
}

static void port_reads_of_each_size(void)
{
	static const uint8_t code[] = {
		0xba, 0x11, 0x05,			/* mov $0x511,%dx */
		0xec, 0xa2, 0x00, 0x20,			/* in %dx,%al; mov %al,0x2000 */
		0xed, 0xa3, 0x04, 0x20,			/* in %dx,%ax; mov %ax,0x2004 */
		0x66, 0xed, 0x66, 0xa3, 0x08, 0x20, DONE };	/* in %dx,%eax; mov %eax,0x2008 */
	struct guest *g = GUEST(code);

	if (!g)
		return;
	g->answer = 0x81;
	if (guest_run(g)) {
		check_eq(g->accesses, 3);
		check_eq(g->ram[0x2000], 0x81);
		check_eq(get_le16(g->ram + 0x2004), 0x8281);
		check_eq(get_le32(g->ram + 0x2008), 0x84838281);
	}
	guest_end(g);
}

/* All bytes that accesses of one kind moved, in order, and how many elements. */
static unsigned gather(const struct guest *g, bool write, uint8_t *to)
{
	unsigned n = 0;

	for (unsigned i = 0; i < g->accesses; i++) {
		const struct guest_access *a = &g->access[i];

		check_eq(a->write, write);
		memcpy(to + n, a->data, a->count * a->size);
		n += a->count * a->size;
	}
	return n;
}

static void string_output(void)
{
	static const uint8_t code[] = {
		0xfc, 0xbe, 0x00, 0x20,			/* cld; mov $0x2000,%si */
		0xb9, 0x0a, 0x00, 0xba, 0x10, 0x05,	/* mov $10,%cx; mov $0x510,%dx */
		0xf3, 0x6e, DONE };			/* rep outsb */
	struct guest *g = GUEST(code);
	uint8_t got[64];

	if (!g)
		return;
	memcpy(g->ram + 0x2000, "0123456789", 10);
	if (guest_run(g)) {
		check_eq(gather(g, true, got), 10);
		check(!memcmp(got, "0123456789", 10));
	}
	guest_end(g);
}

static void string_input(void)
{
	static const uint8_t code[] = {
		0xfc, 0xbf, 0x00, 0x20,			/* cld; mov $0x2000,%di */
		0xb9, 0x05, 0x00, 0xba, 0x11, 0x05,	/* mov $5,%cx; mov $0x511,%dx */
		0xf3, 0x6d, DONE };			/* rep insw */
	struct guest *g = GUEST(code);
	uint8_t got[64];

	if (!g)
		return;
	g->answer = 7;
	if (guest_run(g)) {
		check_eq(gather(g, false, got), 10);
		check(!memcmp(got, g->ram + 0x2000, 10));
		check_eq(g->ram[0x2000], 7);
		check_eq(g->ram[0x200a], 0);
	}
	guest_end(g);
}

/* 0x10ffef and below it are all that real mode reaches; RAM ends at 1 MiB, so 0xffff:0x10… is MMIO. */
static void mmio_of_each_size(void)
{
	static const uint8_t code[] = {
		0xb8, 0xff, 0xff, 0x8e, 0xd8,			/* mov $0xffff,%ax; mov %ax,%ds */
		0x66, 0xb8, 0x44, 0x33, 0x22, 0x11,		/* mov $0x11223344,%eax */
		0xa2, 0x20, 0x00, 0xa3, 0x20, 0x00,		/* mov %al,0x20; mov %ax,0x20 */
		0x66, 0xa3, 0x20, 0x00,				/* mov %eax,0x20 */
		0x66, 0xa1, 0x30, 0x00,				/* mov 0x30,%eax */
		0x31, 0xdb, 0x8e, 0xdb, 0x66, 0xa3, 0x00, 0x20,	/* xor %bx,%bx; mov %bx,%ds; mov %eax,0x2000 */
		DONE };
	struct guest *g = GUEST(code);

	if (!g)
		return;
	g->answer = 0x51;
	if (guest_run(g)) {
		check_eq(g->accesses, 4);
		check_access(g, 0, false, true, 1, 0x100010, 0x44);
		check_access(g, 1, false, true, 2, 0x100010, 0x3344);
		check_access(g, 2, false, true, 4, 0x100010, 0x11223344);
		check_access(g, 3, false, false, 4, 0x100020, 0x54535251);
		check_eq(get_le32(g->ram + 0x2000), 0x54535251);
		check_eq(atomic_load(&g->vcpu->exits[VCPU_EXIT_MMIO]), 4);
	}
	guest_end(g);
}

static void mmio_across_a_page_comes_in_pieces(void)
{
	static const uint8_t code[] = {
		0xb8, 0xff, 0xff, 0x8e, 0xd8,			/* mov $0xffff,%ax; mov %ax,%ds */
		0x66, 0xb8, 0x44, 0x33, 0x22, 0x11,		/* mov $0x11223344,%eax */
		0x66, 0xa3, 0x0d, 0x10, DONE };			/* mov %eax,0x100d: three bytes at 0x100ffd, one at 0x101000 */
	struct guest *g = GUEST(code);
	uint8_t got[64];

	if (!g)
		return;
	if (guest_run(g)) {
		check_eq(gather(g, true, got), 4);
		check_eq(get_le32(got), 0x11223344);
		check_eq(g->access[0].addr, 0x100ffd);
		check_eq(g->access[0].size, 3);
		check_eq(g->access[1].addr, 0x101000);
	}
	guest_end(g);
}

static void a_triple_fault_is_an_event(void)
{
	static const uint8_t code[] = {
		0x0f, 0x01, 0x1e, 0x12, 0x10,				/* lidt 0x1012: limit 0 */
		0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0,		/* mov %cr0,%eax; or $1,%al; mov %eax,%cr0 */
		0xb8, 0x18, 0x00, 0x8e, 0xd8,			/* mov $0x18,%ax; mov %ax,%ds: a fault, and no gate for it */
		0, 0, 0, 0, 0, 0 };
	struct guest *g = GUEST(code);

	if (!g)
		return;
	if (guest_run(g)) {
		check_eq(g->events, 1);
		check_eq(g->event, VCPU_TRIPLE_FAULT);
		if (g->event == VCPU_FAILED)
			suite_note("%s", g->vcpu->failure);
	}
	guest_end(g);
}

/* What KVM's emulator does not know, on memory that only it can reach. */
static void an_unknown_instruction_is_named(void)
{
	static const uint8_t code[] = {
		0xb8, 0xff, 0xff, 0x8e, 0xd8,		/* mov $0xffff,%ax; mov %ax,%ds */
		0x0f, 0x20, 0xe0, 0x0d, 0x00, 0x02, 0x0f, 0x22, 0xe0,	/* mov %cr4,%eax; or $0x200,%ax; mov %eax,%cr4 */
		0x0f, 0xc2, 0x06, 0x20, 0x00, 0x00,	/* cmpeqps 0x20,%xmm0 */
		DONE };
	struct guest *g = GUEST(code);

	if (!g)
		return;
	if (guest_run(g)) {
		check_eq(g->events, 1);
		check_eq(g->event, VCPU_FAILED);
		check(strstr(g->vcpu->failure, "vCPU 0 at 0x100e: KVM can't emulate this instruction; bytes: 0f c2 06 20 00") ||
		      strstr(g->vcpu->failure, "bytes: not given by this KVM"));
		if (!strstr(g->vcpu->failure, "0f c2"))
			suite_note("%s", g->vcpu->failure);
	}
	guest_end(g);
}

static void a_kick_stops_an_endless_loop(void)
{
	static const uint8_t code[] = { 0x40, 0xeb, 0xfd };	/* inc %ax; jmp back */
	struct guest *g = GUEST(code);

	if (!g)
		return;
	for (unsigned i = 0; i < 50 && guest_start_thread(g); i++) {
		vcpu_kick(g->vcpu);	/* at a moment the thread may not even have begun */
		check_or_return(guest_wait(&g->stopped));
		g->leave = true;
		sem_post(&g->go);
		vcpu_join(g->vcpu);
		g->leave = false;
		check_eq(g->accesses, 0);
	}
	check(atomic_load(&g->vcpu->exits[VCPU_EXIT_SIGNAL]) >= 50);
	guest_end(g);
}

static void a_halted_guest_is_stopped_too(void)
{
	static const uint8_t code[] = { 0xe6, 0x70, 0xf4, 0xeb, 0xfd };	/* out; hlt; jmp back */
	struct guest *g = GUEST(code);

	if (!g)
		return;
	if (guest_start_thread(g)) {
		vcpu_kick(g->vcpu);
		check(guest_wait(&g->stopped));
		sem_post(&g->go);
		vcpu_kick(g->vcpu);
		check(guest_wait(&g->stopped));
	}
	guest_end(g);
}

/* ---- reset */

struct all {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	struct kvm_debugregs debug;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp;
	uint64_t msr[8];
};

static const uint32_t watched[8] = { 0x174, 0x175, 0x176, 0x277, 0xc0000081, 0xc0000082, 0x2ff, 0x250 };

static uint64_t get_msr(int fd, uint32_t index)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry entry; } one = { .head.nmsrs = 1, .entry.index = index };

	return ioctl(fd, KVM_GET_MSRS, &one) == 1 ? one.entry.data : 0xdead;
}

static void get_all(int fd, struct all *a)
{
	memset(a, 0, sizeof *a);
	check_eq(ioctl(fd, KVM_GET_REGS, &a->regs), 0);
	check_eq(ioctl(fd, KVM_GET_SREGS, &a->sregs), 0);
	check_eq(ioctl(fd, KVM_GET_FPU, &a->fpu), 0);
	check_eq(ioctl(fd, KVM_GET_DEBUGREGS, &a->debug), 0);
	check_eq(ioctl(fd, KVM_GET_LAPIC, &a->lapic), 0);
	check_eq(ioctl(fd, KVM_GET_MP_STATE, &a->mp), 0);
	for (unsigned i = 0; i < 8; i++)
		a->msr[i] = get_msr(fd, watched[i]);
}

static void set_msr(int fd, uint32_t index, uint64_t val)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry entry; } one = {
		.head.nmsrs = 1, .entry = { .index = index, .data = val } };

	check_eq(ioctl(fd, KVM_SET_MSRS, &one), 1);
}

static void reset_restores_what_the_guest_changed(void)
{
	static const uint8_t code[] = {
		0x66, 0xb8, 0x78, 0x56, 0x34, 0x12, 0x66, 0x89, 0xc3, 0x66, 0x89, 0xc6,	/* eax, ebx, esi */
		0x0f, 0x23, 0xc0,							/* mov %eax,%dr0 */
		0x66, 0xb9, 0x74, 0x01, 0x00, 0x00, 0x0f, 0x30,				/* wrmsr SYSENTER_CS */
		0xb8, 0x34, 0x12, 0x8e, 0xd8, DONE };					/* mov $0x1234,%ax; mov %ax,%ds */
	struct guest *g = GUEST(code);
	struct all before, after;
	int fd;

	if (!g)
		return;
	fd = g->vcpu->fd;
	vcpu_reset(g->vcpu);
	get_all(fd, &before);
	check_eq(before.regs.rip, 0xfff0);
	check_eq(before.sregs.cs.base, 0xffff0000);
	guest_load(g, code, sizeof code);
	if (guest_run(g)) {
		check_eq(g->events, 0);
		if (g->events)
			suite_note("%s", g->vcpu->failure);
		check_eq(ioctl(fd, KVM_GET_FPU, &after.fpu), 0);
		after.fpu.fcw = 0x27f;
		after.fpu.xmm[0][0] = 1;
		check_eq(ioctl(fd, KVM_SET_FPU, &after.fpu), 0);
		set_msr(fd, 0x2ff, 0xc06);
		set_msr(fd, 0x250, 0x0606060606060606);
		set_msr(fd, 0xc0000082, 0x1000);
		get_all(fd, &after);
		check(memcmp(&after.debug, &before.debug, sizeof after.debug));
		check_eq(after.regs.rbx, 0x12345678);
		check_eq(after.sregs.ds.selector, 0x1234);
		vcpu_reset(g->vcpu);
		get_all(fd, &after);
		check(!memcmp(&after.regs, &before.regs, sizeof after.regs));
		check(!memcmp(&after.sregs, &before.sregs, sizeof after.sregs));
		check_eq(after.fpu.fcw, before.fpu.fcw);
		check_eq(after.fpu.mxcsr, before.fpu.mxcsr);
		check_eq(after.fpu.ftwx, before.fpu.ftwx);
		check(!memcmp(after.fpu.xmm, before.fpu.xmm, sizeof after.fpu.xmm));
		check(!memcmp(&after.debug, &before.debug, sizeof after.debug));
		check(!memcmp(&after.lapic, &before.lapic, sizeof after.lapic));
		check(!memcmp(&after.mp, &before.mp, sizeof after.mp));
		for (unsigned i = 0; i < 8; i++)
			check_eq(after.msr[i], before.msr[i]);
	}
	guest_end(g);
}

static void reset_leaves_x2apic_mode(void)
{
	static const uint8_t code[] = { DONE };
	struct guest *g = GUEST(code);
	struct all before, after;
	struct vcpu *v = NULL;
	struct err err = { 0 };

	if (!g)
		return;
	g->env.cpu.cores = 2;
	g->env.cpu.words[ENV_CPUID_1_ECX] = 1u << 21;
	check_eq(vcpu_create(g->vm, &g->env, 1, &g->host, &v, &err), 0);
	if (v) {
		vcpu_reset(v);
		get_all(v->fd, &before);
		after = before;
		after.sregs.apic_base |= 0x400;
		check_eq(ioctl(v->fd, KVM_SET_SREGS, &after.sregs), 0);
		vcpu_reset(v);
		get_all(v->fd, &after);
		check_eq(after.sregs.apic_base, before.sregs.apic_base);
		check(!memcmp(&after.lapic, &before.lapic, sizeof after.lapic));
	}
	vcpu_free(v);
	guest_end(g);
}

/* The SIPI that waited when the machine was reset. */
static void reset_forgets_a_pending_sipi(void)
{
	static const uint8_t code[] = { DONE };
	struct guest *g = GUEST(code);
	struct kvm_mp_state state;
	struct vcpu *ap = NULL;
	struct err err = { 0 };

	if (!g)
		return;
	g->env.cpu.cores = 2;
	check_eq(vcpu_create(g->vm, &g->env, 1, &g->host, &ap, &err), 0);
	if (ap) {
		kvm_vm_send_msi(g->vm, 0xfee01000, 0x500);	/* INIT to APIC id 1 */
		kvm_vm_send_msi(g->vm, 0xfee01000, 0x602);	/* SIPI, page 2 */
		vcpu_reset(ap);
		check_eq(ioctl(ap->fd, KVM_GET_MP_STATE, &state), 0);
		check_eq(state.mp_state, KVM_MP_STATE_UNINITIALIZED);
	}
	vcpu_free(ap);
	guest_end(g);
}

/* ---- writes that do not stop the guest */

static void coalesced_writes_stand_in_order(void)
{
	static const uint8_t code[] = {
		0xb0, 0x01, 0xe6, 0x80, 0xfe, 0xc0, 0xe6, 0x80, 0xfe, 0xc0, 0xe6, 0x80,	/* 1, 2, 3 to 0x80 */
		0xe6, 0x90, DONE };							/* 3 to 0x90 */
	struct guest *g = GUEST(code);

	if (!g)
		return;
	if (!g->vm->caps.coalesced_pio) {
		suite_skip("this KVM queues no port writes");
	} else {
		kvm_vm_coalesce_ports(g->vm, 0x80, 1);
		if (guest_run(g)) {
			const struct kvm_coalesced_mmio_ring *ring = g->vm->ring;

			check_eq(g->accesses, 1);
			check_access(g, 0, true, true, 1, 0x90, 3);
			check_eq(ring->last - ring->first, 3);
			for (unsigned i = 0; i < 3; i++) {
				check_eq(ring->coalesced_mmio[i].phys_addr, 0x80);
				check_eq(ring->coalesced_mmio[i].len, 1);
				check_eq(ring->coalesced_mmio[i].pio, 1);
				check_eq(ring->coalesced_mmio[i].data[0], i + 1);
			}
		}
	}
	guest_end(g);
}

/* Has the master PIC latched this line? The kernel injects by descriptor a little later. */
static bool pic_pending(struct guest *g, unsigned line)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_PIC_MASTER };

	for (unsigned i = 0; i < 100000; i++) {
		if (ioctl(g->vm->vm_fd, KVM_GET_IRQCHIP, &chip))
			return false;
		if (chip.chip.pic.irr & BIT(line))
			return true;
	}
	return false;
}

static void a_descriptor_raises_an_interrupt_line(void)
{
	static const uint8_t code[] = { DONE };
	struct guest *g = GUEST(code);
	int fd;

	if (!g)
		return;
	fd = eventfd(0, EFD_NONBLOCK);
	check_eq(kvm_vm_bind_irqfd(g->vm, 5, fd), 0);
	check_eq(kvm_vm_bind_irqfd(g->vm, 5, fd), (uint64_t)-EBUSY);
	check_eq(eventfd_write(fd, 1), 0);
	check(pic_pending(g, 5));
	guest_end(g);
	close(fd);
}

static void a_doorbell_rings_for_each_size(void)
{
	static const uint8_t code[] = {
		0xba, 0x00, 0x06, 0xee, 0xef, 0x66, 0xef,	/* mov $0x600,%dx; out %al, %ax, %eax */
		0xb8, 0xff, 0xff, 0x8e, 0xd8, 0xa3, 0x20, 0x00, DONE };	/* mov %ax,0xffff:0x20 */
	struct guest *g = GUEST(code);
	int port, mmio;
	uint64_t n;

	if (!g)
		return;
	port = eventfd(0, EFD_NONBLOCK);
	mmio = eventfd(0, EFD_NONBLOCK);
	check_eq(kvm_vm_bind_ioeventfd(g->vm, true, 0x600, port), 0);
	check_eq(kvm_vm_bind_ioeventfd(g->vm, false, 0x100010, mmio), 0);
	check_eq(kvm_vm_bind_ioeventfd(g->vm, false, 0x100010, mmio), (uint64_t)-EEXIST);
	if (guest_run(g)) {
		check_eq(g->accesses, 0);
		check_eq(read(port, &n, sizeof n), sizeof n);
		check_eq(n, 3);
		check_eq(read(mmio, &n, sizeof n), sizeof n);
		check_eq(n, 1);
		kvm_vm_unbind_ioeventfd(g->vm, true, 0x600, port);
		kvm_vm_unbind_ioeventfd(g->vm, false, 0x100010, mmio);
		guest_load(g, code, sizeof code);
		sem_post(&g->go);
		check(guest_wait(&g->stopped));
		check_eq(g->accesses, 4);
	}
	guest_end(g);
	close(port);
	close(mmio);
}

static const struct test tests[] = {
	{ "port writes of each size arrive", port_writes_of_each_size },
	{ "port reads of each size are answered", port_reads_of_each_size },
	{ "string output arrives in order", string_output },
	{ "string input fills guest memory", string_input },
	{ "MMIO of each size arrives", mmio_of_each_size },
	{ "MMIO across a page's end comes in pieces of odd sizes", mmio_across_a_page_comes_in_pieces },
	{ "a triple fault is an event", a_triple_fault_is_an_event },
	{ "an instruction that KVM can't emulate is named by its bytes", an_unknown_instruction_is_named },
	{ "a kick stops an endless loop, also at the thread's first moment", a_kick_stops_an_endless_loop },
	{ "a kick stops a halted guest", a_halted_guest_is_stopped_too },
	{ "reset restores what the guest changed", reset_restores_what_the_guest_changed },
	{ "reset leaves x2APIC mode", reset_leaves_x2apic_mode },
	{ "reset forgets a pending SIPI", reset_forgets_a_pending_sipi },
	{ "coalesced writes stand in order and do not stop the guest", coalesced_writes_stand_in_order },
	{ "a descriptor raises an interrupt line", a_descriptor_raises_an_interrupt_line },
	{ "a doorbell rings for writes of each size", a_doorbell_rings_for_each_size },
	{ NULL, NULL },
};
const struct suite suite_hv_kvm_vcpu = { tests };
