/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/fw/cpus.h"
#include "hv/kvm/cpuid.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include "lib/bits.h"
#include "lib/log.h"
#include "lib/scope.h"

enum { MAX_ENTRIES = 128, MAX_COPIED_SUBLEAVES = 64 };
enum reg { EAX, EBX, ECX, EDX };

static const struct { uint32_t leaf; enum reg reg; } word_place[ENV_CPUID_WORDS] = {
	[ENV_CPUID_1_EDX] = { 1, EDX }, [ENV_CPUID_1_ECX] = { 1, ECX },
	[ENV_CPUID_7_0_EBX] = { 7, EBX }, [ENV_CPUID_7_0_ECX] = { 7, ECX }, [ENV_CPUID_7_0_EDX] = { 7, EDX },
	[ENV_CPUID_80000001_EDX] = { 0x80000001, EDX }, [ENV_CPUID_80000001_ECX] = { 0x80000001, ECX },
	[ENV_CPUID_80000007_EDX] = { 0x80000007, EDX }, [ENV_CPUID_80000008_EBX] = { 0x80000008, EBX },
	[ENV_CPUID_D_1_EAX] = { 0xd, EAX }, [ENV_CPUID_6_EAX] = { 6, EAX },
};

#define X2APIC BIT(21)
#define TSC_DEADLINE BIT(24)
#define XSAVE BIT(26)
#define OSXSAVE BIT(27)
#define HYPERVISOR BIT(31)
#define HTT BIT(28)
#define ARAT BIT(2)
#define TOPOEXT BIT(22)

struct leaves {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entry[MAX_ENTRIES];
};

static const struct kvm_cpuid_entry2 *supported(const struct kvm_vm *vm, uint32_t leaf, uint32_t sub)
{
	for (unsigned i = 0; i < vm->supported->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &vm->supported->entries[i];

		if (e->function == leaf && (e->index == sub || !(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)))
			return e;
	}
	return NULL;
}

static uint32_t reg_of(const struct kvm_cpuid_entry2 *e, enum reg reg)
{
	switch (reg) {
	case EAX:
		return e->eax;
	case EBX:
		return e->ebx;
	case ECX:
		return e->ecx;
	default:
		return e->edx;
	}
}

/* The bits of a word that can be shown. KVM's list leaves out what its own devices add: those are put back. */
static uint32_t possible(const struct kvm_vm *vm, enum env_cpuid_word word)
{
	const struct kvm_cpuid_entry2 *e = supported(vm, word_place[word].leaf, word == ENV_CPUID_D_1_EAX);
	uint32_t bits = e ? reg_of(e, word_place[word].reg) : 0;

	switch (word) {
	case ENV_CPUID_1_ECX:
		return bits | X2APIC | HYPERVISOR | OSXSAVE | (vm->caps.tsc_deadline ? TSC_DEADLINE : 0);
	case ENV_CPUID_1_EDX:
		return bits | HTT;
	case ENV_CPUID_6_EAX:
		return bits | ARAT;	/* KVM's LAPIC timer never stops */
	case ENV_CPUID_80000001_ECX:
		return bits | TOPOEXT | BIT(1);	/* both only describe topology */
	default:
		return bits;
	}
}

static uint32_t shown(const struct kvm_vm *vm, const struct env *env, enum env_cpuid_word word)
{
	uint32_t bits = env->cpu.words[word] & possible(vm, word);

	if (word == ENV_CPUID_1_ECX) {
		bits &= ~OSXSAVE;	/* follows CR4, KVM keeps it */
		if (env->cpu.paravirt)
			bits |= HYPERVISOR;
	}
	return bits;
}

void kvm_cpuid_report_missing(const struct kvm_vm *vm, const struct env *env)
{
	char list[600] = "";
	const struct kvm_cpuid_entry2 *sizes = supported(vm, 0x80000008, 0);
	size_t n = 0;

	if (sizes && (sizes->eax & 0xff) < env->cpu.phys_bits)
		log_warn("this machine has %u physical address bits, the environment says %u: what is past them is lost",
			 sizes->eax & 0xff, env->cpu.phys_bits);
	for (unsigned w = 0; w < ENV_CPUID_WORDS; w++) {
		uint32_t gone = env->cpu.words[w] & ~possible(vm, (enum env_cpuid_word)w);

		for (unsigned b = 0; b < 32; b++) {
			const char *name = gone & BIT(b) ? env_cpuid_name((enum env_cpuid_word)w, b) : NULL;

			if (name && n < sizeof list - 32)
				n += (size_t)snprintf(list + n, sizeof list - n, " %s", name);
		}
	}
	if (n)
		log_warn("this machine can't show these CPU features of the environment:%s; the server will miss them", list);
}

