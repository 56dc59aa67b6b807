/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any frames and flushes: what comes out makes what came in, no frame is lost or made. Input: commands: 0xff flush; else a byte of
 * flags (bit 0: the frame before once more, with its IPv4 identification one higher; bit 1: NEEDS_CSUM), u16 length, and without
 * bit 0 so many bytes of a virtio-net header and frame.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "lib/bits.h"
#include "lib/l2/checksum.h"
#include "lib/l2/coalesce.h"
#include "lib/l2/offload.h"

static unsigned long came, went;
static uint64_t bytes_in, bytes_out;

static bool count(void *ctx, const uint8_t *frame, size_t len)
{
	uint64_t *bytes = ctx;

	if (bytes == &bytes_out)
		went++;
	else
		came++;
	*bytes += net_sum_fold(net_sum(0, frame, len)) + len;
	return true;
}

/* What is no frame passes as it is. */
static void add(const struct virtio_net_hdr_v1 *hdr, const uint8_t *data, size_t len, uint64_t *bytes)
{
	if (net_segment(hdr, data, len, count, bytes))
		count(bytes, data, len);
}

static void out(void *ctx, struct frame *f)
{
	memset(f->data - COALESCE_HEADROOM, 1, COALESCE_HEADROOM);
	add(&f->hdr, f->data, f->len, &bytes_out);
	(void)!frame_parse(f);
}

static void again(uint8_t *data, size_t len)
{
	uint8_t *ip = data + (len > 18 && data[12] == 0x81 ? 18 : 14);

	if (ip + 20 > data + len || ip[0] != 0x45)
		return;
	put_be16(ip + 4, (uint16_t)(get_be16(ip + 4) + 1));
	put_be16(ip + 10, 0);
	net_sum_store(ip + 10, (uint16_t)~net_sum_fold(net_sum(0, ip, 20)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t room[COALESCE_HEADROOM + FRAME_MAX], last[FRAME_MAX];
	struct virtio_net_hdr_v1 hdr = { 0 };
	struct coalesce *c;
	size_t len = 0, n;
	uint8_t flags;

	came = went = bytes_in = bytes_out = 0;
	if (coalesce_create(out, NULL, &c))
		return 0;
	for (; size >= 3; data += n, size -= n) {
		flags = *data;
		n = 1;
		if (flags == 0xff) {
			coalesce_flush(c);
			if (came != went)
				abort();
			continue;
		}
		n = 3;
		if (!(flags & 1)) {
			size_t want = get_le16(data + 1), most = size - 3;

			want = want > most ? most : want;
			if (want < sizeof hdr)
				break;
			memcpy(&hdr, data + 3, sizeof hdr);
			len = want - sizeof hdr;
			memcpy(last, data + 3 + sizeof hdr, len);
			n += want;
		} else {
			again(last, len);
		}
		hdr.flags ^= flags & 2 ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0;
		if (!len)
			continue;
		struct frame f = { .hdr = hdr, .data = room + COALESCE_HEADROOM, .len = len };

		memcpy(f.data, last, len);
		add(&hdr, f.data, len, &bytes_in);
		coalesce_frame(c, &f);
	}
	coalesce_flush(c);
	coalesce_free(c);
	if (came != went || bytes_in != bytes_out)
		abort();
	return 0;
}
