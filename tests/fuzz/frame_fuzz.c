/* SPDX-License-Identifier: Apache-2.0 */
/* Any header and bytes: what is found lies inside, what passes can be clamped, answered and segmented. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "lib/l2/frame.h"
#include "lib/l2/mss.h"
#include "lib/l2/offload.h"

static bool count(void *ctx, const uint8_t *frame, size_t len)
{
	struct frame f = { .len = len };
	static uint8_t copy[FRAME_MAX];

	memcpy(copy, frame, len);
	f.data = copy;
	if (len >= FRAME_MIN && frame_parse(&f) != FRAME_OK)
		abort();
	++*(unsigned *)ctx;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t reply[MSS_REPLY_MAX], *copy;
	struct frame f = { 0 }, answer = { .data = reply };
	unsigned segments = 0;

	if (size < sizeof f.hdr)
		return 0;
	memcpy(&f.hdr, data, sizeof f.hdr);
	f.len = size - sizeof f.hdr;
	copy = malloc(f.len + 1);
	memcpy(copy, data + sizeof f.hdr, f.len);
	f.data = copy;
	if (frame_parse(&f) == FRAME_OK) {
		if (f.l3 > f.len || f.l4 > f.payload || f.payload > f.len || f.end > f.len || f.body > f.len || (f.l4 && f.payload > f.end))
			abort();
		if ((f.l4 && !f.l3) || (f.fragment && (f.l4 || !f.cut)))
			abort();
		(void)mss_exceeds(&f, 1280);
		answer.len = mss_reply(&f, 1280, reply);
		if (answer.len && (answer.len > sizeof reply || frame_parse(&answer) != FRAME_OK || mss_reply(&answer, 1280, reply)))
			abort();
		(void)mss_clamp(&f, 1460, 1440);
		if (mss_clamp(&f, 1460, 1440))
			abort();	/* once is enough */
		if (net_segment(&f.hdr, f.data, f.len, count, &segments) || !segments)
			abort();
	}
	free(copy);
	return 0;
}
