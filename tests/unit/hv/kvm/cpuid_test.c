/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/kvm/cpuid.h"
#include "hv/fw/cpus.h"
#include "tests/unit/hv/kvm/guest.h"

enum { ENTRIES = 128 };
struct list { struct kvm_cpuid2 head; struct kvm_cpuid_entry2 entry[ENTRIES]; };

/* What vCPU index of this CPU description shows. False after suite_skip. */
static bool show(struct env *env, unsigned index, struct list *list)
{
	struct kvm_vm *vm;
	struct vcpu *v = NULL;
	struct err err = { 0 };

	memset(list, 0, sizeof *list);
	list->head.nent = ENTRIES;
	if (kvm_vm_create(&vm, &err)) {
		suite_skip(err.text);
		return false;
	}
	check_eq(vcpu_create(vm, env, index, NULL, &v, &err), 0);
	check(v && !ioctl(v->fd, KVM_GET_CPUID2, list));
	vcpu_free(v);
	kvm_vm_free(vm);
	return true;
}

static const struct kvm_cpuid_entry2 *leaf(const struct list *l, uint32_t function, uint32_t index)
{
	static const struct kvm_cpuid_entry2 none;

	for (unsigned i = 0; i < l->head.nent; i++)
		if (l->entry[i].function == function && l->entry[i].index == index)
			return &l->entry[i];
	return &none;
}

static void describe(struct env *env, const char *vendor, unsigned sockets, unsigned cores, unsigned threads)
{
	memset(env, 0, sizeof *env);
	guest_describe(env);
	strcpy(env->cpu.vendor, vendor);
	env->cpu.sockets = sockets;
	env->cpu.cores = cores;
	env->cpu.threads = threads;
	env->cpu.max_ext_leaf = 0x8000001f;
	env->cpu.words[ENV_CPUID_80000001_ECX] = 1u << 22;
	env->cpu.caches[0] = (struct env_cache){ .level = 1, .type = 'd', .kib = 32, .ways = 8, .line = 64,
						 .shared_by = (uint16_t)threads };
	env->cpu.caches[1] = (struct env_cache){ .level = 3, .type = 'u', .kib = 16384, .ways = 16, .line = 64,
						 .shared_by = (uint16_t)(cores * threads) };
	env->cpu.cache_count = 2;
}

static void three_intel_cores_of_two_threads(void)
{
	struct list l;
	struct env env;

	describe(&env, "GenuineIntel", 2, 3, 2);
	if (!show(&env, 11, &l))
		return;
	check_eq(cpus_apic_id(&env.cpu, 11), 13);			/* socket 1, core 2, thread 1: 1 10 1 */
	check_eq(leaf(&l, 1, 0)->ebx >> 24, 13);
	check_eq(leaf(&l, 1, 0)->ebx >> 16 & 0xff, 8);
	check_eq(leaf(&l, 4, 0)->eax, 1 | 1 << 5 | 1 << 8 | 1 << 14 | 3u << 26);
	check_eq(leaf(&l, 4, 0)->ebx, 63 | 7 << 22);
	check_eq(leaf(&l, 4, 0)->ecx, 63);
	check_eq(leaf(&l, 4, 1)->eax, 3 | 3 << 5 | 1 << 8 | 5 << 14 | 3u << 26);
	check_eq(leaf(&l, 4, 2)->eax, 0);
	check_eq(leaf(&l, 0xb, 0)->eax, 1);
	check_eq(leaf(&l, 0xb, 0)->ebx, 2);
	check_eq(leaf(&l, 0xb, 0)->ecx, 0x100);
	check_eq(leaf(&l, 0xb, 1)->eax, 3);
	check_eq(leaf(&l, 0xb, 1)->ebx, 6);
	check_eq(leaf(&l, 0xb, 1)->ecx, 0x201);
	check_eq(leaf(&l, 0xb, 1)->edx, 13);
	check_eq(leaf(&l, 0xb, 2)->ecx, 2);
	check_eq(leaf(&l, 0x8000001d, 0)->eax, 0);
}

