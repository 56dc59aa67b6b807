/* SPDX-License-Identifier: Apache-2.0 */
/*
 * APIC ids: thread and core numbers each take a whole number of bits, so ids have gaps when counts are no powers of two.
 * The MADT, fw_cfg's max_cpus, CPUID and the vCPUs all number CPUs this way.
 */
#pragma once
#include "lib/env/env.h"

static inline unsigned cpus_bits(unsigned count)
{
	unsigned bits = 0;

	while (bits < 16 && (1u << bits) < count)
		bits++;
	return bits;
}

/* cpu: 0 … env_cpu_count - 1, threads counting fastest, then cores, then sockets */
static inline unsigned cpus_apic_id(const struct env_cpu *cpu, unsigned n)
{
	unsigned thread = n % cpu->threads, core = n / cpu->threads % cpu->cores, socket = n / cpu->threads / cpu->cores;
	unsigned tbits = cpus_bits(cpu->threads), cbits = cpus_bits(cpu->cores);

	return (socket << cbits | core) << tbits | thread;
}

/* One more than the highest APIC id */
static inline unsigned cpus_apic_limit(const struct env_cpu *cpu)
{
	return cpus_apic_id(cpu, cpu->sockets * cpu->cores * cpu->threads - 1) + 1;
}
