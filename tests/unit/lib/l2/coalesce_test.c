/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/coalesce.h"
#include <stdlib.h>
#include "lib/l2/offload.h"
#include "lib/scope.h"
#include "tests/unit/lib/l2/packets.h"

enum { FLOWS = 12, ROOM = 4 << 20, DATA = 1472 };

/* What came out, or should: frames of a plain wire one behind the other, each flow (the last byte of the source's MAC) apart. */
struct wire { size_t len[FLOWS]; unsigned frames, super_frames, most; uint8_t *bytes[FLOWS]; };

static struct wire got, want;
static struct coalesce *coalesce;

static bool add(void *ctx, const uint8_t *frame, size_t len)
{
	struct wire *w = ctx;
	unsigned flow = frame[11] % FLOWS;

	if (w->len[flow] + len + 4 > ROOM)
		return false;
	put_be32(w->bytes[flow] + w->len[flow], (uint32_t)len);
	memcpy(w->bytes[flow] + w->len[flow] + 4, frame, len);
	w->len[flow] += len + 4;
	w->frames++;
	return true;
}

static void take(void *ctx, struct frame *f)
{
	unsigned before = got.frames;

	memset(f->data - COALESCE_HEADROOM, 0xee, COALESCE_HEADROOM);
	check_eq(frame_parse(f), FRAME_OK);
	check_eq(net_segment(&f->hdr, f->data, f->len, add, &got), 0);
	if (f->hdr.gso_type) {
		got.super_frames++;
		check_eq(f->hdr.gso_type, NET_GSO_UDP_L4);
		check(got.frames - before >= 2 && got.frames - before <= COALESCE_SEGMENTS);
	}
	if (got.frames - before > got.most)
		got.most = got.frames - before;
}

static void start(void)
{
	struct wire *both[] = { &got, &want };

	for (unsigned w = 0; w < 2; w++) {
		for (unsigned i = 0; i < FLOWS; i++) {
			if (!both[w]->bytes[i])
				both[w]->bytes[i] = malloc(ROOM);
			both[w]->len[i] = 0;
		}
		both[w]->frames = both[w]->super_frames = both[w]->most = 0;
	}
	check_eq(coalesce_create(take, NULL, &coalesce), 0);
}

static void stop(void)
{
	coalesce_free(coalesce);
	for (unsigned i = 0; i < FLOWS; i++) {
		free(got.bytes[i]);
		free(want.bytes[i]);
		got.bytes[i] = want.bytes[i] = NULL;
	}
}

/* The frame goes in behind room of its own, as a device gives it. */
static void put(const struct virtio_net_hdr_v1 *hdr, const uint8_t *data, size_t len)
{
	static uint8_t room[COALESCE_HEADROOM + FRAME_MAX];
	struct frame f = { .hdr = *hdr, .data = room + COALESCE_HEADROOM, .len = len };

	memcpy(f.data, data, len);
	check_eq(net_segment(hdr, data, len, add, &want), 0);
	coalesce_frame(coalesce, &f);
}

static void same_again(void)
{
	coalesce_flush(coalesce);
	check_eq(got.frames, want.frames);
	for (unsigned i = 0; i < FLOWS; i++) {
		check_eq(got.len[i], want.len[i]);
		check(got.len[i] == want.len[i] && !memcmp(got.bytes[i], want.bytes[i], got.len[i]));
	}
}

/* ---- datagrams */

struct dgram { unsigned flow; size_t payload; uint16_t id, vid, piece; uint8_t hops, tos; bool v6, df, partial, tcp; };

static void set_ip_sum(uint8_t *ip)
{
	put_be16(ip + 10, 0);
	net_sum_store(ip + 10, (uint16_t)~net_sum_fold(net_sum(0, ip, 20)));
}

