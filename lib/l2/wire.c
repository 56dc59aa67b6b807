/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/wire.h"
#include <errno.h>
#include <string.h>
#include "lib/bits.h"
#include "lib/buf.h"

static const struct { const char *name; size_t min, max; } types[WIRE_TYPES] = {
	[0] = { "?", 1, 0 },
	[WIRE_HELLO] = { "HELLO", 2, WIRE_HELLO_MAX },
	[WIRE_FRAME] = { "FRAME", WIRE_VNET + FRAME_MIN, WIRE_FRAME_MAX },
	[WIRE_CONSUMED] = { "CONSUMED", 8, 8 },
	[WIRE_BEAT] = { "BEAT", 24, 24 },
	[WIRE_GRANT] = { "GRANT", 16, 16 },
	[WIRE_RELEASE] = { "RELEASE", 8, 8 },
	[WIRE_PEERS] = { "PEERS", 2, WIRE_PEERS_MAX },
};

const char *wire_type_name(enum wire_type type)
{
	return type < WIRE_TYPES ? types[type].name : "?";
}

static int parse_grant(struct rbuf *b, struct wire_grant *g, struct err *err)
{
	uint8_t state;

	g->stamp_ns = rbuf_le64(b);
	g->lease_ms = rbuf_le32(b);
	state = rbuf_u8(b);
	if (state >= WIRE_GRANT_STATES)
		return err_set(err, -EPROTO, "GRANT of state %u, which there is not", state);
	g->state = state;
	g->moves = rbuf_u8(b);
	return 0;
}

static int parse_body(struct wire_message *m, struct err *err)
{
	struct rbuf b = rbuf_of(m->body, m->len);

	switch (m->type) {
	case WIRE_CONSUMED:
		m->consumed = rbuf_le64(&b);
		return 0;
	case WIRE_BEAT:
		m->beat.stamp_ns = rbuf_le64(&b);
		m->beat.flags = rbuf_le64(&b);
		m->beat.priority = rbuf_le32(&b);
		m->beat.rtt_us = rbuf_le32(&b);
		return 0;
	case WIRE_RELEASE:
		m->release_ns = rbuf_le64(&b);
		return 0;
	case WIRE_GRANT:
		return parse_grant(&b, &m->grant, err);
	default:
		return 0;
	}
}

int wire_parse(const uint8_t *data, size_t len, size_t *used, struct wire_message *m, struct err *err)
{
	uint32_t header;
	int rc;

	*used = 0;
	if (len < WIRE_HEADER)
		return 0;
	header = get_le32(data);
	m->type = header >> 24;
	m->len = header & 0xffffff;
	if (m->type >= WIRE_TYPES || !m->type)
		return err_set(err, -EPROTO, "message of type %u, which there is not", header >> 24);
	if (m->len < types[m->type].min || m->len > types[m->type].max)
		return err_set(err, -EPROTO, "%s of %zu bytes: %zu to %zu are right", types[m->type].name, m->len,
			       types[m->type].min, types[m->type].max);
	if (len - WIRE_HEADER < m->len)
		return 0;
	m->body = data + WIRE_HEADER;
	rc = parse_body(m, err);
	*used = rc ? 0 : WIRE_HEADER + m->len;
	return rc;
}

void wire_put_header(uint8_t buf[WIRE_HEADER], enum wire_type type, size_t len)
{
	put_le32(buf, (uint32_t)type << 24 | (uint32_t)len);
}

uint8_t *wire_put_frame(struct frame *f, size_t *len)
{
	uint8_t *at = f->data - WIRE_VNET - WIRE_HEADER;

	_Static_assert(FRAME_HEADROOM >= WIRE_HEADER + WIRE_VNET && sizeof f->hdr == WIRE_VNET, "the headers have room");
	wire_put_header(at, WIRE_FRAME, WIRE_VNET + f->len);
	memcpy(at + WIRE_HEADER, &f->hdr, WIRE_VNET);
	*len = WIRE_HEADER + WIRE_VNET + f->len;
	return at;
}

static struct wbuf begin(uint8_t buf[WIRE_SMALL], enum wire_type type)
{
	struct wbuf b = wbuf_of(buf, WIRE_SMALL);

	wbuf_le32(&b, (uint32_t)type << 24 | (uint32_t)types[type].max);
	return b;
}

size_t wire_put_consumed(uint8_t buf[WIRE_SMALL], uint64_t consumed)
{
	struct wbuf b = begin(buf, WIRE_CONSUMED);

	wbuf_le64(&b, consumed);
	return b.pos;
}

size_t wire_put_beat(uint8_t buf[WIRE_SMALL], const struct wire_beat *beat)
{
	struct wbuf b = begin(buf, WIRE_BEAT);

	wbuf_le64(&b, beat->stamp_ns);
	wbuf_le64(&b, beat->flags);
	wbuf_le32(&b, beat->priority);
	wbuf_le32(&b, beat->rtt_us);
	return b.pos;
}

size_t wire_put_grant(uint8_t buf[WIRE_SMALL], const struct wire_grant *grant)
{
	struct wbuf b = begin(buf, WIRE_GRANT);

	wbuf_le64(&b, grant->stamp_ns);
	wbuf_le32(&b, grant->lease_ms);
	wbuf_u8(&b, (uint8_t)grant->state);
	wbuf_u8(&b, grant->moves);
	wbuf_zero(&b, 2);
	return b.pos;
}

size_t wire_put_release(uint8_t buf[WIRE_SMALL], uint64_t stamp_ns)
{
	struct wbuf b = begin(buf, WIRE_RELEASE);

	wbuf_le64(&b, stamp_ns);
	return b.pos;
}