static struct kvm_cpuid_entry2 *add(struct leaves *l, uint32_t leaf, uint32_t sub, bool indexed)
{
	struct kvm_cpuid_entry2 *e = &l->entry[l->head.nent];

	bug_on(l->head.nent >= MAX_ENTRIES);
	l->head.nent++;
	*e = (struct kvm_cpuid_entry2){ .function = leaf, .index = sub, .flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0 };
	return e;
}

/* Bits of an APIC id that number the threads of a package. */
static unsigned package_bits(const struct env_cpu *cpu)
{
	return cpus_bits(cpu->threads) + cpus_bits(cpu->cores);
}

static const struct env_cache *cache(const struct env_cpu *cpu, unsigned level, char type)
{
	for (unsigned i = 0; i < cpu->cache_count; i++) {
		if (cpu->caches[i].level == level && cpu->caches[i].type == type)
			return &cpu->caches[i];
	}
	return NULL;
}

/* Leaf 4 and 0x8000001d have the same shape; false past the last cache. */
static void cache_leaf(struct kvm_cpuid_entry2 *e, const struct env_cpu *cpu, unsigned i, bool intel)
{
	const struct env_cache *c = &cpu->caches[i];
	uint32_t type = c->type == 'd' ? 1 : c->type == 'i' ? 2 : 3;

	e->eax = type | (uint32_t)c->level << 5 | BIT(8) | (c->shared_by - 1u) << 14;
	if (intel)
		e->eax |= ((1u << cpus_bits(cpu->cores)) - 1) << 26;
	e->ebx = (c->line - 1u) | (c->ways - 1u) << 22;
	e->ecx = c->kib * 1024 / c->line / c->ways - 1;
	e->edx = c->level == 3 ? 2 : 0;		/* inclusive */
}

static void leaf_topology(struct leaves *l, const struct env *env, uint32_t apic_id)
{
	const struct env_cpu *cpu = &env->cpu;
	struct kvm_cpuid_entry2 *e;

	e = add(l, 0xb, 0, true);
	*e = (struct kvm_cpuid_entry2){ .function = 0xb, .flags = e->flags, .eax = cpus_bits(cpu->threads),
					.ebx = cpu->threads, .ecx = 0x100, .edx = apic_id };
	e = add(l, 0xb, 1, true);
	*e = (struct kvm_cpuid_entry2){ .function = 0xb, .index = 1, .flags = e->flags, .eax = package_bits(cpu),
					.ebx = cpu->cores * cpu->threads, .ecx = 0x201, .edx = apic_id };
	e = add(l, 0xb, 2, true);
	e->ecx = 2;
	e->edx = apic_id;
}

static void leaf_xsave(struct leaves *l, const struct kvm_vm *vm, const struct env *env)
{
	uint32_t allowed = 3 | (env->cpu.words[ENV_CPUID_1_ECX] & BIT(28) ? 4u : 0);	/* x87, SSE, AVX state */

	for (unsigned sub = 0; sub < MAX_COPIED_SUBLEAVES; sub++) {
		const struct kvm_cpuid_entry2 *s = supported(vm, 0xd, sub);
		struct kvm_cpuid_entry2 *e;

		if (!s || s->index != sub || (sub > 1 && !(allowed & BIT64(sub))))
			continue;
		e = add(l, 0xd, sub, true);
		*e = *s;
		if (sub == 0) {
			e->eax &= allowed;
			e->edx = 0;
			e->ecx = e->eax & 4 ? 832 : 576;	/* bytes of the area with the allowed states */
		} else if (sub == 1) {
			e->eax = shown(vm, env, ENV_CPUID_D_1_EAX);
			e->ecx = e->edx = 0;
		}
	}
}

