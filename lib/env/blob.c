/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The structure of a flattened device tree, Devicetree Specification 0.4 chapter 5, before libfdt sees it.
 * libfdt's own fdt_check_full is not enough for hostile bytes: up to 1.6.1 it follows a null pointer on a version before
 * 16, and a property whose length overflows an int sends it back to an earlier tag, for ever.
 */
#include <errno.h>
#include <libfdt.h>
#include <string.h>
#include "lib/bits.h"
#include "lib/buf.h"
#include "lib/env/env_priv.h"

#define MAX_DEPTH 16
#define NODE_NAME 64		/* with its NUL */
#define PROP_NAME 64

struct walk {
	struct rbuf tags, strings;
	unsigned depth;
	uint32_t has_child;	/* bit per depth: a node stood there, properties come no more */
	bool has_root;
};

/* A NUL-terminated name at the cursor, fewer than max bytes long; past it. */
static const char *take_name(struct rbuf *b, size_t max)
{
	size_t left = rbuf_left(b), n = left < max ? left : max;
	const uint8_t *s = b->data + b->pos, *nul = n ? memchr(s, 0, n) : NULL;

	return nul ? (const char *)rbuf_take(b, (size_t)(nul - s) + 1) : NULL;
}

/* All tags are multiples of four bytes after the start of their block. */
static void align(struct rbuf *b)
{
	rbuf_skip(b, -b->pos & 3);
}

static const char *begin_node(struct walk *w)
{
	const char *name = take_name(&w->tags, NODE_NAME);

	if (!name)
		return "a node's name is too long or has no end";
	if (w->depth == MAX_DEPTH)
		return "nodes are nested too deeply";
	if (!w->depth && (w->has_root || *name))
		return "it has no single nameless root";
	align(&w->tags);
	w->has_root = true;
	w->has_child |= BIT(w->depth);
	w->depth++;
	w->has_child &= ~BIT(w->depth);
	return NULL;
}

static const char *property(struct walk *w)
{
	uint32_t len = rbuf_be32(&w->tags), name = rbuf_be32(&w->tags);
	struct rbuf strings = w->strings;

	if (!w->depth || w->has_child & BIT(w->depth))
		return "a property stands outside of a node or after a node's children";
	rbuf_skip(&w->tags, len);
	if (w->tags.failed)
		return "a property is longer than the blob";
	align(&w->tags);
	rbuf_seek(&strings, name);
	if (strings.failed || !take_name(&strings, PROP_NAME))
		return "a property's name is too long or outside of the blob";
	return NULL;
}

/* NULL when the structure is sound, or what is wrong with it. */
static const char *walk(struct walk *w)
{
	const char *wrong = NULL;

	while (!wrong) {
		uint32_t tag = rbuf_be32(&w->tags);

		if (w->tags.failed)
			return "it has no end";
		switch (tag) {
		case FDT_BEGIN_NODE:
			wrong = begin_node(w);
			break;
		case FDT_END_NODE:
			wrong = w->depth ? NULL : "it has more ends of nodes than nodes";
			w->depth -= !wrong;
			break;
		case FDT_PROP:
			wrong = property(w);
			break;
		case FDT_NOP:
			break;
		case FDT_END:
			return w->depth || !w->has_root ? "it ends inside of a node" : NULL;
		default:
			wrong = "it holds an unknown tag";
		}
	}
	return wrong;
}

static bool inside(uint32_t off, uint32_t size, uint32_t total)
{
	return off >= sizeof(struct fdt_header) && off <= total && size <= total - off;
}

static const char *check(const void *blob, size_t len)
{
	struct rbuf b = rbuf_of(blob, len);
	uint32_t magic = rbuf_be32(&b), total = rbuf_be32(&b), tags = rbuf_be32(&b), strings = rbuf_be32(&b);
	uint32_t reserved = rbuf_be32(&b), version = rbuf_be32(&b), compatible = rbuf_be32(&b), strings_size, tags_size;
	struct walk w = { .depth = 0 };

	rbuf_skip(&b, 4);	/* boot CPU */
	strings_size = rbuf_be32(&b);
	tags_size = rbuf_be32(&b);
	if (b.failed || magic != FDT_MAGIC)
		return "it does not start like one";
	if (version < 17 || compatible > 17)
		return "its version is not 17";
	if (total > len)
		return "its end is missing";
	if (!inside(tags, tags_size, total) || !inside(strings, strings_size, total) || !inside(reserved, 16, total) ||
	    tags & 3 || reserved & 7)
		return "its parts lie outside of it";
	if (get_be64((const char *)blob + reserved) | get_be64((const char *)blob + reserved + 8))
		return "it holds memory reservations, an environment has none";
	w.tags = rbuf_of((const char *)blob + tags, tags_size);
	w.strings = rbuf_of((const char *)blob + strings, strings_size);
	return walk(&w);
}

int env_blob_check(const char *file, const void *blob, size_t len, struct err *err)
{
	const char *wrong = check(blob, len);
	int rc;

	if (wrong)
		return err_set(err, -EINVAL, "%s: is not a sound device tree blob: %s; `hull env compile` makes one of a .dts",
			file, wrong);
	rc = fdt_check_full(blob, len);
	if (rc)
		return err_set(err, -EINVAL, "%s: is not a sound device tree blob: %s", file, fdt_strerror(rc));
	return 0;
}
