/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <libfdt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "lib/bits.h"
#include "lib/env/env_priv.h"
#include "lib/scope.h"

struct value { const char *data; int len; };

struct env_node env_node_at(const struct env_node *parent, int off)
{
	return (struct env_node){ .file = parent->file, .fdt = parent->fdt, .off = off, .err = parent->err };
}

const char *env_node_name(const struct env_node *n)
{
	return fdt_get_name(n->fdt, n->off, NULL) ?: "";
}

struct env_shown env_shown(const char *s)
{
	struct env_shown out;
	size_t i;

	for (i = 0; s[i] && i < sizeof out.s - 1; i++)
		out.s[i] = isprint((unsigned char)s[i]) && s[i] != '"' ? s[i] : '?';
	out.s[i] = 0;
	return out;
}

int env_node_fail(const struct env_node *n, const char *property, const char *fmt, ...)
{
	char path[ENV_MAX_PATH], text[sizeof n->err->text];
	va_list ap;

	if (fdt_get_path(n->fdt, n->off, path, sizeof path))
		strcpy(path, "?");
	for (char *c = path; *c; c++)
		if (!isprint((unsigned char)*c))
			*c = '?';
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return err_set(n->err, -EINVAL, "%s: %s: %s%s%s", n->file, path, property ?: "", property ? ": " : "", text);
}

bool env_node_is(const struct env_node *n, const char *name)
{
	const char *s = env_node_name(n);
	size_t len = strlen(name);

	return !strncmp(s, name, len) && (!s[len] || s[len] == '@');
}

int env_node_unit(const struct env_node *n, const char *name, unsigned max, unsigned *unit)
{
	const char *s = strchr(env_node_name(n), '@');
	unsigned v = 0;
	size_t digits;

	digits = s ? strspn(++s, "0123456789abcdef") : 0;
	if (!digits || s[digits] || digits > 4 || (digits > 1 && *s == '0'))
		return env_node_fail(n, NULL, "the unit address must be one small hexadecimal number: %s@0 to %s@%x", name,
			name, max);
	for (; *s; s++)
		v = v << 4 | (unsigned)(isdigit((unsigned char)*s) ? *s - '0' : *s - 'a' + 10);
	if (v > max)
		return env_node_fail(n, NULL, "%x is out of range, %s@0 to %s@%x is allowed", v, name, name, max);
	*unit = v;
	return 0;
}

/* All names of a kind, for messages that say what is allowed. */
struct names { char s[320]; size_t len; };

static void add_name(struct names *all, const char *name)
{
	int n = snprintf(all->s + all->len, sizeof all->s - all->len, "%s%s", all->len ? ", " : "", name);

	all->len = n < 0 || all->len + (size_t)n >= sizeof all->s ? sizeof all->s - 1 : all->len + (size_t)n;
}

static void store(void *target, size_t off, size_t size, uint64_t v)
{
	char *to = (char *)target + off;

	switch (size) {
	case 1: *(uint8_t *)to = (uint8_t)v; break;
	case 2: *(uint16_t *)to = (uint16_t)v; break;
	case 4: *(uint32_t *)to = (uint32_t)v; break;
	case 8: *(uint64_t *)to = v; break;
	default: bug_on(true);
	}
}

static void store_text(void *target, const struct env_prop *p, const char *s)
{
	char *to = (char *)target + p->off;
	size_t len = strlen(s);

	if (p->type == ENV_T_TEXT) {
		memcpy(to, &s, sizeof s);
		return;
	}
	bug_on(len >= p->size);
	memset(to, p->type == ENV_T_PADDED ? ' ' : 0, p->size);
	memcpy(to, s, len);
	to[p->size - 1] = 0;
}

static int read_number(const struct env_node *n, void *target, const struct env_prop *p, struct value v)
{
	int width = p->type == ENV_T_LONG ? 8 : 4, count = p->type == ENV_T_PAIR ? 2 : 1;

	if (v.len != width * count)
		return env_node_fail(n, p->name, "must be %s", p->type == ENV_T_LONG ? "one 64-bit number, /bits/ 64 <…>" :
			p->type == ENV_T_PAIR ? "two cells, <… …>" : "one cell, <…>");
	for (int i = 0; i < count; i++) {
		uint64_t x = width == 8 ? get_be64(v.data) : get_be32(v.data + 4 * i);

		if (x < p->min || x > p->max)
			return env_node_fail(n, p->name, p->hex ? "0x%llx is out of range, 0x%llx to 0x%llx is allowed" :
				"%llu is out of range, %llu to %llu is allowed", (unsigned long long)x,
				(unsigned long long)p->min, (unsigned long long)p->max);
		store(target, p->off + p->size * (size_t)i, p->size, x);
	}
	return 0;
}

