/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading nodes by table: one entry a property with its type, range, default and place in the target struct.
 * docs/environment.md is the same table for people. Everything runs in the thread that called env_parse.
 */
#pragma once
#include "lib/env/env.h"

#define ENV_MAX_BLOB (256u << 10)
#define ENV_MAX_DEPTH 8		/* levels of PCI functions */
#define ENV_MAX_PATH 320
#define ENV_MAX_NAME 31		/* a node's name before the @ */
#define ENV_MIB (1ull << 20)

/* A node while it is read. fdt is a private copy that passed fdt_check_full; strings of the result point into it. */
struct env_node {
	const char *file;	/* for messages */
	const void *fdt;
	int off;
	struct err *err;
};

enum env_type {
	ENV_T_FLAG,	/* present or not */
	ENV_T_CELL,	/* one 32-bit cell, min…max */
	ENV_T_PAIR,	/* two cells into an array of two, min…max each */
	ENV_T_LONG,	/* one 64-bit number */
	ENV_T_TEXT,	/* const char *, min…max characters */
	ENV_T_CHARS,	/* char[], min…max characters */
	ENV_T_PADDED,	/* char[], padded with blanks to size - 1 */
	ENV_T_WORD,	/* one of words */
	ENV_T_MAC, ENV_T_UUID, ENV_T_IPV4,
	ENV_T_LIST,	/* several strings, each handed to item */
};

struct env_word { const char *name; unsigned value; };	/* ends with a NULL name */

struct env_prop {	/* a table ends with a NULL name */
	const char *name;
	enum env_type type;
	bool required;
	bool keep;		/* absent: leave what the target holds */
	bool hex;		/* how messages show numbers */
	bool plain;		/* text: small letters, digits, '_', '-' only: what a key of a placement may hold */
	size_t off, size;	/* of the field (of one element for a pair) */
	uint64_t min, max, def;
	const char *text;	/* default of texts */
	const struct env_word *words;
	int (*item)(const struct env_node *n, const struct env_prop *p, void *target, unsigned i, const char *s);
};

#define ENV_FIELD(s, m) .off = offsetof(s, m), .size = sizeof(((s *)0)->m)

/*
 * Read all properties of a node: defaults first, then what stands there. tables ends with NULL.
 * A property that is in no table, stands twice, or is out of range fails with -EINVAL and a message.
 */
int env_node_read(const struct env_node *n, void *target, const struct env_prop *const tables[]) must_check;

/* Read one required property before the others, which it decides about. */
int env_node_read_one(const struct env_node *n, void *target, const struct env_prop *p) must_check;

/* Read the properties of a node that only has those, and refuse child nodes. */
int env_node_read_leaf(const struct env_node *n, void *target, const struct env_prop *table) must_check;

struct env_child {	/* a table ends with a NULL name */
	const char *name;
	bool required;
	int (*read)(const struct env_node *n, struct env *env);
};

/* Read child nodes, each by its entry; others, repeated and missing ones fail. */
int env_node_children(const struct env_node *n, struct env *env, const struct env_child *table) must_check;

/* Fail with -EINVAL: "FILE: PATH: PROPERTY: …"; property may be NULL. */
int env_node_fail(const struct env_node *n, const char *property, const char *fmt, ...) printf_like(3, 4);
struct env_node env_node_at(const struct env_node *parent, int off);
/* The node's own name; never NULL. */
const char *env_node_name(const struct env_node *n);
/* s with everything unprintable replaced and cut to fit: names of unknown things in messages. */
struct env_shown { char s[48]; };
struct env_shown env_shown(const char *s);

/* "name@unit" with a plain name and one hexadecimal number, no leading zeros, at most max. */
int env_node_unit(const struct env_node *n, const char *name, unsigned max, unsigned *unit) must_check;
bool env_node_is(const struct env_node *n, const char *name);	/* name or name@… */

int env_read_smbios(const struct env_node *n, struct env *env) must_check;
int env_read_acpi(const struct env_node *n, struct env *env) must_check;
int env_read_cpu(const struct env_node *n, struct env *env) must_check;
int env_read_memory(const struct env_node *n, struct env *env) must_check;
int env_read_chipset(const struct env_node *n, struct env *env) must_check;
int env_read_pci(const struct env_node *n, struct env *env) must_check;
int env_read_bmc(const struct env_node *n, struct env *env) must_check;
/* Children of a storage controller. */
int env_read_disks(const struct env_node *n, struct env_pci *pci) must_check;
/* What the absent smbios and acpi nodes mean. */
void env_default_smbios(struct env *env);
void env_default_acpi(struct env *env);
void env_default_table(void *target, const struct env_prop *table);
/* Room for the path of env.pci[i], ENV_MAX_PATH bytes, owned by env. */
char *env_path_room(struct env *env, unsigned i);

/* Everything that more than one node decides. */
int env_check(const char *file, const struct env *env, struct err *err) must_check;

uint32_t env_cpuid_leaf(enum env_cpuid_word word);
/* AMD repeats leaf 1 EDX in leaf 0x80000001 EDX. */
void env_cpuid_add_aliases(struct env_cpu *cpu);
