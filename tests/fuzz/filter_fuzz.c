/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of any bytes, in both directions, through a filter with any rules, which change on the way: nothing breaks and the
 * table of connections stays bounded. Input: placement text, a zero, then frames: what to do, seconds, length, header and bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "lib/config.h"
#include "lib/l2/filter.h"
#include "lib/l2/firewall.h"
#include "lib/log.h"

static struct policy *policy_of(const uint8_t *text, size_t len)
{
	struct policy *policy = NULL;
	struct config *config;
	struct err err;

	if (config_parse("fuzz", (const char *)text, len, &config, &err))
		return NULL;
	if (policy_read(config, "net0", &policy, &err))
		policy = NULL;
	config_free(config);
	return policy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t mac[FRAME_MAC] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
	const uint8_t *zero = memchr(data, 0, size), *at, *end = data + size;
	uint8_t reply[FILTER_REPLY_MAX];
	struct policy *policy;
	struct filter *filter;
	struct filter_counters c;
	uint64_t now = 1000000000, frames = 0, passed;
	struct err err;

	log_init("fuzz", LOG_ERROR);
	if (!zero || !(policy = policy_of(data, (size_t)(zero - data))) || filter_create(mac, policy, &filter, &err))
		return 0;
	filter_set_mtu(filter, 1500, 1400);
	for (at = zero + 1; end - at >= 16;) {
		unsigned what = at[0];
		size_t len = at[2] | (size_t)(at[3] & 3) << 8;
		enum filter_direction direction = what & 1 ? FILTER_TO_SERVER : FILTER_FROM_SERVER;
		struct frame f = { 0 };
		uint8_t *copy;

		now += at[1] * 1000000000ull;
		memcpy(&f.hdr, at + 4, sizeof f.hdr);
		at += 16;
		f.len = len < (size_t)(end - at) ? len : (size_t)(end - at);
		f.data = copy = malloc(f.len + 1);
		memcpy(copy, at, f.len);
		at += f.len;
		if (what & 2)
			filter_resume(filter);
		if ((what & 12) == 12 && (policy = policy_of(data, (size_t)(zero - data) / (1 + (what >> 4)))))
			filter_set_policy(filter, policy);
		if (f.len >= 12)
			memcpy(copy + (direction == FILTER_FROM_SERVER ? 6 : 0), mac, 6);
		if (frame_parse(&f) == FRAME_OK) {
			enum filter_cause cause = filter_pass(filter, direction, &f, now);

			if ((unsigned)cause >= FILTER_CAUSES)
				abort();
			if (cause == FILTER_TOO_BIG && filter_reply(filter, direction, &f, reply, now) > sizeof reply)
				abort();
			frames++;
		}
		free(copy);
	}
	filter_counters(filter, &c);
	passed = 0;
	for (unsigned i = 0; i < FILTER_CAUSES; i++)
		passed += c.cause[i];
	if (passed != frames || c.connections > FIREWALL_CONNECTIONS || c.connections > frames)
		abort();
	filter_free(filter);
	return 0;
}