static void set_sums(uint8_t *data, size_t l3, size_t l4, size_t len, const struct dgram *d, struct virtio_net_hdr_v1 *hdr)
{
	uint8_t *ip = data + l3, *csum = data + l4 + (d->tcp ? 16 : 6);
	uint64_t sum = net_sum_be16(net_sum_pseudo(ip, d->v6, d->tcp ? PK_TCP : PK_UDP), (uint16_t)(len - l4));

	if (!d->v6)
		set_ip_sum(ip);
	put_be16(csum, 0);
	if (d->partial) {
		net_sum_store(csum, net_sum_fold(sum));
		*hdr = (struct virtio_net_hdr_v1){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = htole16((uint16_t)l4),
			.csum_offset = htole16(d->tcp ? 16 : 6) };
	} else {
		uint16_t folded = (uint16_t)~net_sum_fold(net_sum(sum, data + l4, len - l4));

		net_sum_store(csum, folded ? folded : 0xffff);
	}
}

static struct frame *make(struct pk_frame *f, const struct dgram *d, struct virtio_net_hdr_v1 *hdr)
{
	static uint8_t payload[DATA];
	uint8_t mac[FRAME_MAC] = { 2, 0, 0, 0, 0, (uint8_t)d->flow };
	struct frame *fr;

	for (size_t i = 0; i < d->payload; i++)
		payload[i] = (uint8_t)random();
	fr = pk_make(f, &(struct pk){ .src = d->v6 ? "2001:db8::1" : "192.0.2.1", .dst = d->v6 ? "2001:db8::2" : "192.0.2.2",
		.proto = d->tcp ? PK_TCP : PK_UDP, .sport = (uint16_t)(1000 + d->flow / 2), .dport = 53, .payload = d->payload,
		.vid = d->vid, .hops = d->hops, .piece = d->piece, .df = d->df, .data = payload, .eth_src = mac });
	*hdr = (struct virtio_net_hdr_v1){ 0 };
	if (d->v6) {
		fr->data[fr->l3 + 1] = d->tos;
	} else {
		put_be16(fr->data + fr->l3 + 4, d->id);
		fr->data[fr->l3 + 1] = d->tos;
	}
	if (!d->piece)
		set_sums(fr->data, fr->l3, fr->l4, fr->end, d, hdr);
	else
		set_ip_sum(fr->data + fr->l3);
	return fr;
}

static void go(const struct dgram *d)
{
	struct virtio_net_hdr_v1 hdr;
	struct pk_frame f;
	struct frame *fr = make(&f, d, &hdr);

	put(&hdr, fr->data, fr->len);
}

static void send_many(struct dgram d, unsigned n, unsigned id_step)
{
	for (unsigned i = 0; i < n; i++, d.id = (uint16_t)(d.id + id_step))
		go(&d);
}

/* ---- what becomes one */

static void datagrams_of_a_flow_become_one(void)
{
	static const struct dgram kinds[] = {
		{ .payload = 64, .id = 7 }, { .payload = 64, .id = 0xfff0, .df = true, .partial = true }, { .payload = 1, .v6 = true },
		{ .payload = 64, .vid = 9, .id = 1, .tos = 0xb8 }, { .payload = 900, .v6 = true, .partial = true, .vid = 9 },
	};

	for (unsigned i = 0; i < array_len(kinds); i++) {
		start();
		send_many(kinds[i], 40, 1);
		check_eq(got.frames, 0);
		same_again();
		check_eq(got.super_frames, 1);
		check_eq(coalesce_counters(coalesce)->datagrams, 40);
		check_eq(coalesce_counters(coalesce)->super_frames, 1);
		stop();
	}
}

static void ids_of_zero_may_stay_where_nothing_is_cut(void)
{
	start();
	send_many((struct dgram){ .payload = 64, .df = true }, 20, 0);
	same_again();
	check_eq(got.super_frames, 1);
	send_many((struct dgram){ .payload = 64, .df = true }, 20, 1);	/* 0, 1, …: the first alone */
	same_again();
	check_eq(got.most, 20);
	stop();
}

