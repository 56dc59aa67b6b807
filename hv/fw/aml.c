/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/fw/aml.h"
#include <stdlib.h>
#include <string.h>
#include "lib/err.h"

enum {
	OP_ZERO = 0x00, OP_ONE = 0x01, OP_NAME = 0x08, OP_BYTE = 0x0a, OP_WORD = 0x0b, OP_DWORD = 0x0c, OP_STRING = 0x0d,
	OP_QWORD = 0x0e, OP_SCOPE = 0x10, OP_BUFFER = 0x11, OP_PACKAGE = 0x12, OP_METHOD = 0x14, OP_DUAL = 0x2e,
	OP_MULTI = 0x2f, OP_EXT = 0x5b, OP_LOCAL0 = 0x60, OP_ARG0 = 0x68, OP_IF = 0xa0, OP_ELSE = 0xa1,
	EXT_REGION = 0x80, EXT_FIELD = 0x81, EXT_DEVICE = 0x82, EXT_PROCESSOR = 0x83,
	REGION_PCI_CONFIG = 2, FIELD_BYTE_ACCESS = 1,
};

void aml_init(struct aml *aml, struct wbuf *out)
{
	*aml = (struct aml){ .out = out };
}

static void byte(struct aml *aml, unsigned v)
{
	wbuf_u8(aml->out, (uint8_t)v);
}

static void segment(struct aml *aml, const char *s, size_t len)
{
	char seg[4] = "____";

	memcpy(seg, s, len < 4 ? len : 4);
	wbuf_put(aml->out, seg, 4);
}

void aml_path(struct aml *aml, const char *path)
{
	unsigned n;

	while (*path == '\\' || *path == '^')
		byte(aml, (uint8_t)*path++);
	n = *path != 0;
	for (const char *p = path; *p; p++)
		n += *p == '.';
	if (n == 0)
		byte(aml, 0);
	if (n == 2)
		byte(aml, OP_DUAL);
	if (n > 2) {
		byte(aml, OP_MULTI);
		byte(aml, n);
	}
	while (n--) {
		size_t len = strcspn(path, ".");

		segment(aml, path, len);
		path += len + (path[len] == '.');
	}
}

/* ---- blocks */

static void open_block(struct aml *aml, bool buffer)
{
	if (aml->depth == AML_DEPTH) {
		aml->out->failed = true;
		return;
	}
	aml->open[aml->depth].at = aml->out->pos;
	aml->open[aml->depth++].buffer = buffer;
}

/* Move what stands from at on by n bytes and write head there. */
static void insert(struct wbuf *b, size_t at, const uint8_t *head, size_t n)
{
	size_t len = b->pos - at;

	if (!wbuf_room(b, n))
		return;
	memmove(b->data + at + n, b->data + at, len);
	memcpy(b->data + at, head, n);
}

/* PkgLength counts itself; one byte holds up to 63, two 12 bits, three 20, four 28. */
static size_t encode_length(uint8_t out[4], size_t body)
{
	size_t n = body + 1 < 0x40 ? 1 : body + 2 < 0x1000 ? 2 : body + 3 < 0x100000 ? 3 : 4;
	size_t total = body + n;

	if (n == 1) {
		out[0] = (uint8_t)total;
		return 1;
	}
	out[0] = (uint8_t)((n - 1) << 6 | (total & 15));
	for (size_t i = 1; i < n; i++)
		out[i] = (uint8_t)(total >> (8 * i - 4));
	return n;
}

static size_t encode_int(uint8_t out[9], uint64_t v)
{
	struct wbuf b = wbuf_of(out, 9);

	if (v <= 1) {
		wbuf_u8(&b, (uint8_t)v);	/* ZeroOp, OneOp */
	} else if (v <= 0xff) {
		wbuf_u8(&b, OP_BYTE);
		wbuf_u8(&b, (uint8_t)v);
	} else if (v <= 0xffff) {
		wbuf_u8(&b, OP_WORD);
		wbuf_le16(&b, (uint16_t)v);
	} else if (v <= 0xffffffff) {
		wbuf_u8(&b, OP_DWORD);
		wbuf_le32(&b, (uint32_t)v);
	} else {
		wbuf_u8(&b, OP_QWORD);
		wbuf_le64(&b, v);
	}
	return b.pos;
}

void aml_close(struct aml *aml)
{
	uint8_t head[9];
	size_t at;

	if (aml->out->failed)
		return;
	bug_on(!aml->depth);
	at = aml->open[--aml->depth].at;
	if (aml->open[aml->depth].buffer)
		insert(aml->out, at, head, encode_int(head, aml->out->pos - at));
	insert(aml->out, at, head, encode_length(head, aml->out->pos - at));
}