/* One string of a property: terminated, printable, and in range for the table. */
static int check_text(const struct env_node *n, const struct env_prop *p, const char *s)
{
	size_t len = strlen(s);

	for (const char *c = s; *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			return env_node_fail(n, p->name, "holds byte 0x%02x, only printable ASCII is allowed", (unsigned char)*c);
	if (len != p->min && p->min == p->max)
		return env_node_fail(n, p->name, "\"%s\" has %zu characters, exactly %llu are allowed", env_shown(s).s, len,
			(unsigned long long)p->min);
	if (len < p->min || len > p->max)
		return env_node_fail(n, p->name, "\"%s\" has %zu characters, %llu to %llu are allowed", env_shown(s).s, len,
			(unsigned long long)p->min, (unsigned long long)p->max);
	if (p->plain)
		for (const char *c = s; *c; c++)
			if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && *c != '_' && *c != '-')
				return env_node_fail(n, p->name,
					"\"%s\" holds '%c', only small letters, digits, '_' and '-' are allowed",
					env_shown(s).s, *c);
	return 0;
}

static bool is_text(struct value v)
{
	return v.len > 0 && memchr(v.data, 0, (size_t)v.len) == v.data + v.len - 1;
}

static int read_text(const struct env_node *n, void *target, const struct env_prop *p, struct value v)
{
	int rc;

	if (!is_text(v))
		return env_node_fail(n, p->name, "must be one string, \"…\"");
	rc = check_text(n, p, v.data);
	if (!rc)
		store_text(target, p, v.data);
	return rc;
}

static int read_word(const struct env_node *n, void *target, const struct env_prop *p, struct value v)
{
	struct names all = { .len = 0 };

	for (const struct env_word *w = p->words; w->name; w++) {
		if (is_text(v) && !strcmp(w->name, v.data)) {
			store(target, p->off, p->size, w->value);
			return 0;
		}
		add_name(&all, w->name);
	}
	if (!is_text(v))
		return env_node_fail(n, p->name, "must be one string, one of: %s", all.s);
	return env_node_fail(n, p->name, "\"%s\" is not known; allowed: %s", env_shown(v.data).s, all.s);
}

static int read_mac(const struct env_node *n, void *target, const struct env_prop *p, struct value v)
{
	static const uint8_t zero[6];

	if (v.len != 6)
		return env_node_fail(n, p->name, "must be six bytes, [3c ec ef 12 34 56]");
	if (v.data[0] & 1)
		return env_node_fail(n, p->name, "is a multicast address (odd first byte), a card needs a unicast one");
	if (!memcmp(v.data, zero, 6))
		return env_node_fail(n, p->name, "is all zero");
	memcpy((char *)target + p->off, v.data, 6);
	return 0;
}

static int read_uuid(const struct env_node *n, void *target, const struct env_prop *p, struct value v)
{
	uint8_t *to = (uint8_t *)target + p->off, all_or = 0, all_and = 0xff;
	const char *s = v.data;
	bool fine = is_text(v) && v.len == 37;

	for (unsigned i = 0; fine && i < 16; i++, s += 2) {
		unsigned x;

		fine = isxdigit((unsigned char)s[0]) && isxdigit((unsigned char)s[1]) && sscanf(s, "%2x", &x) == 1;
		if (!fine)
			break;
		to[i] = (uint8_t)x;
		all_or |= to[i];
		all_and &= to[i];
		if (i == 3 || i == 5 || i == 7 || i == 9)
			fine = *(s++ + 2) == '-';
	}
	if (!fine)
		return env_node_fail(n, p->name, "must be a UUID, \"xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx\"");
	if (!all_or || all_and == 0xff)
		return env_node_fail(n, p->name, "all 0 and all f mean that there is no UUID; the server needs one");
	return 0;
}

static int read_ipv4(const struct env_node *n, void *target, const struct env_prop *p, struct value v)
{
	if (!is_text(v) || inet_pton(AF_INET, v.data, (char *)target + p->off) != 1)
		return env_node_fail(n, p->name, "must be an IPv4 address, \"192.0.2.20\"");
	return 0;
}

static int read_list(const struct env_node *n, void *target, const struct env_prop *p, struct value v)
{
	unsigned i = 0;
	int rc;

	if (v.len <= 0 || v.data[v.len - 1])
		return env_node_fail(n, p->name, "must be strings, \"…\", \"…\"");
	for (const char *s = v.data; s < v.data + v.len; s += strlen(s) + 1, i++) {
		rc = check_text(n, p, s);
		if (!rc)
			rc = p->item(n, p, target, i, s);
		if (rc)
			return rc;
	}
	return 0;
}

static int read_flag(const struct env_node *n, void *target, const struct env_prop *p, struct value v)
{
	if (v.len)
		return env_node_fail(n, p->name, "is a flag: it stands without a value");
	store(target, p->off, p->size, 1);
	return 0;
}

