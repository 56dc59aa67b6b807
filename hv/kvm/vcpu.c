/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/kvm/vcpu.h"
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "hv/fw/cpus.h"
#include "hv/kvm/cpuid.h"
#include "hv/kvm/state.h"
#include "lib/log.h"
#include "lib/scope.h"

#define KICK_SIGNAL SIGUSR1

static void on_kick(int sig) {}

int vcpu_init_signal(struct err *err)
{
	struct sigaction a = { .sa_handler = on_kick };	/* no SA_RESTART: KVM_RUN must return */

	if (sigaction(KICK_SIGNAL, &a, NULL))
		return err_set(err, -errno, "sigaction: %s", strerror(errno));
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int map_run(struct vcpu *v, struct err *err)
{
	v->run = mmap(NULL, v->vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED) {
		v->run = NULL;
		return err_set(err, -errno, "vCPU %u: mapping its shared area: %s", v->index, strerror(errno));
	}
	if (v->vm->caps.sync_regs)
		v->run->kvm_valid_regs = KVM_SYNC_X86_REGS;
	if (!v->vm->ring && v->vm->caps.coalesced_page) {
		size_t off = (size_t)v->vm->caps.coalesced_page * (size_t)sysconf(_SC_PAGESIZE);

		v->vm->ring = (void *)((char *)v->run + off);
	}
	return 0;
}

int vcpu_create(struct kvm_vm *vm, const struct env *env, unsigned index, const struct vcpu_host *host, struct vcpu **out,
		struct err *err)
{
	struct vcpu *v = calloc(1, sizeof *v);
	int r;

	if (!v)
		return err_set(err, -ENOMEM, "no memory for vCPU %u", index);
	v->vm = vm;
	v->host = host;
	v->index = index;
	v->fd = ioctl(vm->vm_fd, KVM_CREATE_VCPU, (unsigned long)cpus_apic_id(&env->cpu, index));
	if (v->fd < 0)
		r = err_set(err, -errno, "vCPU %u can't be made: %s (KVM allows %d here)", index, strerror(errno), vm->caps.max_vcpus);
	else
		r = map_run(v, err);
	r = r < 0 ? r : kvm_cpuid_apply(vm, env, index, v->fd, err);
	r = r < 0 ? r : vcpu_state_save(v->fd, &vm->caps, &v->initial, err);
	if (r < 0) {
		vcpu_free(v);
		return r;
	}
	*out = v;
	return 0;
}

void vcpu_free(struct vcpu *v)
{
	if (!v)
		return;
	if (v->run)
		munmap(v->run, v->vm->run_size);
	if (v->fd >= 0)
		close(v->fd);
	vcpu_state_free(v->initial);
	free(v);
}

void vcpu_reset(struct vcpu *v)
{
	v->run->kvm_dirty_regs = 0;
	vcpu_state_restore(v->fd, v->initial);
}

int vcpu_set_boot(struct vcpu *v, const struct vcpu_boot *boot, struct err *err)
{
	return vcpu_state_set_boot(v->fd, boot, err);
}

/* ---- the loop */

/* The one function every port and MMIO exit passes. */
static void do_access(struct vcpu *v, const struct vcpu_access *a)
{
	atomic_fetch_add_explicit(&v->exits[a->port ? VCPU_EXIT_PORT : VCPU_EXIT_MMIO], 1, memory_order_relaxed);
	v->host->access(v->host->ctx, v, a);
}

static void exit_io(struct vcpu *v)
{
	struct kvm_run *r = v->run;

	do_access(v, &(struct vcpu_access){
		.port = true, .write = r->io.direction == KVM_EXIT_IO_OUT, .size = r->io.size, .addr = r->io.port,
		.count = r->io.count, .data = (uint8_t *)r + r->io.data_offset });
}

static void exit_mmio(struct vcpu *v)
{
	struct kvm_run *r = v->run;

	do_access(v, &(struct vcpu_access){
		.write = r->mmio.is_write, .size = (uint8_t)r->mmio.len, .addr = r->mmio.phys_addr, .count = 1, .data = r->mmio.data });
}

static uint64_t rip_of(struct vcpu *v)
{
	struct kvm_regs regs;

	return ioctl(v->fd, KVM_GET_REGS, &regs) ? 0 : regs.rip;
}

/* KVM's emulator met an instruction it doesn't know (api.rst 7.27), or lost its way. */
static void exit_internal_error(struct vcpu *v)
{
	const struct kvm_run *r = v->run;
	char bytes[3 * 15 + 1] = "not given by this KVM";

	if (r->internal.suberror != KVM_INTERNAL_ERROR_EMULATION) {
		snprintf(v->failure, sizeof v->failure, "vCPU %u at %#" PRIx64 ": KVM internal error %u (%#llx, %#llx); the "
			 "kernel's log may say more", v->index, rip_of(v), r->internal.suberror,
			 r->internal.ndata > 0 ? (unsigned long long)r->internal.data[0] : 0,
			 r->internal.ndata > 1 ? (unsigned long long)r->internal.data[1] : 0);
		return;
	}
	if (r->emulation_failure.ndata >= 3 &&
	    (r->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) {
		unsigned n = r->emulation_failure.insn_size;

		for (unsigned i = 0; i < n && i < 15; i++)
			sprintf(bytes + 3 * i, "%02x%s", r->emulation_failure.insn_bytes[i], i + 1 < n ? " " : "");
	}
	snprintf(v->failure, sizeof v->failure,
		 "vCPU %u at %#" PRIx64 ": KVM can't emulate this instruction; bytes: %s", v->index, rip_of(v), bytes);
}

static void failed(struct vcpu *v)
{
	atomic_fetch_add_explicit(&v->exits[VCPU_EXIT_OTHER], 1, memory_order_relaxed);
	v->host->event(v->host->ctx, v, VCPU_FAILED);
}

static void handle(struct vcpu *v)
{
	const struct kvm_run *r = v->run;

	switch (r->exit_reason) {
	case KVM_EXIT_IO:
		exit_io(v);
		return;
	case KVM_EXIT_MMIO:
		exit_mmio(v);
		return;
	case KVM_EXIT_SHUTDOWN:
		atomic_fetch_add_explicit(&v->exits[VCPU_EXIT_OTHER], 1, memory_order_relaxed);
		v->host->event(v->host->ctx, v, VCPU_TRIPLE_FAULT);
		return;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return;
	case KVM_EXIT_UNKNOWN:
		snprintf(v->failure, sizeof v->failure, "vCPU %u at %#" PRIx64 ": the CPU left the guest for a reason that KVM "
			 "does not know (hardware reason %#llx)", v->index, rip_of(v), (unsigned long long)r->hw.hardware_exit_reason);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		exit_internal_error(v);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		snprintf(v->failure, sizeof v->failure, "vCPU %u: the CPU refused to enter the guest (hardware reason %#llx)",
			 v->index, (unsigned long long)r->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		snprintf(v->failure, sizeof v->failure, "vCPU %u at %#" PRIx64 ": KVM exit %u, which hull-hv does not know", v->index,
			 rip_of(v), r->exit_reason);
		break;
	}
	failed(v);
}

/* An EINTR from KVM_RUN means that pending I/O was completed and no instruction is half done: the place to stop. */
static bool interrupted(struct vcpu *v)
{
	atomic_fetch_add_explicit(&v->exits[VCPU_EXIT_SIGNAL], 1, memory_order_relaxed);
	__atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);	/* partner: vcpu_kick; before paused looks at requests */
	return v->host->paused(v->host->ctx, v);
}

/* KVM_RUN itself failed: mostly a page of guest memory that the host can't give. */
static void exit_error(struct vcpu *v, int code)
{
	const char *why = code == ENOMEM ? "; this machine is out of memory" :
			  code == EHWPOISON ? "; memory of this machine is broken: take another cloud VM" : "";

	snprintf(v->failure, sizeof v->failure, "vCPU %u at %#" PRIx64 ": KVM_RUN: %s%s", v->index, rip_of(v), strerror(code),
		 why);
}

static void *loop(void *arg)
{
	struct vcpu *v = arg;
	char name[16];

	snprintf(name, sizeof name, "vcpu%u", v->index);
	pthread_setname_np(pthread_self(), name);
	v->thread = pthread_self();
	/* partner: vcpu_kick, which has set immediate_exit when it does not see this yet */
	atomic_store(&v->running, true);
	atomic_store(&v->first_run_ns, now_ns());
	for (;;) {
		if (!ioctl(v->fd, KVM_RUN, 0)) {
			handle(v);
			continue;
		}
		if (errno != EINTR && errno != EAGAIN) {
			exit_error(v, errno);
			failed(v);
		}
		if (!interrupted(v))
			return NULL;
	}
}

int vcpu_start(struct vcpu *v, struct err *err)
{
	int r = pthread_create(&v->handle, NULL, loop, v);

	if (r)
		return err_set(err, -r, "vCPU %u: thread: %s", v->index, strerror(r));
	v->started = true;
	return 0;
}

void vcpu_kick(struct vcpu *v)
{
	__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);	/* partner: interrupted, loop */
	if (atomic_load(&v->running))
		pthread_kill(v->thread, KICK_SIGNAL);
}

void vcpu_join(struct vcpu *v)
{
	if (v->started)
		pthread_join(v->handle, NULL);
	v->started = false;
	atomic_store(&v->running, false);
}
