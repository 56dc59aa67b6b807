/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base64.h"
#include <errno.h>
#include "lib/buf.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *data, size_t len, char *text)
{
	const uint8_t *in = data;

	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t v = (uint32_t)in[i] << 16 | (n > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (n > 2 ? in[i + 2] : 0);

		*text++ = alphabet[v >> 18];
		*text++ = alphabet[v >> 12 & 63];
		*text++ = n > 1 ? alphabet[v >> 6 & 63] : '=';
		*text++ = n > 2 ? alphabet[v & 63] : '=';
	}
	*text = 0;
}

/* Without a table and without a branch on the character: texts may be keys. -1: not of the alphabet. */
static int value(uint8_t c)
{
	int v = -1;

	/* (lo - 1 - c) & (c - hi - 1) is negative exactly for lo ≤ c ≤ hi */
	v += (('A' - 1 - c) & (c - 'Z' - 1)) >> 8 & (c - 'A' + 1);
	v += (('a' - 1 - c) & (c - 'z' - 1)) >> 8 & (c - 'a' + 27);
	v += (('0' - 1 - c) & (c - '9' - 1)) >> 8 & (c - '0' + 53);
	v += (('+' - 1 - c) & (c - '+' - 1)) >> 8 & 63;
	v += (('/' - 1 - c) & (c - '/' - 1)) >> 8 & 64;
	return v;
}

/* Four characters to one to three bytes. */
static int decode_group(const uint8_t *text, size_t chars, struct wbuf *out)
{
	uint32_t v = 0;

	for (size_t i = 0; i < 4; i++) {
		int six = i < chars ? value(text[i]) : 0;

		if (six < 0)
			return -EINVAL;
		v = v << 6 | (uint32_t)six;
	}
	if ((chars == 2 && v & 0xffff) || (chars == 3 && v & 0xff))
		return -EINVAL;
	wbuf_u8(out, (uint8_t)(v >> 16));
	if (chars > 2)
		wbuf_u8(out, (uint8_t)(v >> 8));
	if (chars > 3)
		wbuf_u8(out, (uint8_t)v);
	return 0;
}

int base64_decode(const char *text, size_t len, void *data, size_t max, size_t *used)
{
	struct rbuf in = rbuf_of(text, len);
	struct wbuf out = wbuf_of(data, max);

	*used = 0;
	if (len % 4)
		return -EINVAL;
	while (rbuf_left(&in)) {
		const uint8_t *four = rbuf_take(&in, 4);
		size_t chars = 4;

		if (!rbuf_left(&in) && four[3] == '=')
			chars = four[2] == '=' ? 2 : 3;
		if (decode_group(four, chars, &out))
			return -EINVAL;
	}
	if (out.failed)
		return -EMSGSIZE;
	*used = out.pos;
	return 0;
}
