/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/buf.h"
#include <string.h>
#include "lib/bits.h"

const uint8_t *rbuf_take(struct rbuf *b, size_t n)
{
	const uint8_t *p = b->data + b->pos;

	if (b->failed || n > rbuf_left(b)) {
		b->failed = true;
		return NULL;
	}
	b->pos += n;
	return p;
}

void rbuf_copy(struct rbuf *b, void *dst, size_t n)
{
	const uint8_t *p = rbuf_take(b, n);

	if (p)
		memcpy(dst, p, n);
	else
		memset(dst, 0, n);
}

void rbuf_skip(struct rbuf *b, size_t n)
{
	(void)rbuf_take(b, n);
}

void rbuf_seek(struct rbuf *b, size_t pos)
{
	if (pos > b->len)
		b->failed = true;
	else
		b->pos = pos;
}

uint8_t rbuf_u8(struct rbuf *b)
{
	const uint8_t *p = rbuf_take(b, 1);

	return p ? *p : 0;
}

#define READER(name, bits, get) \
	uint##bits##_t rbuf_##name(struct rbuf *b) \
	{ \
		const uint8_t *p = rbuf_take(b, bits / 8); \
		return p ? get(p) : 0; \
	}
READER(le16, 16, get_le16)
READER(le32, 32, get_le32)
READER(le64, 64, get_le64)
READER(be16, 16, get_be16)
READER(be32, 32, get_be32)
READER(be64, 64, get_be64)

uint8_t *wbuf_room(struct wbuf *b, size_t n)
{
	uint8_t *p = b->data + b->pos;

	if (b->failed || n > wbuf_left(b)) {
		b->failed = true;
		return NULL;
	}
	b->pos += n;
	memset(p, 0, n);
	return p;
}

void wbuf_put(struct wbuf *b, const void *src, size_t n)
{
	uint8_t *p = wbuf_room(b, n);

	if (p && n)
		memcpy(p, src, n);
}

void wbuf_zero(struct wbuf *b, size_t n)
{
	(void)wbuf_room(b, n);
}

void wbuf_align(struct wbuf *b, size_t to)
{
	wbuf_zero(b, bits_align_up(b->pos, to) - b->pos);
}

void wbuf_u8(struct wbuf *b, uint8_t v)
{
	wbuf_put(b, &v, 1);
}

#define WRITER(name, bits, put) \
	void wbuf_##name(struct wbuf *b, uint##bits##_t v) \
	{ \
		uint8_t *p = wbuf_room(b, bits / 8); \
		if (p) \
			put(p, v); \
	}
WRITER(le16, 16, put_le16)
WRITER(le32, 32, put_le32)
WRITER(le64, 64, put_le64)
WRITER(be16, 16, put_be16)
WRITER(be32, 32, put_be32)
WRITER(be64, 64, put_be64)

void wbuf_str(struct wbuf *b, const char *s)
{
	wbuf_put(b, s, strlen(s) + 1);
}

void wbuf_pad_str(struct wbuf *b, const char *s, size_t n, char pad)
{
	uint8_t *p = wbuf_room(b, n);
	size_t len = strnlen(s, n);

	if (p) {
		memset(p, pad, n);
		memcpy(p, s, len);
	}
}
