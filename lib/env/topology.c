/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/env/env.h"

static unsigned bits_for(unsigned count)
{
	unsigned n = 0;

	while ((1u << n) < count)
		n++;
	return n;
}

unsigned env_apic_id(const struct env *env, unsigned index)
{
	const struct env_cpu *c = &env->cpu;
	unsigned thread = index % c->threads, core = index / c->threads % c->cores, socket = index / (c->threads * c->cores);
	unsigned thread_bits = bits_for(c->threads), core_bits = bits_for(c->cores);

	return thread | core << thread_bits | socket << (thread_bits + core_bits);
}