static void basic_leaves(struct leaves *l, const struct kvm_vm *vm, const struct env *env, uint32_t apic_id)
{
	const struct env_cpu *cpu = &env->cpu;
	bool intel = !strcmp(cpu->vendor, "GenuineIntel");
	unsigned base_family = cpu->family > 15 ? 15 : cpu->family, logical = cpu->cores * cpu->threads;
	struct kvm_cpuid_entry2 *e;

	e = add(l, 0, 0, false);
	e->eax = cpu->max_leaf;
	memcpy(&e->ebx, cpu->vendor, 4);
	memcpy(&e->edx, cpu->vendor + 4, 4);
	memcpy(&e->ecx, cpu->vendor + 8, 4);
	e = add(l, 1, 0, false);
	e->eax = cpu->stepping | (cpu->model & 15) << 4 | base_family << 8 | (cpu->model >> 4) << 16 | (cpu->family - base_family) << 20;
	/* AMD counts threads; Intel the APIC ids a package takes, which is more when counts are no powers of two. */
	e->ebx = apic_id << 24 | (logical == 1 ? 0 : intel ? 1u << package_bits(cpu) : logical) << 16 | 8 << 8;
	e->ecx = shown(vm, env, ENV_CPUID_1_ECX);
	e->edx = shown(vm, env, ENV_CPUID_1_EDX);
	if (intel) {
		add(l, 2, 0, false)->eax = 0x00ff0001;	/* caches: see leaf 4 */
		for (unsigned i = 0; i < cpu->cache_count; i++)
			cache_leaf(add(l, 4, i, true), cpu, i, true);
	}
	add(l, 6, 0, false)->eax = shown(vm, env, ENV_CPUID_6_EAX);
	e = add(l, 7, 0, true);
	e->ebx = shown(vm, env, ENV_CPUID_7_0_EBX);
	e->ecx = shown(vm, env, ENV_CPUID_7_0_ECX);
	e->edx = shown(vm, env, ENV_CPUID_7_0_EDX);
	if (cpu->max_leaf >= 0xb)
		leaf_topology(l, env, apic_id);
	if (cpu->max_leaf >= 0xd && (shown(vm, env, ENV_CPUID_1_ECX) & XSAVE))
		leaf_xsave(l, vm, env);
}

/* Associativity code of leaf 0x80000006 (AMD APM vol. 3 table E-4) */
static uint32_t amd_ways(unsigned ways)
{
	static const struct { unsigned ways; uint32_t code; } table[] = {
		{ 1, 1 }, { 2, 2 }, { 3, 3 }, { 4, 4 }, { 6, 5 }, { 8, 6 }, { 16, 8 }, { 32, 10 }, { 48, 11 }, { 64, 12 }, { 96, 13 },
		{ 128, 14 },
	};

	for (size_t i = 0; i < array_len(table); i++) {
		if (table[i].ways == ways)
			return table[i].code;
	}
	return 15;
}

static void amd_cache_leaves(struct leaves *l, const struct env_cpu *cpu)
{
	const struct env_cache *d = cache(cpu, 1, 'd'), *i = cache(cpu, 1, 'i'), *l2 = cache(cpu, 2, 'u'), *l3 = cache(cpu, 3, 'u');
	struct kvm_cpuid_entry2 *e = add(l, 0x80000005, 0, false);

	e->eax = 0x01ff01ff;	/* TLBs: 255 entries of 4 KiB and of 2 MiB, direct */
	e->ebx = 0x01ff01ff;
	e->ecx = d ? d->kib << 24 | (uint32_t)d->ways << 16 | 1 << 8 | d->line : 0;
	e->edx = i ? i->kib << 24 | (uint32_t)i->ways << 16 | 1 << 8 | i->line : 0;
	e = add(l, 0x80000006, 0, false);
	e->ebx = 0x42004200;	/* L2 TLBs: 512 entries, 4-way */
	e->ecx = l2 ? l2->kib << 16 | amd_ways(l2->ways) << 12 | 1 << 8 | l2->line : 0;
	e->edx = l3 ? l3->kib / 512 << 18 | amd_ways(l3->ways) << 12 | 1 << 8 | l3->line : 0;
}