static int (*const readers[])(const struct env_node *, void *, const struct env_prop *, struct value) = {
	[ENV_T_FLAG] = read_flag, [ENV_T_CELL] = read_number, [ENV_T_PAIR] = read_number, [ENV_T_LONG] = read_number,
	[ENV_T_TEXT] = read_text, [ENV_T_CHARS] = read_text, [ENV_T_PADDED] = read_text, [ENV_T_WORD] = read_word,
	[ENV_T_MAC] = read_mac, [ENV_T_UUID] = read_uuid, [ENV_T_IPV4] = read_ipv4, [ENV_T_LIST] = read_list,
};

void env_default_table(void *target, const struct env_prop *table)
{
	for (const struct env_prop *p = table; p->name; p++)
		switch (p->keep ? ENV_T_LIST : p->type) {
		case ENV_T_PAIR:
			store(target, p->off + p->size, p->size, p->def);
			/* fall through */
		case ENV_T_FLAG: case ENV_T_CELL: case ENV_T_LONG: case ENV_T_WORD:
			store(target, p->off, p->size, p->def);
			break;
		case ENV_T_TEXT: case ENV_T_CHARS: case ENV_T_PADDED:
			store_text(target, p, p->text ?: "");
			break;
		case ENV_T_MAC: case ENV_T_UUID: case ENV_T_IPV4: case ENV_T_LIST:
			break;
		}
}

static int fail_unknown(const struct env_node *n, const char *name, const struct env_prop *const tables[])
{
	struct names all = { .len = 0 };

	for (; *tables; tables++)
		for (const struct env_prop *p = *tables; p->name; p++)
			add_name(&all, p->name);
	return env_node_fail(n, NULL, "unknown property \"%s\"; allowed here: %s", env_shown(name).s, all.len ? all.s : "none");
}

int env_node_read(const struct env_node *n, void *target, const struct env_prop *const tables[])
{
	uint64_t seen = 0;
	unsigned i;
	int at, rc;

	for (unsigned t = 0; tables[t]; t++)
		env_default_table(target, tables[t]);
	fdt_for_each_property_offset(at, n->fdt, n->off) {
		const struct env_prop *p = NULL;
		const char *name;
		struct value v;

		v.data = fdt_getprop_by_offset(n->fdt, at, &name, &v.len);
		if (!v.data)
			return env_node_fail(n, NULL, "a property cannot be read: %s", fdt_strerror(v.len));
		i = 0;
		for (unsigned t = 0; tables[t]; t++)
			for (p = tables[t]; p->name; p++, i++)
				if (!strcmp(p->name, name))
					goto found;
		return fail_unknown(n, name, tables);
found:
		bug_on(i >= 64);
		if (seen & BIT64(i))
			return env_node_fail(n, p->name, "stands twice");
		seen |= BIT64(i);
		rc = readers[p->type](n, target, p, v);
		if (rc)
			return rc;
	}
	i = 0;
	for (unsigned t = 0; tables[t]; t++)
		for (const struct env_prop *p = tables[t]; p->name; p++, i++)
			if (p->required && !(seen & BIT64(i)))
				return env_node_fail(n, p->name, "is missing, it is required here");
	return 0;
}

int env_node_read_one(const struct env_node *n, void *target, const struct env_prop *p)
{
	struct value v;

	v.data = fdt_getprop(n->fdt, n->off, p->name, &v.len);
	if (!v.data)
		return env_node_fail(n, p->name, "is missing, it is required here");
	return readers[p->type](n, target, p, v);
}

int env_node_children(const struct env_node *n, struct env *env, const struct env_child *table)
{
	struct names all = { .len = 0 };
	uint64_t seen = 0;
	int at, rc;

	fdt_for_each_subnode(at, n->fdt, n->off) {
		struct env_node child = env_node_at(n, at);
		const struct env_child *c = table;

		while (c->name && strcmp(c->name, env_node_name(&child)))
			c++;
		if (!c->name) {
			for (c = table; c->name; c++)
				add_name(&all, c->name);
			return env_node_fail(n, NULL, "unknown node \"%s\"; allowed here: %s", env_shown(env_node_name(&child)).s,
				all.len ? all.s : "none");
		}
		if (seen & BIT64(c - table))
			return env_node_fail(&child, NULL, "this node stands twice");
		seen |= BIT64(c - table);
		rc = c->read(&child, env);
		if (rc)
			return rc;
	}
	for (const struct env_child *c = table; c->name; c++)
		if (c->required && !(seen & BIT64(c - table)))
			return env_node_fail(n, NULL, "node \"%s\" is missing, it is required here", c->name);
	return 0;
}

int env_node_read_leaf(const struct env_node *n, void *target, const struct env_prop *table)
{
	static const struct env_child no_children[] = { { NULL } };
	const struct env_prop *const tables[] = { table, NULL };
	int rc = env_node_read(n, target, tables);

	return rc ? rc : env_node_children(n, NULL, no_children);
}
