/* SPDX-License-Identifier: Apache-2.0 */
/* Any order of puts, gets and drops, at any time: bounded, nothing lost or made up that no counter tells. */
#include <stdlib.h>
#include <string.h>
#include "lib/l2/queue.h"

enum { MAX = 200000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t message[70000];
	struct fair_queue *q;
	uint64_t now = 1, in = 0, out = 0;

	if (fair_queue_create(MAX, &q))
		return 0;
	for (; size >= 4; data += 4, size -= 4) {
		size_t len;

		now += (uint64_t)data[3] * 1000000;
		if (data[0] & 1) {
			fair_queue_put(q, data[1], message, 1 + (size_t)data[2] * 270, now);
			in++;
		} else if (fair_queue_get(q, now, &len)) {
			if (!len || len > sizeof message)
				abort();
			if (data[0] & 2) {
				fair_queue_drop(q);
				out++;
			}
		}
		if (fair_queue_bytes(q) > MAX)
			abort();
	}
	for (size_t len; fair_queue_get(q, now, &len); out++)
		fair_queue_drop(q);
	if (in != out + fair_queue_counters(q)->full + fair_queue_counters(q)->late || fair_queue_bytes(q))
		abort();
	fair_queue_free(q);
	return 0;
}
