/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of any bytes to the table of neighbours and the loop guard; answers are frames, pins stay. Each frame after its length. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "lib/l2/loopguard.h"
#include "lib/l2/neighbour.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t mac[FRAME_MAC] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 }, ip4[4] = { 192, 0, 2, 10 };
	struct address pinned = address_of(ip4, false);
	const uint8_t *at = data, *end = data + size, *owner;
	uint8_t answer[NEIGHBOUR_FRAME], probe[LOOPGUARD_FRAME];
	struct frame reply = { .data = answer };
	struct loopguard guard;
	struct neighbours *table;
	uint64_t now = 1000000000;

	if (neighbours_create(16, 60, &table))
		return 0;
	loopguard_init(&guard, mac, (struct rate_limit){ 10, 10 });
	if (neighbours_pin(table, FRAME_NO_VID, pinned, mac) || loopguard_probe(&guard, probe, now) < 0)
		abort();
	while (end - at >= 1) {
		size_t len = *at++;
		struct frame f = { 0 };
		uint8_t *copy;

		f.len = len < (size_t)(end - at) ? len : (size_t)(end - at);
		f.data = copy = malloc(f.len + 1);
		memcpy(copy, at, f.len);
		at += f.len;
		now += 1000000000;
		if (frame_parse(&f) == FRAME_OK) {
			(void)neighbours_learn(table, &f, now);
			reply.len = neighbours_answer(table, &f, answer, now);
			if (reply.len && (reply.len > sizeof answer || frame_parse(&reply) != FRAME_OK))
				abort();
			(void)loopguard_input(&guard, &f, now);
		}
		free(copy);
	}
	owner = neighbours_find(table, FRAME_NO_VID, pinned, now);
	if (!owner || memcmp(owner, mac, FRAME_MAC) || loopguard_is_shut(&guard, now))
		abort();
	neighbours_free(table);
	return 0;
}