static void extended_leaves(struct leaves *l, const struct kvm_vm *vm, const struct env *env, uint32_t apic_id)
{
	const struct env_cpu *cpu = &env->cpu;
	bool amd = strcmp(cpu->vendor, "GenuineIntel") != 0;
	unsigned logical = cpu->cores * cpu->threads;
	struct kvm_cpuid_entry2 *e;

	e = add(l, 0x80000000, 0, false);
	*e = (struct kvm_cpuid_entry2){ .function = 0x80000000, .eax = cpu->max_ext_leaf, .ebx = l->entry[0].ebx,
					.ecx = l->entry[0].ecx, .edx = l->entry[0].edx };
	e = add(l, 0x80000001, 0, false);
	e->eax = amd ? l->entry[1].eax : 0;
	e->ecx = shown(vm, env, ENV_CPUID_80000001_ECX);
	e->edx = shown(vm, env, ENV_CPUID_80000001_EDX);
	for (unsigned i = 0; i < 3; i++) {
		e = add(l, 0x80000002 + i, 0, false);
		memcpy(&e->eax, cpu->model_name + 16 * i, 4);
		memcpy(&e->ebx, cpu->model_name + 16 * i + 4, 4);
		memcpy(&e->ecx, cpu->model_name + 16 * i + 8, 4);
		memcpy(&e->edx, cpu->model_name + 16 * i + 12, 4);
	}
	if (amd)
		amd_cache_leaves(l, cpu);
	add(l, 0x80000007, 0, false)->edx = shown(vm, env, ENV_CPUID_80000007_EDX);
	e = add(l, 0x80000008, 0, false);
	e->eax = cpu->phys_bits | 48 << 8;
	e->ebx = shown(vm, env, ENV_CPUID_80000008_EBX);
	e->ecx = amd ? (logical - 1) | package_bits(cpu) << 12 : 0;
	if (!amd || cpu->max_ext_leaf < 0x8000001e || !(cpu->words[ENV_CPUID_80000001_ECX] & TOPOEXT))
		return;
	for (unsigned i = 0; i < cpu->cache_count; i++)
		cache_leaf(add(l, 0x8000001d, i, true), cpu, i, false);
	e = add(l, 0x8000001e, 0, false);
	e->eax = apic_id;
	e->ebx = (cpu->threads - 1) << 8 | ((apic_id >> cpus_bits(cpu->threads)) & ((1u << cpus_bits(cpu->cores)) - 1));
	e->ecx = apic_id >> package_bits(cpu);
}

/* KVM's own leaves (Linux Documentation/virt/kvm/x86/cpuid.rst) */
static void paravirt_leaves(struct leaves *l, const struct kvm_vm *vm)
{
	const struct kvm_cpuid_entry2 *s = supported(vm, 0x40000001, 0);
	struct kvm_cpuid_entry2 *e = add(l, 0x40000000, 0, false);

	e->eax = 0x40000001;
	memcpy(&e->ebx, "KVMK", 4);
	memcpy(&e->ecx, "VMKV", 4);
	memcpy(&e->edx, "M\0\0\0", 4);
	e = add(l, 0x40000001, 0, false);
	if (s) {
		e->eax = s->eax;
		e->edx = s->edx;
	}
}

/* Leaves past the last one that leaf 0 or 0x80000000 names do not exist; KVM would show them. */
static void drop_beyond(struct leaves *l, const struct env_cpu *cpu)
{
	unsigned n = 0;

	for (unsigned i = 0; i < l->head.nent; i++) {
		uint32_t leaf = l->entry[i].function;

		if (leaf >= 0x80000000 ? leaf <= cpu->max_ext_leaf || leaf == 0x80000000 :
		    leaf >= 0x40000000 || leaf <= cpu->max_leaf)
			l->entry[n++] = l->entry[i];
	}
	l->head.nent = n;
}

int kvm_cpuid_apply(const struct kvm_vm *vm, const struct env *env, unsigned index, int vcpu_fd, struct err *err)
{
	auto_free struct leaves *l = calloc(1, sizeof *l);
	uint32_t apic_id = cpus_apic_id(&env->cpu, index);

	if (!l)
		return err_set(err, -ENOMEM, "no memory");
	basic_leaves(l, vm, env, apic_id);
	extended_leaves(l, vm, env, apic_id);
	if (env->cpu.paravirt)
		paravirt_leaves(l, vm);
	drop_beyond(l, &env->cpu);
	if (ioctl(vcpu_fd, KVM_SET_CPUID2, &l->head))
		return err_set(err, -errno, "vCPU %u: KVM refuses the environment's CPU description: %s", index, strerror(errno));
	return 0;
}
