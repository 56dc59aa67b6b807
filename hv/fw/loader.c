/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/fw/loader.h"
#include <errno.h>
#include <string.h>
#include "lib/bits.h"
#include "lib/scope.h"

enum { ALLOCATE = 1, POINTER = 2, CHECKSUM = 3, COMMANDS };
enum { ZONE_HIGH = 1, ZONE_LOW = 2 };

static size_t begin(struct wbuf *w, uint32_t command, const char *file)
{
	size_t at = w->pos;

	wbuf_le32(w, command);
	wbuf_pad_str(w, file, LOADER_NAME, 0);
	return at;
}

static void end(struct wbuf *w, size_t at)
{
	if (!w->failed)
		wbuf_zero(w, LOADER_ENTRY - (w->pos - at));
}

void loader_allocate(struct wbuf *w, const char *file, uint32_t align, bool low)
{
	size_t at = begin(w, ALLOCATE, file);

	wbuf_le32(w, align);
	wbuf_u8(w, low ? ZONE_LOW : ZONE_HIGH);
	end(w, at);
}

void loader_pointer(struct wbuf *w, const char *in, const char *to, size_t offset, uint8_t size)
{
	size_t at = begin(w, POINTER, in);

	wbuf_pad_str(w, to, LOADER_NAME, 0);
	wbuf_le32(w, (uint32_t)offset);
	wbuf_u8(w, size);
	end(w, at);
}

void loader_checksum(struct wbuf *w, const char *file, size_t offset, size_t start, size_t len)
{
	size_t at = begin(w, CHECKSUM, file);

	wbuf_le32(w, (uint32_t)offset);
	wbuf_le32(w, (uint32_t)start);
	wbuf_le32(w, (uint32_t)len);
	end(w, at);
}

/* ---- running */

struct run {
	struct loader_file *files;
	unsigned count;
	struct mem *mem;
	uint64_t next, end;
	struct err *err;
};

static struct loader_file *find(struct run *run, struct rbuf *b)
{
	const uint8_t *name = rbuf_take(b, LOADER_NAME);

	if (!name || name[LOADER_NAME - 1])
		return NULL;
	for (unsigned i = 0; i < run->count; i++)
		if (!strcmp((const char *)name, run->files[i].name))
			return &run->files[i];
	return NULL;
}

/* len bytes at off of a placed file, in guest memory */
static uint8_t *at(struct run *run, const struct loader_file *f, uint32_t off, uint32_t len)
{
	if (!f || !f->gpa || off > f->len || len > f->len - off)
		return NULL;
	return mem_at(run->mem, f->gpa + off, len);
}

static int allocate(struct run *run, struct rbuf *b)
{
	struct loader_file *f = find(run, b);
	uint32_t align = rbuf_le32(b);
	uint64_t gpa;

	if (!f || f->gpa || !bits_is_pow2(align))
		return -EINVAL;
	gpa = bits_align_up(run->next, align);
	if (gpa < run->next || gpa > run->end || f->len > run->end - gpa)
		return err_set(run->err, -ENOSPC, "%s: %zu bytes do not fit below 0x%llx", f->name, f->len,
			       (unsigned long long)run->end);
	if (mem_write(run->mem, gpa, f->data, f->len))
		return err_set(run->err, -EFAULT, "%s: no memory at 0x%llx", f->name, (unsigned long long)gpa);
	f->gpa = gpa;
	run->next = gpa + f->len;
	return 0;
}

static int pointer(struct run *run, struct rbuf *b)
{
	struct loader_file *in = find(run, b), *to = find(run, b);
	uint32_t off = rbuf_le32(b);
	uint8_t size = rbuf_u8(b);
	uint8_t *p = at(run, in, off, size);

	if (!p || !to || !to->gpa || size > 8 || !bits_is_pow2(size))
		return -EINVAL;
	put_le(p, size, get_le(p, size) + to->gpa);
	return 0;
}

static int checksum(struct run *run, struct rbuf *b)
{
	struct loader_file *f = find(run, b);
	uint32_t off = rbuf_le32(b), start = rbuf_le32(b), len = rbuf_le32(b);
	uint8_t *sum = at(run, f, off, 1), *p = at(run, f, start, len), v = 0;

	if (!sum || !p)
		return -EINVAL;
	for (uint32_t i = 0; i < len; i++)
		v = (uint8_t)(v + p[i]);
	*sum = (uint8_t)(*sum - v);
	return 0;
}

int loader_run(const void *script, size_t len, struct loader_file *files, unsigned count, struct mem *mem,
	       uint64_t start, uint64_t end_gpa, struct err *err)
{
	static int (*const commands[COMMANDS])(struct run *, struct rbuf *) = {
		[ALLOCATE] = allocate, [POINTER] = pointer, [CHECKSUM] = checksum,
	};
	struct run run = { files, count, mem, start, end_gpa, err };

	for (size_t n = 0; n < len / LOADER_ENTRY; n++) {
		struct rbuf b = rbuf_of((const uint8_t *)script + n * LOADER_ENTRY, LOADER_ENTRY);
		uint32_t command = rbuf_le32(&b);
		int code = command < COMMANDS && commands[command] ? commands[command](&run, &b) : -EINVAL;

		if (!command)
			continue;	/* padding */
		if (code == -EINVAL)
			return err_set(err, code, "entry %zu of the ACPI loader script (command %u) is not valid", n, command);
		if (code)
			return code;
	}
	return 0;
}
