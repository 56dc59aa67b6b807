/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/kvm/state.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include "lib/log.h"
#include "lib/scope.h"

enum { MSR_TSC = 0x10, MAX_MSRS = 512 };

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
	struct kvm_msrs *msrs;		/* values after creation, without the TSC */
};

/* The registers KVM wants saved, from its own list; those that can't be read here fall out. */
static int save_msrs(int fd, struct vcpu_state *s, struct err *err)
{
	auto_free struct kvm_msr_list *list = calloc(1, sizeof *list + MAX_MSRS * sizeof list->indices[0]);
	auto_close int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	s->msrs = calloc(1, sizeof *s->msrs + MAX_MSRS * sizeof s->msrs->entries[0]);
	if (!list || !s->msrs)
		return err_set(err, -ENOMEM, "no memory");
	list->nmsrs = MAX_MSRS;
	if (kvm < 0 || ioctl(kvm, KVM_GET_MSR_INDEX_LIST, list))
		return err_set(err, -errno, "KVM_GET_MSR_INDEX_LIST: %s", strerror(errno));
	for (unsigned i = 0; i < list->nmsrs; i++) {
		struct { struct kvm_msrs head; struct kvm_msr_entry entry; } one = { .head.nmsrs = 1 };

		one.entry.index = list->indices[i];
		if (one.entry.index != MSR_TSC && ioctl(fd, KVM_GET_MSRS, &one) == 1)
			s->msrs->entries[s->msrs->nmsrs++] = one.entry;
	}
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

void vcpu_state_restore(int fd, const struct vcpu_state *s)
{
	struct kvm_vcpu_events events = s->events;
	int r;

	events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	r = ioctl(fd, KVM_SET_SREGS, &s->sregs);
	r |= ioctl(fd, KVM_SET_REGS, &s->regs);
	if (s->caps.xsave)
		r |= ioctl(fd, KVM_SET_XSAVE, &s->xsave);
	else
		r |= ioctl(fd, KVM_SET_FPU, &s->fpu);
	if (s->caps.xcrs)
		r |= ioctl(fd, KVM_SET_XCRS, &s->xcrs);
	if (s->caps.debugregs)
		r |= ioctl(fd, KVM_SET_DEBUGREGS, &s->debug);
	restore_msrs(fd, s);
	r |= ioctl(fd, KVM_SET_LAPIC, &s->lapic);
	r |= ioctl(fd, KVM_SET_MP_STATE, &s->mp);
	r |= ioctl(fd, KVM_SET_VCPU_EVENTS, &events);
	if (r)
		log_warn("a vCPU's registers could not all be reset: %s", strerror(errno));
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