static void a_shorter_one_is_the_last(void)
{
	start();
	go(&(struct dgram){ .payload = 64, .id = 1 });
	go(&(struct dgram){ .payload = 64, .id = 2 });
	go(&(struct dgram){ .payload = 63, .id = 3 });
	check_eq(got.frames, 3);	/* at once: nothing can follow */
	go(&(struct dgram){ .payload = 64, .id = 4 });
	go(&(struct dgram){ .payload = 65, .id = 5 });
	check_eq(got.frames, 4);
	same_again();
	check_eq(got.super_frames, 1);
	stop();
}

static void none_is_larger_than_kernels_take(void)
{
	start();
	send_many((struct dgram){ .payload = 64, .id = 1 }, 200, 1);
	check_eq(got.frames, 192);
	same_again();
	check_eq(got.super_frames, 4);
	check_eq(got.most, COALESCE_SEGMENTS);
	send_many((struct dgram){ .payload = DATA, .id = 1 }, 100, 1);	/* 64 KiB before 64 of them */
	same_again();
	check_eq(got.super_frames, 7);
	stop();
}

static void flows_are_gathered_side_by_side(void)
{
	start();
	for (unsigned i = 0; i < 10; i++)
		for (unsigned flow = 0; flow < 4; flow++)
			go(&(struct dgram){ .flow = 2 * flow, .payload = 100, .v6 = true });
	same_again();
	check_eq(got.super_frames, 4);
	stop();
}

/* ---- what stays apart */

static void differences_end_a_super_frame(void)
{
	static const struct dgram other[] = {
		{ .payload = 64, .id = 2, .hops = 63 }, { .payload = 64, .id = 2, .tos = 4 }, { .payload = 64, .id = 2, .df = true },
		{ .payload = 64, .id = 3 }, { .payload = 64, .id = 1 }, { .payload = 64, .id = 2, .flow = 2 },
		{ .payload = 64, .id = 2, .flow = 1 }, { .payload = 64, .id = 2, .vid = 3 },
		{ .payload = 64, .v6 = true }, { .payload = 64, .id = 2, .piece = 0x2000 },
		{ .payload = 64, .id = 2, .piece = 5 }, { .payload = 0, .id = 2 }, { .payload = 64, .id = 2, .tcp = true, .flow = 4 },
	};

	for (unsigned i = 0; i < array_len(other); i++) {
		start();
		go(&(struct dgram){ .payload = 64, .id = 1 });
		go(&other[i]);
		same_again();
		check_eq(got.super_frames, 0);
		stop();
	}
}

/* Byte at of the second of two datagrams is changed, or the header. */
static void apart_when(size_t at, uint8_t xor, bool partial, const struct virtio_net_hdr_v1 *other, size_t padding)
{
	struct dgram d = { .payload = 64, .id = 1, .partial = partial };
	struct virtio_net_hdr_v1 hdr;
	struct pk_frame f;
	struct frame *fr;

	start();
	go(&d);
	d.id++;
	fr = make(&f, &d, &hdr);
	fr->data[at] ^= xor;
	memset(fr->data + fr->len, 0, padding);
	put(other ? other : &hdr, fr->data, fr->len + padding);
	same_again();
	check_eq(got.super_frames, 0);
	stop();
}

static void what_is_wrong_stays_wrong(void)
{
	struct virtio_net_hdr_v1 hdr = { .flags = VIRTIO_NET_HDR_F_DATA_VALID };

	apart_when(40, 1, false, NULL, 0);	/* UDP's checksum */
	apart_when(40, 1, false, &hdr, 0);	/* also when somebody says that he looked */
	apart_when(50, 1, false, NULL, 0);	/* payload */
	apart_when(24, 1, false, NULL, 0);	/* IPv4's checksum */
	apart_when(39, 1, false, NULL, 0);	/* UDP's length */
	apart_when(41, 1, true, NULL, 0);	/* the pseudo-header's sum */
	apart_when(0, 1, false, NULL, 0);	/* a group's MAC */
	apart_when(0, 0, false, NULL, 6);	/* padding */
}

