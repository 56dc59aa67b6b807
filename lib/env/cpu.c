/* SPDX-License-Identifier: Apache-2.0 */
#include <libfdt.h>
#include <string.h>
#include "lib/bits.h"
#include "lib/env/env_priv.h"
#include "lib/scope.h"

static int add_feature(const struct env_node *n, const struct env_prop *p, void *target, unsigned i, const char *s)
{
	struct env_cpu *cpu = target;
	enum env_cpuid_word word;
	unsigned bit;

	if (!env_cpuid_find(s, &word, &bit))
		return env_node_fail(n, p->name, "\"%s\" is not a CPUID feature; `hull env features` lists all", env_shown(s).s);
	if (cpu->words[word] & BIT(bit))
		return env_node_fail(n, p->name, "\"%s\" stands twice", s);
	cpu->words[word] |= BIT(bit);
	return 0;
}

#define COUNT(name, m) { name, ENV_T_CELL, ENV_FIELD(struct env_cpu, m), .min = 1, .max = ENV_MAX_CPUS, .def = 1 }
#define NUMBER(name, m, hi) { name, ENV_T_CELL, ENV_FIELD(struct env_cpu, m), .required = true, .max = hi }

static const struct env_prop props[] = {
	COUNT("sockets", sockets), COUNT("cores", cores), COUNT("threads", threads),
	{ "vendor", ENV_T_CHARS, ENV_FIELD(struct env_cpu, vendor), .required = true, .min = 12, .max = 12 },
	{ "model-name", ENV_T_CHARS, ENV_FIELD(struct env_cpu, model_name), .required = true, .min = 1, .max = 47 },
	NUMBER("family", family, 270), NUMBER("model", model, 255), NUMBER("stepping", stepping, 15),
	{ "phys-bits", ENV_T_CELL, ENV_FIELD(struct env_cpu, phys_bits), .min = 32, .max = 52, .def = 40 },
	{ "max-leaf", ENV_T_CELL, ENV_FIELD(struct env_cpu, max_leaf), .min = 1, .max = 0x24, .def = 0xd, .hex = true },
	{ "max-ext-leaf", ENV_T_CELL, ENV_FIELD(struct env_cpu, max_ext_leaf), .min = 0x80000000, .max = 0x80000028,
		.def = 0x8000001e, .hex = true },
	{ "features", ENV_T_LIST, .required = true, .min = 1, .max = 32, .item = add_feature },
	{ "paravirt", ENV_T_FLAG, ENV_FIELD(struct env_cpu, paravirt) },
	{ NULL },
};

static const struct env_word cache_types[] = { { "data", 'd' }, { "instruction", 'i' }, { "unified", 'u' }, { NULL, 0 } };

static const struct env_prop cache_props[] = {
	{ "level", ENV_T_CELL, ENV_FIELD(struct env_cache, level), .required = true, .min = 1, .max = 3 },
	{ "type", ENV_T_WORD, ENV_FIELD(struct env_cache, type), .required = true, .words = cache_types, .def = 'u' },
	{ "size-kib", ENV_T_CELL, ENV_FIELD(struct env_cache, kib), .required = true, .min = 1, .max = 1 << 20 },
	{ "ways", ENV_T_CELL, ENV_FIELD(struct env_cache, ways), .required = true, .min = 1, .max = 1024 },
	{ "line", ENV_T_CELL, ENV_FIELD(struct env_cache, line), .min = 16, .max = 256, .def = 64 },
	{ "shared-by", ENV_T_CELL, ENV_FIELD(struct env_cache, shared_by), .min = 1, .max = 4096, .def = 1 },
	{ NULL },
};

static int read_cache(const struct env_node *n, struct env_cpu *cpu)
{
	struct env_cache *c;
	unsigned unit;
	int rc;

	if (!env_node_is(n, "cache"))
		return env_node_fail(n, NULL, "unknown node; allowed here: cache@0 to cache@%x", ENV_MAX_CACHES - 1);
	rc = env_node_unit(n, "cache", ENV_MAX_CACHES - 1, &unit);
	if (rc)
		return rc;
	if (unit != cpu->cache_count)
		return env_node_fail(n, NULL, "caches stand in order and without gaps, cache@%x is next", cpu->cache_count);
	c = &cpu->caches[unit];
	rc = env_node_read_leaf(n, c, cache_props);
	if (rc)
		return rc;
	if (!bits_is_pow2(c->line))
		return env_node_fail(n, "line", "%u is not a power of two", c->line);
	if (c->kib * 1024ull % ((uint64_t)c->ways * c->line))
		return env_node_fail(n, "size-kib", "%u KiB do not divide into %u ways of %u-byte lines", c->kib, c->ways,
			c->line);
	for (unsigned i = 0; i < unit; i++)
		if (cpu->caches[i].level == c->level &&
		    (cpu->caches[i].type == c->type || c->type == 'u' || cpu->caches[i].type == 'u'))
			return env_node_fail(n, "level", "level %u of that type is described by cache@%x", c->level, i);
	cpu->cache_count++;
	return 0;
}

/* A feature bit in a leaf that the guest is told not to read would silently be lost. */
static int check_leaves(const struct env_node *n, const struct env_cpu *cpu)
{
	for (unsigned w = 0; w < ENV_CPUID_WORDS; w++) {
		uint32_t leaf = env_cpuid_leaf(w), max = leaf & 0x80000000 ? cpu->max_ext_leaf : cpu->max_leaf;
		unsigned bit = (unsigned)__builtin_ctz(cpu->words[w] | BIT(31));

		if (cpu->words[w] && leaf > max)
			return env_node_fail(n, "features", "\"%s\" is in CPUID leaf 0x%x, but %s is 0x%x",
				env_cpuid_name(w, bit) ?: "a bit", leaf, leaf & 0x80000000 ? "max-ext-leaf" : "max-leaf", max);
	}
	return 0;
}

int env_read_cpu(const struct env_node *n, struct env *env)
{
	const struct env_prop *const tables[] = { props, NULL };
	struct env_cpu *cpu = &env->cpu;
	int at, rc = env_node_read(n, cpu, tables);

	if (rc)
		return rc;
	if (env_cpu_count(env) > ENV_MAX_CPUS)
		return env_node_fail(n, "sockets", "%u sockets × %u cores × %u threads are %u CPUs, 1 to %d are allowed",
			cpu->sockets, cpu->cores, cpu->threads, env_cpu_count(env), ENV_MAX_CPUS);
	rc = check_leaves(n, cpu);
	if (rc)
		return rc;
	env_cpuid_add_aliases(cpu);
	fdt_for_each_subnode(at, n->fdt, n->off) {
		const struct env_node child = env_node_at(n, at);

		rc = read_cache(&child, cpu);
		if (rc)
			return rc;
	}
	return 0;
}
