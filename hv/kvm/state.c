/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/kvm/state.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include "lib/log.h"
#include "lib/scope.h"

enum { MSR_TSC = 0x10, MSR_DEBUGCTL = 0x1d9, MSR_MTRR_DEFAULT = 0x2ff, MSR_MC0 = 0x400 };
enum { MAX_MSRS = 1024, NESTED_BYTES = 16384 };

/* What a guest can write and KVM's list leaves out: MTRRs, debug control, machine check banks. */
static const struct { uint32_t first, count; } more_msrs[] = {
	{ 0x200, 16 }, { 0x250, 1 }, { 0x258, 2 }, { 0x268, 8 }, { MSR_MTRR_DEFAULT, 1 }, { MSR_DEBUGCTL, 1 }, { MSR_MC0, 4 * 32 },
};

struct vcpu_state {
	struct kvm_caps caps;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debug;
	struct kvm_vcpu_events events;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp;
	struct kvm_nested_state *nested;	/* NULL: no guests of the guest here */
	struct kvm_msrs *msrs;		/* values after creation, without the TSC */
};

/* Values of many registers in few calls: KVM reads up to the first it can't, which is then left out. */
static void read_msrs(int fd, struct kvm_msrs *out, const uint32_t *index, unsigned count, struct kvm_msrs *scratch)
{
	for (unsigned at = 0; at < count; at++) {
		int got;

		scratch->nmsrs = count - at;
		for (unsigned i = at; i < count; i++)
			scratch->entries[i - at] = (struct kvm_msr_entry){ .index = index[i] };
		got = ioctl(fd, KVM_GET_MSRS, scratch);
		for (int i = 0; i < got; i++)
			out->entries[out->nmsrs++] = scratch->entries[i];
		at += got > 0 ? (unsigned)got : 0;
	}
}

/* The registers KVM wants saved, from its own list; those that can't be read here fall out. */
static int save_msrs(int fd, struct vcpu_state *s, struct err *err)
{
	auto_free struct kvm_msr_list *list = calloc(1, sizeof *list + MAX_MSRS * sizeof list->indices[0]);
	auto_close int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	auto_free struct kvm_msrs *scratch = calloc(1, sizeof *scratch + MAX_MSRS * sizeof scratch->entries[0]);
	uint32_t index[MAX_MSRS];
	unsigned count = 0;

	s->msrs = calloc(1, sizeof *s->msrs + MAX_MSRS * sizeof s->msrs->entries[0]);
	if (!list || !scratch || !s->msrs)
		return err_set(err, -ENOMEM, "no memory");
	list->nmsrs = MAX_MSRS;
	if (kvm < 0 || ioctl(kvm, KVM_GET_MSR_INDEX_LIST, list))
		return err_set(err, -errno, "KVM_GET_MSR_INDEX_LIST: %s", strerror(errno));
	for (unsigned i = 0; i < array_len(more_msrs); i++) {
		for (uint32_t n = 0; n < more_msrs[i].count && count < MAX_MSRS; n++)
			index[count++] = more_msrs[i].first + n;
	}
	for (unsigned i = 0; i < list->nmsrs && count < MAX_MSRS; i++) {
		if (list->indices[i] != MSR_TSC)
			index[count++] = list->indices[i];
	}
	read_msrs(fd, s->msrs, index, count, scratch);
	return 0;
}

/* At power-on this says that the CPU runs no guest of its own; put back, it ends one that does. */
static int save_nested(int fd, struct vcpu_state *s, struct err *err)
{
	if (!s->caps.nested)
		return 0;
	s->nested = calloc(1, NESTED_BYTES);
	if (!s->nested)
		return err_set(err, -ENOMEM, "no memory");
	s->nested->size = NESTED_BYTES;
	if (ioctl(fd, KVM_GET_NESTED_STATE, s->nested))
		return err_set(err, -errno, "KVM_GET_NESTED_STATE: %s", strerror(errno));
	return 0;
}

int vcpu_state_save(int fd, const struct kvm_caps *caps, struct vcpu_state **out, struct err *err)
{
	struct vcpu_state *s = calloc(1, sizeof *s);
	int r;

	if (!s)
		return err_set(err, -ENOMEM, "no memory");
	s->caps = *caps;
	if (ioctl(fd, KVM_GET_REGS, &s->regs) || ioctl(fd, KVM_GET_SREGS, &s->sregs) || ioctl(fd, KVM_GET_FPU, &s->fpu) ||
	    ioctl(fd, KVM_GET_VCPU_EVENTS, &s->events) || ioctl(fd, KVM_GET_LAPIC, &s->lapic) ||
	    ioctl(fd, KVM_GET_MP_STATE, &s->mp) || (caps->xsave && ioctl(fd, KVM_GET_XSAVE, &s->xsave)) ||
	    (caps->xcrs && ioctl(fd, KVM_GET_XCRS, &s->xcrs)) || (caps->debugregs && ioctl(fd, KVM_GET_DEBUGREGS, &s->debug)))
		r = err_set(err, -errno, "reading a vCPU's registers: %s", strerror(errno));
	else
		r = save_msrs(fd, s, err);
	r = r ? r : save_nested(fd, s, err);
	if (r) {
		vcpu_state_free(s);
		return r;
	}
	*out = s;
	return 0;
}