static void no_checksum_stays_none(void)
{
	struct virtio_net_hdr_v1 none = { 0 };
	struct pk_frame f;
	struct frame *fr;

	start();
	for (unsigned i = 0; i < 3; i++) {
		fr = make(&f, &(struct dgram){ .payload = 64, .id = (uint16_t)i }, &none);
		put_be16(fr->data + 40, 0);
		put(&none, fr->data, fr->len);
	}
	check_eq(got.frames, 3);
	same_again();
	stop();
}

static void others_pass_and_odd_ones_do_not(void)
{
	start();
	go(&(struct dgram){ .payload = 64, .id = 1 });
	go(&(struct dgram){ .payload = 64, .flow = 4, .tcp = true });
	check_eq(got.frames, 1);
	go(&(struct dgram){ .payload = 64, .id = 2, .piece = 0x2000 });
	check_eq(got.frames, 3);
	same_again();
	stop();
}

static void what_was_not_flushed_is_freed(void)
{
	start();
	for (unsigned flow = 0; flow < FLOWS; flow++)
		go(&(struct dgram){ .payload = 64, .flow = flow, .v6 = true });
	check_eq(got.frames, FLOWS - COALESCE_FLOWS);
	stop();
	coalesce_free(NULL);
}

/* Any mixture: what comes out makes what came in, byte by byte, in its order. */
static void segmentation_makes_what_came(void)
{
	struct dgram d[FLOWS];
	struct virtio_net_hdr_v1 hdr;
	struct pk_frame f;
	struct frame *fr;

	start();
	srandom(5);
	for (unsigned i = 0; i < FLOWS; i++)
		d[i] = (struct dgram){ .flow = i, .payload = i < 10 ? 64 : 1200, .v6 = i % 3 == 2, .vid = i % 4 ? 0 : 5, .df = i % 2,
			.tcp = i == 7 };
	for (unsigned i = 0; i < 20000; i++) {
		struct dgram *now = &d[random() % 4 ? random() % 3 : random() % FLOWS], one;
		unsigned dice = (unsigned)random() % 64;

		one = *now;
		one.partial = random() % 2;
		one.hops = dice == 1 ? 63 : 64;
		one.piece = dice == 2 && !one.v6 && !one.tcp ? 0x2000 : 0;
		one.payload = dice < 6 ? (unsigned)random() % (DATA + 1) : one.payload;
		if (!now->df || dice == 7)
			now->id++;
		fr = make(&f, &one, &hdr);
		if (dice == 8 && !hdr.flags)
			fr->data[0] ^= 1;	/* a group's MAC */
		else if (dice == 9)
			fr->data[fr->len - 1] ^= (uint8_t)random();
		put(&hdr, fr->data, fr->len);
		if (random() % 100 == 0)
			coalesce_flush(coalesce);
	}
	same_again();
	check(got.super_frames > 200);
	stop();
}

static const struct test tests[] = {
	{ "datagrams of a flow become one", datagrams_of_a_flow_become_one },
	{ "ids of zero may stay where nothing is cut", ids_of_zero_may_stay_where_nothing_is_cut },
	{ "a shorter one is the last", a_shorter_one_is_the_last },
	{ "none is larger than kernels take", none_is_larger_than_kernels_take },
	{ "flows are gathered side by side", flows_are_gathered_side_by_side },
	{ "differences end a super frame", differences_end_a_super_frame },
	{ "what is wrong stays wrong", what_is_wrong_stays_wrong },
	{ "no checksum stays none", no_checksum_stays_none },
	{ "others pass and odd ones do not", others_pass_and_odd_ones_do_not },
	{ "what was not flushed is freed", what_was_not_flushed_is_freed },
	{ "segmentation makes what came", segmentation_makes_what_came },
	{ NULL, NULL },
};
const struct suite suite_lib_l2_coalesce = { tests };
