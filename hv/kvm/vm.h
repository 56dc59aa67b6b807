/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual machine on /dev/kvm: the only code, with vcpu.c, cpuid.c, state.c and probe.c, that calls KVM.
 * Interrupt chips (PIC, I/O APIC, LAPIC) and the PIT are KVM's own. Source: Linux Documentation/virt/kvm/api.rst.
 * Set-up calls are for the starting thread; those marked so may come from any thread.
 */
#pragma once
#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/err.h"

struct kvm_caps {
	bool sync_regs, coalesced_pio, exit_on_emulation_failure, x2apic_api, adjust_clock, xcrs, debugregs, xsave;
	bool tsc_deadline, disable_quirks, nested;
	int disable_exits, max_vcpus, coalesced_page;
};

struct kvm_vm {
	int kvm_fd, vm_fd;
	size_t run_size;	/* bytes of a vCPU's shared area */
	unsigned slots;
	struct kvm_caps caps;
	struct kvm_coalesced_mmio_ring *ring;	/* one for the VM, in vCPU 0's area; NULL: none */
	struct kvm_cpuid2 *supported;		/* what KVM can show here */
};

/* Open /dev/kvm and make a VM with interrupt chips and PIT. Errors say which module, flag or permission is missing. */
int kvm_vm_create(struct kvm_vm **vm, struct err *err) must_check;
void kvm_vm_free(struct kvm_vm *vm);
int kvm_vm_add_memory(struct kvm_vm *vm, uint64_t gpa, uint64_t len, void *host, bool readonly, struct err *err) must_check;
/* Interrupt line, any thread. Idempotent a level. */
void kvm_vm_set_irq(struct kvm_vm *vm, unsigned gsi, int level);
/* Any thread. */
void kvm_vm_send_msi(struct kvm_vm *vm, uint64_t addr, uint32_t data);
/* A write of any length at addr signals fd instead of an exit. Any thread. -ENOSPC and the like when KVM has no room. */
int kvm_vm_bind_ioeventfd(struct kvm_vm *vm, bool port, uint64_t addr, int fd) must_check;
void kvm_vm_unbind_ioeventfd(struct kvm_vm *vm, bool port, uint64_t addr, int fd);
/* A signal on fd raises gsi (edge). */
int kvm_vm_bind_irqfd(struct kvm_vm *vm, unsigned gsi, int fd) must_check;
/* Writes to these ports are queued and seen at the next exit. Quietly does nothing where KVM can't. */
void kvm_vm_coalesce_ports(struct kvm_vm *vm, uint16_t port, unsigned len);
/* Keep the power-on state of the interrupt chips and PIT; put it back. All vCPUs stopped. */
struct kvm_chips;
int kvm_vm_save_chips(struct kvm_vm *vm, struct kvm_chips **chips, struct err *err) must_check;
void kvm_vm_restore_chips(struct kvm_vm *vm, const struct kvm_chips *chips);