void vcpu_state_free(struct vcpu_state *s)
{
	if (!s)
		return;
	free(s->msrs);
	free(s->nested);
	free(s);
}

static void restore_msrs(int fd, const struct vcpu_state *s)
{
	/* One at a time: KVM stops at the first it refuses, and those it refuses to set can't have been changed by the guest. */
	for (unsigned i = 0; i < s->msrs->nmsrs; i++) {
		struct { struct kvm_msrs head; struct kvm_msr_entry entry; } one = { .head.nmsrs = 1 };

		one.entry = s->msrs->entries[i];
		(void)!ioctl(fd, KVM_SET_MSRS, &one);
	}
}

static void put(int fd, unsigned long what, const void *state, const char *name)
{
	if (ioctl(fd, what, state))
		log_limited(LOG_WARN, "reset of a vCPU: %s: %s", name, strerror(errno));
}

/* Zero is KVM's word for "as all the others": a guest that set one CPU's counter does not hand that on to the next system. */
static void restore_tsc(int fd)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry entry; } one = { .head.nmsrs = 1, .entry.index = MSR_TSC };

	(void)!ioctl(fd, KVM_SET_MSRS, &one);
}

void vcpu_state_restore(int fd, const struct vcpu_state *s)
{
	struct kvm_vcpu_events events = s->events;
	struct kvm_mp_state now;

	/* Asking makes KVM carry out a pending INIT or SIPI now: after the reset it would start an AP on stale memory. */
	(void)!ioctl(fd, KVM_GET_MP_STATE, &now);
	if (s->nested)
		put(fd, KVM_SET_NESTED_STATE, s->nested, "nested state");
	/* The APIC base comes with these, x2APIC mode off: before the local APIC's registers. */
	put(fd, KVM_SET_SREGS, &s->sregs, "system registers");
	put(fd, KVM_SET_REGS, &s->regs, "general registers");
	/* Both: of states that the saved area marks unused, KVM_SET_XSAVE leaves the old contents, MXCSR too. */
	put(fd, KVM_SET_FPU, &s->fpu, "FPU");
	if (s->caps.xsave)
		put(fd, KVM_SET_XSAVE, &s->xsave, "extended state");
	if (s->caps.xcrs)
		put(fd, KVM_SET_XCRS, &s->xcrs, "XCR0");
	if (s->caps.debugregs)
		put(fd, KVM_SET_DEBUGREGS, &s->debug, "debug registers");
	restore_tsc(fd);
	restore_msrs(fd, s);
	put(fd, KVM_SET_LAPIC, &s->lapic, "local APIC");
	put(fd, KVM_SET_MP_STATE, &s->mp, "run state");
	/* SMM where KVM speaks of it: that also takes back a latched INIT. */
	events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW | (s->events.flags & KVM_VCPUEVENT_VALID_SMM);
	put(fd, KVM_SET_VCPU_EVENTS, &events, "pending events");
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, bool code64, bool code32)
{
	return (struct kvm_segment){ .limit = 0xffffffff, .selector = selector, .type = type, .present = 1, .s = 1, .g = 1,
				     .l = code64, .db = !code64 && code32 };
}

int vcpu_state_set_boot(int fd, const struct vcpu_boot *b, struct err *err)
{
	struct kvm_regs regs = { .rip = b->rip, .rsi = b->rsi, .rflags = 2 };
	struct kvm_sregs s;

	if (ioctl(fd, KVM_GET_SREGS, &s))
		return err_set(err, -errno, "KVM_GET_SREGS: %s", strerror(errno));
	/* Linux boot protocol: __BOOT_CS 0x10, __BOOT_DS 0x18, flat (Documentation/x86/boot.rst, 32-bit and 64-bit protocol) */
	s.cs = segment(0x10, 11, b->long_mode, true);
	s.ds = s.es = s.fs = s.gs = s.ss = segment(0x18, 3, false, true);
	s.gdt.base = b->gdt;
	s.gdt.limit = b->gdt_limit;
	s.idt.limit = 0;
	s.cr0 |= 1;
	if (b->long_mode) {
		s.cr3 = b->page_tables;
		s.cr4 |= 0x20;
		s.cr0 |= 0x80000000;
		s.efer = 0x500;
	}
	if (ioctl(fd, KVM_SET_SREGS, &s) || ioctl(fd, KVM_SET_REGS, &regs))
		return err_set(err, -errno, "setting the boot registers: %s", strerror(errno));
	return 0;
}