static void five_cores_of_three_threads(void)
{
	struct list l;
	struct env env;

	describe(&env, "GenuineIntel", 1, 5, 3);
	if (!show(&env, 14, &l))
		return;
	check_eq(leaf(&l, 1, 0)->ebx >> 24, 18);		/* core 4, thread 2: 100 10 */
	check_eq(leaf(&l, 1, 0)->ebx >> 16 & 0xff, 32);		/* five bits of id, though 15 would round up to four */
	check_eq(leaf(&l, 0xb, 1)->eax, 5);
	describe(&env, "AuthenticAMD", 1, 5, 3);
	if (!show(&env, 14, &l))
		return;
	check_eq(leaf(&l, 1, 0)->ebx >> 16 & 0xff, 15);
	check_eq(leaf(&l, 0x80000008, 0)->ecx, 14 | 5 << 12);
}

static void amd_extended_topology(void)
{
	struct list l;
	struct env env;

	describe(&env, "AuthenticAMD", 2, 3, 2);
	if (!show(&env, 11, &l))
		return;
	check_eq(leaf(&l, 0x80000008, 0)->ecx, 5 | 3 << 12);
	check_eq(leaf(&l, 0x8000001e, 0)->eax, 13);
	check_eq(leaf(&l, 0x8000001e, 0)->ebx, 1 << 8 | 2);
	check_eq(leaf(&l, 0x8000001e, 0)->ecx, 1);
	check_eq(leaf(&l, 0x8000001d, 1)->eax, 3 | 3 << 5 | 1 << 8 | 5 << 14);
	check_eq(leaf(&l, 4, 0)->eax, 0);
}

static void one_processor_has_no_neighbours(void)
{
	struct list l;
	struct env env;

	describe(&env, "GenuineIntel", 1, 1, 1);
	if (!show(&env, 0, &l))
		return;
	check_eq(leaf(&l, 1, 0)->ebx, 0x800);
	check_eq(leaf(&l, 1, 0)->eax, 1 | 6 << 4 | 15 << 8);
	check_eq(leaf(&l, 0xb, 0)->ebx, 1);
	check_eq(leaf(&l, 0x80000008, 0)->eax, 40 | 48 << 8);
	check_eq(leaf(&l, 0x40000000, 0)->ebx, 0);
}

static void nothing_stands_past_the_last_leaf(void)
{
	struct list l;
	struct env env;

	describe(&env, "GenuineIntel", 1, 2, 1);
	env.cpu.max_leaf = 4;
	env.cpu.max_ext_leaf = 0x80000004;
	env.cpu.paravirt = true;
	if (!show(&env, 0, &l))
		return;
	check_eq(leaf(&l, 0, 0)->eax, 4);
	check_eq(leaf(&l, 0x80000000, 0)->eax, 0x80000004);
	for (unsigned i = 0; i < l.head.nent; i++) {
		uint32_t f = l.entry[i].function;

		/* Some KVMs put the XSAVE leaf in themselves. */
		check(f <= 4 || f == 0xd || f == 0x40000000 || f == 0x40000001 || (f >= 0x80000000 && f <= 0x80000004));
	}
	check_eq(leaf(&l, 0x40000000, 0)->ebx, 0x4b4d564b);
}

static const struct test tests[] = {
	{ "3 Intel cores of 2 threads", three_intel_cores_of_two_threads },
	{ "5 cores of 3 threads take five bits of APIC id", five_cores_of_three_threads },
	{ "AMD's extended topology", amd_extended_topology },
	{ "one processor has no neighbours", one_processor_has_no_neighbours },
	{ "nothing stands past the last leaf", nothing_stands_past_the_last_leaf },
	{ NULL, NULL },
};
const struct suite suite_hv_kvm_cpuid = { tests };
