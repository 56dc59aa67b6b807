/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of any bytes from the LAN and from three servers through a switch, untagged, of a VLAN, and trunk, with links that
 * come and go: nothing breaks, and what leaves is a frame. Input: a byte of mode, then frames: what to do, seconds, length,
 * header and bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "lcg/lan.h"
#include "lcg/segment.h"
#include "lib/config.h"
#include "lib/log.h"

enum { PORTS = 3 };

static void look(const struct frame *f)
{
	struct frame copy = *f;

	if (f->len < FRAME_MIN || f->len > FRAME_MAX || frame_parse(&copy) != FRAME_OK)
		abort();
}

static void to_lan(void *ctx, const struct frame *f, uint32_t tci)
{
	if (tci > VLAN_NO_TCI)
		abort();
	look(f);
}

static void to_mirror(void *ctx, const struct frame *f) { look(f); }
static void between(void *ctx, void *from, void *to) {}

/* The link writes its message header in front. */
static void to_server(void *ctx, struct frame *f)
{
	look(f);
	memset(f->data - FRAME_HEADROOM, 0xa5, FRAME_HEADROOM);
}

static struct filter *make_filter(const uint8_t *mac)
{
	static const char keys[] = "nic.net0.storm = off\n";
	struct filter *filter = NULL;
	struct config *config;
	struct policy *policy;
	struct err err;

	if (config_parse("fuzz", keys, sizeof keys - 1, &config, &err) || policy_read(config, "net0", &policy, &err) ||
	    filter_create(mac, policy, &filter, &err))
		abort();
	config_free(config);
	return filter;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct segment_ops ops = { to_lan, to_mirror, between };
	const uint8_t *at = data + 1, *end = data + size;
	struct segment_config config = { .name = "fuzz", .vid = FRAME_NO_VID };
	struct segment *s;
	struct segment_port *port[PORTS];
	struct filter *filter[PORTS];
	uint64_t now = 1000000000;
	struct err err;

	log_init("fuzz", LOG_ERROR);
	if (!size)
		return 0;
	config.vid = data[0] & 1 ? 20 : FRAME_NO_VID;
	config.trunk = !(data[0] & 1) && data[0] & 2;
	config.suppress = data[0] & 4;
	if (segment_create(&config, &ops, NULL, &s, &err))
		abort();
	segment_set_mtu(s, 1500);
	for (unsigned i = 0; i < PORTS; i++) {
		const uint8_t mac[FRAME_MAC] = { 2, 0, 0, 0, 0, (uint8_t)(i + 1) };

		filter[i] = make_filter(mac);
		if (segment_add_port(s, "fuzz net0", mac, filter[i], to_server, NULL, &port[i], &err))
			abort();
		segment_port_set_active(port[i], i < 2, now);
	}
	while (end - at >= 16) {
		unsigned what = at[0];
		size_t len = at[2] | (size_t)(at[3] & 7) << 8;
		struct frame f = { 0 };
		uint8_t *room;

		now += at[1] * 1000000000ull;
		memcpy(&f.hdr, at + 4, sizeof f.hdr);
		at += 16;
		f.len = len < (size_t)(end - at) ? len : (size_t)(end - at);
		room = malloc(LAN_HEADROOM + f.len + 1);
		f.data = room + LAN_HEADROOM;
		memcpy(f.data, at, f.len);
		at += f.len;
		if (what & 16)
			segment_port_set_active(port[what % PORTS], what & 32, now);
		if (what & 64)
			segment_tick(s, now);
		if (what & 128)
			segment_port_announce(port[what % PORTS], now);
		if (!(what & 3))
			segment_from_lan(s, &f, now);
		else if (frame_parse(&f) == FRAME_OK)
			segment_from_port(port[(what & 3) - 1], &f, now);
		free(room);
	}
	for (unsigned i = 0; i < PORTS; i++) {
		segment_remove_port(port[i]);
		filter_free(filter[i]);
	}
	segment_free(s);
	return 0;
}
