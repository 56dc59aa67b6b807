/* SPDX-License-Identifier: Apache-2.0 */
/* A hull-l2/1 stream of any bytes: messages stay inside it, small ones write back alike, HELLO and PEERS say yes or why not. */
#include <stdlib.h>
#include <string.h>
#include "lib/l2/hello.h"
#include "lib/l2/wire.h"

static void write_back(const struct wire_message *m)
{
	uint8_t buf[WIRE_SMALL];
	size_t len = 0;

	switch (m->type) {
	case WIRE_CONSUMED: len = wire_put_consumed(buf, m->consumed); break;
	case WIRE_BEAT: len = wire_put_beat(buf, &m->beat); break;
	case WIRE_GRANT: len = wire_put_grant(buf, &m->grant); break;
	case WIRE_RELEASE: len = wire_put_release(buf, m->release_ns); break;
	default: return;
	}
	/* a GRANT's last three bytes are not looked at */
	if (len != WIRE_HEADER + m->len || memcmp(buf + WIRE_HEADER, m->body, m->type == WIRE_GRANT ? 13 : m->len))
		abort();
}

static void look(const struct wire_message *m)
{
	static struct hello_peer peers[HELLO_PEERS];
	json_t *json = json_loadb((const char *)m->body, m->len, JSON_REJECT_DUPLICATES, NULL);
	struct err err = { .text = "" };
	struct hello h;
	unsigned count, mtu;

	if (json_is_object(json)) {
		if (!hello_parse(json, &h, &err)) {
			json_t *again = hello_make(&h);
			struct hello h2;

			if (again && (hello_parse(again, &h2, &err) || strcmp(h.name, h2.name) || h.lane != h2.lane))
				abort();
			json_decref(again);
		}
		(void)!hello_check(json, "dc-web01", "net0", "office", &mtu, &err);
		if (!hello_parse_peers(json, peers, &count, &mtu, &err) && (count > HELLO_PEERS || mtu > FRAME_MAX))
			abort();
		if (strchr(err.text, '\n'))
			abort();
	}
	json_decref(json);
}

static void take_frame(const struct wire_message *m)
{
	uint8_t *copy = malloc(FRAME_HEADROOM + m->len);
	struct frame f;

	if (!copy)
		return;
	f = (struct frame){ .data = copy + FRAME_HEADROOM, .len = m->len - WIRE_VNET };
	memcpy(&f.hdr, m->body, WIRE_VNET);
	memcpy(f.data, m->body + WIRE_VNET, f.len);
	if (frame_parse(&f) == FRAME_OK) {
		size_t len, used;
		struct wire_message again;
		uint8_t *at = wire_put_frame(&f, &len);

		if (at < copy || wire_parse(at, len, &used, &again, NULL) || used != len || again.type != WIRE_FRAME)
			abort();
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_message m;
	struct err err = { .text = "" };
	size_t used;

	while (!wire_parse(data, size, &used, &m, &err) && used) {
		if (used > size || m.body < data || m.body + m.len > data + size)
			abort();
		write_back(&m);
		if (m.type == WIRE_HELLO || m.type == WIRE_PEERS)
			look(&m);
		if (m.type == WIRE_FRAME)
			take_frame(&m);
		data += used;
		size -= used;
	}
	return 0;
}
