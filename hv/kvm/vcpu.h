/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One virtual CPU and its thread's loop. Every port and MMIO exit goes through one function, access(), with the general
 * registers in the shared area (KVM_CAP_SYNC_REGS) where KVM offers that: the place where look-ahead will go on.
 */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include "hv/kvm/vm.h"
#include "lib/env/env.h"

struct vcpu;

enum vcpu_event {
	VCPU_TRIPLE_FAULT,	/* the guest shut itself down the hard way: real machines reset */
	VCPU_FAILED,		/* KVM can't go on; v->failure says why */
};

struct vcpu_access {
	bool port, write;
	uint8_t size;		/* 1, 2, 4 or 8 bytes of one element */
	uint64_t addr;
	uint32_t count;		/* elements at data, all to the same address (string I/O); 1 otherwise */
	void *data;		/* little endian, size × count bytes; a read fills it */
};

/* What a vCPU needs from the machine. Called on the vCPU's thread. */
struct vcpu_host {
	/* Perform the access. Takes the device lock itself. */
	void (*access)(void *ctx, struct vcpu *v, const struct vcpu_access *a);
	void (*event)(void *ctx, struct vcpu *v, enum vcpu_event event);
	/* The vCPU was kicked and stands between two instructions with nothing half done. May block to keep it there.
	 * False ends the thread. */
	bool (*paused)(void *ctx, struct vcpu *v);
	void *ctx;
};

enum vcpu_exit { VCPU_EXIT_PORT, VCPU_EXIT_MMIO, VCPU_EXIT_SIGNAL, VCPU_EXIT_OTHER, VCPU_EXITS };

struct vcpu_state;	/* registers as they were at power-on */

struct vcpu {
	struct kvm_vm *vm;
	const struct vcpu_host *host;
	unsigned index;
	int fd;
	struct kvm_run *run;
	pthread_t thread;	/* set by itself, before running */
	pthread_t handle;	/* the same, set by vcpu_start, for vcpu_join */
	bool started;
	atomic_bool running;	/* may be signalled */
	struct vcpu_state *initial;
	_Atomic uint64_t exits[VCPU_EXITS];
	_Atomic uint64_t first_run_ns;	/* CLOCK_MONOTONIC just before the first entry, 0: never */
	char failure[400];		/* after VCPU_FAILED */
};

/* Make vCPU index with the environment's CPUID; its registers are those of a CPU after power-on. */
int vcpu_create(struct kvm_vm *vm, const struct env *env, unsigned index, const struct vcpu_host *host, struct vcpu **vcpu,
		struct err *err) must_check;
int vcpu_start(struct vcpu *v, struct err *err) must_check;
void vcpu_kick(struct vcpu *v);		/* any thread: leads to host->paused soon */
void vcpu_join(struct vcpu *v);		/* after paused gave false */
void vcpu_free(struct vcpu *v);
/* Back to power-on. Only while the thread stands in host->paused or has not started. */
void vcpu_reset(struct vcpu *v);
/* Direct boot: start at rip in 32-bit protected (long_mode false) or 64-bit mode with the tables at page_tables, rsi as given. */
struct vcpu_boot { bool long_mode; uint64_t rip, rsi, gdt, page_tables; uint16_t gdt_limit; };
int vcpu_set_boot(struct vcpu *v, const struct vcpu_boot *boot, struct err *err) must_check;
/* Install the process-wide signal that kicks use; once, before any vCPU starts. */
int vcpu_init_signal(struct err *err) must_check;