void aml_open_scope(struct aml *aml, const char *path)
{
	byte(aml, OP_SCOPE);
	open_block(aml, false);
	aml_path(aml, path);
}

void aml_open_device(struct aml *aml, const char *name)
{
	byte(aml, OP_EXT);
	byte(aml, EXT_DEVICE);
	open_block(aml, false);
	aml_path(aml, name);
}

void aml_open_processor(struct aml *aml, const char *name, uint8_t id)
{
	byte(aml, OP_EXT);
	byte(aml, EXT_PROCESSOR);
	open_block(aml, false);
	aml_path(aml, name);
	byte(aml, id);
	wbuf_le32(aml->out, 0);	/* no P_BLK */
	byte(aml, 0);
}

void aml_open_method(struct aml *aml, const char *name, unsigned args, bool serialized)
{
	byte(aml, OP_METHOD);
	open_block(aml, false);
	aml_path(aml, name);
	byte(aml, (args & 7) | (serialized ? 8 : 0));
}

void aml_open_package(struct aml *aml, uint8_t elements)
{
	byte(aml, OP_PACKAGE);
	open_block(aml, false);
	byte(aml, elements);
}

void aml_open_buffer(struct aml *aml)
{
	byte(aml, OP_BUFFER);
	open_block(aml, true);
}

void aml_open_if(struct aml *aml)
{
	byte(aml, OP_IF);
	open_block(aml, false);
}

void aml_open_else(struct aml *aml)
{
	byte(aml, OP_ELSE);
	open_block(aml, false);
}

void aml_open_field(struct aml *aml, const char *region)
{
	byte(aml, OP_EXT);
	byte(aml, EXT_FIELD);
	open_block(aml, false);
	aml_path(aml, region);
	byte(aml, FIELD_BYTE_ACCESS);
}

/* ---- terms */

void aml_op(struct aml *aml, enum aml_op op)
{
	byte(aml, op);
}

void aml_int(struct aml *aml, uint64_t val)
{
	uint8_t b[9];

	wbuf_put(aml->out, b, encode_int(b, val));
}

void aml_string(struct aml *aml, const char *s)
{
	byte(aml, OP_STRING);
	wbuf_str(aml->out, s);
}

/* Three letters of five bits, then four hexadecimal digits; big-endian. */
void aml_eisa(struct aml *aml, const char *id)
{
	unsigned v = (unsigned)(id[0] & 31) << 26 | (unsigned)(id[1] & 31) << 21 | (unsigned)(id[2] & 31) << 16;

	v |= (unsigned)strtoul(id + 3, NULL, 16) & 0xffff;
	byte(aml, OP_DWORD);
	wbuf_be32(aml->out, v);
}

/* aabbccdd-eeff-gghh-iijj-kkllmmnnoopp: the first three groups are stored little-endian. */
void aml_uuid(struct aml *aml, const char *uuid)
{
	static const uint8_t at[16] = { 6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34 };

	bug_on(strlen(uuid) != 36);
	aml_open_buffer(aml);
	for (unsigned i = 0; i < 16; i++) {
		char hex[3] = { uuid[at[i]], uuid[at[i] + 1], 0 };

		byte(aml, (unsigned)strtoul(hex, NULL, 16));
	}
	aml_close(aml);
}

void aml_local(struct aml *aml, unsigned n)
{
	byte(aml, OP_LOCAL0 + n);
}

void aml_arg(struct aml *aml, unsigned n)
{
	byte(aml, OP_ARG0 + n);
}

void aml_name(struct aml *aml, const char *name)
{
	byte(aml, OP_NAME);
	aml_path(aml, name);
}

void aml_name_int(struct aml *aml, const char *name, uint64_t val)
{
	aml_name(aml, name);
	aml_int(aml, val);
}

void aml_name_string(struct aml *aml, const char *name, const char *val)
{
	aml_name(aml, name);
	aml_string(aml, val);
}

void aml_name_eisa(struct aml *aml, const char *name, const char *id)
{
	aml_name(aml, name);
	aml_eisa(aml, id);
}

void aml_region_pci(struct aml *aml, const char *name, uint32_t offset, uint32_t len)
{
	byte(aml, OP_EXT);
	byte(aml, EXT_REGION);
	aml_path(aml, name);
	byte(aml, REGION_PCI_CONFIG);
	aml_int(aml, offset);
	aml_int(aml, len);
}

void aml_field_unit(struct aml *aml, const char *name, unsigned bits)
{
	if (*name)
		segment(aml, name, strlen(name));
	else
		byte(aml, 0);	/* ReservedField */
	/* FieldLength is a PkgLength that does not count itself; up to 63 bits fit one byte, and no unit here is longer. */
	bug_on(bits > 0x3f);
	byte(aml, bits);
}
