/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tiny guest on this machine's own /dev/kvm: 1 MiB of RAM, code in real mode at 0x1000 with flat segments of base 0, and
 * a record of the accesses it makes. Header only. guest_start gives NULL after suite_skip where no guest can run.
 */
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include "hv/kvm/probe.h"
#include "hv/kvm/vcpu.h"
#include "lib/bits.h"
#include "tests/unit/suite.h"

enum { GUEST_RAM = 1 << 20, GUEST_CODE = 0x1000, GUEST_ACCESSES = 64, GUEST_WAIT_S = 20 };

struct guest_access { bool port, write; uint8_t size; uint64_t addr; uint32_t count; uint8_t data[64]; };

struct guest {
	struct env env;
	struct kvm_vm *vm;
	struct vcpu *vcpu;
	struct vcpu_host host;
	uint8_t *ram;
	struct guest_access access[GUEST_ACCESSES];
	unsigned accesses;
	uint64_t answer;		/* what reads give, each byte one more than the last */
	enum vcpu_event event;
	unsigned events;
	bool leave;			/* what paused says: end the thread */
	sem_t stopped, go;		/* paused was reached; it may return */
};

static inline bool guest_wait(sem_t *sem)
{
	struct timespec t;
	int r;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += GUEST_WAIT_S;
	do {
		r = sem_timedwait(sem, &t);
	} while (r && errno == EINTR);
	return !r;
}

/* A byte to port 0xf4 is the guest's way to say that it is done. */
static inline void guest_on_access(void *ctx, struct vcpu *v, const struct vcpu_access *a)
{
	struct guest *g = ctx;
	struct guest_access *rec = &g->access[g->accesses];
	uint32_t n = a->count * a->size;

	if (a->port && a->addr == 0xf4) {
		vcpu_kick(v);
		return;
	}
	if (!a->write) {
		for (uint32_t i = 0; i < n; i++)
			((uint8_t *)a->data)[i] = (uint8_t)(g->answer + i);
	}
	if (g->accesses == GUEST_ACCESSES)
		return;
	g->accesses++;
	*rec = (struct guest_access){ .port = a->port, .write = a->write, .size = a->size, .addr = a->addr, .count = a->count };
	memcpy(rec->data, a->data, n < sizeof rec->data ? n : sizeof rec->data);
}

static inline void guest_on_event(void *ctx, struct vcpu *v, enum vcpu_event event)
{
	struct guest *g = ctx;

	g->event = event;
	g->events++;
	vcpu_kick(v);
}

static inline bool guest_on_paused(void *ctx, struct vcpu *v)
{
	struct guest *g = ctx;

	sem_post(&g->stopped);
	if (!guest_wait(&g->go))
		return false;
	return !g->leave;
}

/* Put the code in place and the registers to it. Standing or not started. */
static inline void guest_load(struct guest *g, const void *code, size_t len)
{
	struct kvm_sregs s;
	struct kvm_regs r = { .rip = GUEST_CODE, .rsp = 0x8000, .rflags = 2 };

	memcpy(g->ram + GUEST_CODE, code, len);
	check_eq(ioctl(g->vcpu->fd, KVM_GET_SREGS, &s), 0);
	s.cs.base = 0;
	s.cs.selector = 0;
	check_eq(ioctl(g->vcpu->fd, KVM_SET_SREGS, &s), 0);
	check_eq(ioctl(g->vcpu->fd, KVM_SET_REGS, &r), 0);
}

static inline bool guest_start_thread(struct guest *g)
{
	struct err err = { 0 };
	int r = vcpu_start(g->vcpu, &err);

	check_eq(r, 0);
	return !r;
}

/* The guest ran until it said that it is done, or an event came. */
static inline bool guest_run(struct guest *g)
{
	bool ok = g->vcpu->started || guest_start_thread(g);

	ok = ok && guest_wait(&g->stopped);
	check(ok);
	return ok;
}

static inline void guest_end(struct guest *g)
{
	if (!g)
		return;
	if (g->vcpu && g->vcpu->started) {
		g->leave = true;
		vcpu_kick(g->vcpu);
		sem_post(&g->go);
		sem_post(&g->go);
		vcpu_join(g->vcpu);
	}
	vcpu_free(g->vcpu);
	kvm_vm_free(g->vm);
	if (g->ram)
		munmap(g->ram, GUEST_RAM);
	sem_destroy(&g->stopped);
	sem_destroy(&g->go);
	free(g);
}

static inline void guest_describe(struct env *env)
{
	env->cpu = (struct env_cpu){ .sockets = 1, .cores = 1, .threads = 1, .vendor = "AuthenticAMD",
				     .model_name = "Test processor", .family = 15, .model = 6, .stepping = 1, .phys_bits = 40,
				     .max_leaf = 13, .max_ext_leaf = 0x80000008 };
	env->cpu.words[ENV_CPUID_1_EDX] = 0x078bfbfd;
	env->cpu.words[ENV_CPUID_80000001_EDX] = 0x20100800;
}

static inline struct guest *guest_start(const void *code, size_t len)
{
	struct guest *g = calloc(1, sizeof *g);
	struct err err = { 0 };

	if (!g)
		abort();
	guest_describe(&g->env);
	sem_init(&g->stopped, 0, 0);
	sem_init(&g->go, 0, 0);
	g->host = (struct vcpu_host){ .access = guest_on_access, .event = guest_on_event, .paused = guest_on_paused, .ctx = g };
	if (kvm_vm_create(&g->vm, &err)) {
		suite_skip(err.text);
		guest_end(g);
		return NULL;
	}
	g->ram = mmap(NULL, GUEST_RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (g->ram == MAP_FAILED)
		abort();
	check_eq(vcpu_init_signal(&err), 0);
	check_eq(kvm_vm_add_memory(g->vm, 0, GUEST_RAM, g->ram, false, &err), 0);
	check_eq(vcpu_create(g->vm, &g->env, 0, &g->host, &g->vcpu, &err), 0);
	if (!g->vcpu) {
		suite_note("%s", err.text);
		guest_end(g);
		return NULL;
	}
	guest_load(g, code, len);
	return g;
}
#define GUEST(code) guest_start((code), sizeof(code))
