/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include "tests/unit/suite.h"
#include "tests/unit/hv/dev/virtio_driver.h"

#define W VRING_DESC_F_WRITE
#define N VRING_DESC_F_NEXT
#define I VRING_DESC_F_INDIRECT

static struct rig *rig;
static struct virtio_ring ring;
static struct vq q;
static struct iovec iov[64];
static struct virtio_chain c;

static void begin(uint16_t size, bool event_idx)
{
	rig = rig_new();
	vq_place(&q, rig, 0x10000, size, event_idx);
	ring = (struct virtio_ring){ .mem = &rig->mem, .size = size, .desc_gpa = q.gpa, .avail_gpa = q.gpa + 0x4000,
				     .used_gpa = q.gpa + 0x5000, .indirect = true, .event_idx = event_idx };
	c = (struct virtio_chain){ .iov = iov, .max = 64 };
	check_eq(virtio_ring_start(&ring), 0);
}

static void end(void) { rig_free(rig); }

static void refused(const char *why)
{
	check_eq(virtio_ring_pop(&ring, &c), -EPROTO);
	check_str(ring.fault, why);
	check_eq(virtio_ring_pop(&ring, &c), -EPROTO);	/* and stays so */
}

static void chain_is_delivered(void)
{
	uint8_t text[8] = "abcdefg", back[8] = { 0 };
	uint32_t id = 0, len = 0;

	begin(8, false);
	check_eq(virtio_ring_pop(&ring, &c), 0);
	memcpy(rig->ram + 0x2000, text, 4);
	memcpy(rig->ram + 0x3000, text + 4, 4);
	vq_add(&q, (struct buffer[]){ { 0x2000, 4, 0 }, { 0x3000, 4, 0 }, { 0x4000, 16, W } }, 3);
	check_eq(virtio_ring_pop(&ring, &c), 1);
	check_eq(c.readable, 2);
	check_eq(c.writable, 1);
	check_eq(c.read_len, 8);
	check_eq(c.write_len, 16);
	check_eq(virtio_chain_read(&c, 0, back, 8), 8);
	check(!memcmp(back, text, 8));
	check_eq(virtio_chain_read(&c, 3, back, 8), 5);
	check(!memcmp(back, text + 3, 5));
	check_eq(virtio_chain_write(&c, 2, "xyz", 3), 3);
	check(!memcmp(rig->ram + 0x4002, "xyz", 3));
	check_eq(virtio_chain_write(&c, 15, "xyz", 3), 1);
	virtio_chain_skip(&c, 5);
	check_eq(c.readable, 1);
	check_eq(c.read_len, 3);
	check_eq(virtio_chain_read(&c, 0, back, 8), 3);
	check_eq(back[0], 'f');
	virtio_ring_push(&ring, c.head, 7);
	check(vq_take(&q, &id, &len));
	check_eq(id, 0);
	check_eq(len, 7);
	check(!vq_take(&q, &id, &len));
	end();
}

static void indices_wrap_at_65536(void)
{
	uint32_t id = 0, len = 0;

	begin(4, true);
	for (unsigned i = 0; i < 66000; i++) {
		uint16_t head = vq_add(&q, (struct buffer[]){ { 0x2000, 4, 0 } }, 1);

		c.iov = iov;
		if (virtio_ring_pop(&ring, &c) != 1 || c.head != head) {
			check(!"a chain got lost");
			break;
		}
		virtio_ring_push(&ring, c.head, i);
		vq_want_event(&q, q.last_used);	/* an interrupt each time */
		if (!virtio_ring_should_signal(&ring) || !vq_take(&q, &id, &len) || id != head || len != i) {
			check(!"a used buffer got lost");
			break;
		}
	}
	check_eq(ring.next_avail, (uint16_t)66000);
	check(!ring.fault);
	end();
}

static void sizes_and_addresses_are_checked(void)
{
	static const uint16_t sizes[] = { 0, 3, 6, 2048, 32768, 65535 };

	begin(8, false);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		ring.size = sizes[i];
		ring.live = false;
		check_eq(virtio_ring_start(&ring), -EINVAL);
		check_str(ring.fault, "queue size is not a power of two up to 1024");
	}
	ring.size = 8;
	ring.desc_gpa = 0;
	check_eq(virtio_ring_start(&ring), -EINVAL);
	check_str(ring.fault, "queue enabled without addresses");
	check(!ring.live);
	for (unsigned i = 0; i < 5; i++) {
		static const uint64_t bad[5][3] = {
			{ 0x10008, 0x14000, 0x15000 }, { 0x10000, 0x14001, 0x15000 }, { 0x10000, 0x14000, 0x15002 },
			{ RIG_MORE - 16, 0x14000, 0x15000 }, { ~15ull, ~1ull, ~3ull } };

		ring.desc_gpa = bad[i][0];
		ring.avail_gpa = bad[i][1];
		ring.used_gpa = bad[i][2];
		check_eq(virtio_ring_start(&ring), -EINVAL);
		check_str(ring.fault, "queue address is misaligned or outside memory");
	}
	ring.desc_gpa = 0x10000;
	ring.avail_gpa = 0x14000;
	ring.used_gpa = RIG_ROM;
	check_eq(virtio_ring_start(&ring), -EINVAL);	/* memory, but not for writing */
	check_eq(virtio_ring_pop(&ring, &c), 0);
	check(!virtio_ring_should_signal(&ring));
	check(!virtio_ring_listen(&ring));
	virtio_ring_push(&ring, 0, 0);
	end();
}

static void descriptor_loop_is_refused(void)
{
	begin(4, false);
	vq_desc(&q, 0, 0x2000, 4, N, 1);
	vq_desc(&q, 1, 0x2000, 4, N, 0);
	vq_offer(&q, 0);
	refused("descriptor loop");
	end();
}

static void longest_chain_passes_and_one_more_does_not(void)
{
	struct buffer b[4] = { { 0x2000, 1, 0 }, { 0x2000, 1, 0 }, { 0x2000, 1, 0 }, { 0x2000, 1, 0 } };

	begin(4, false);
	vq_add(&q, b, 4);
	check_eq(virtio_ring_pop(&ring, &c), 1);
	check_eq(c.readable, 4);
	virtio_ring_push(&ring, c.head, 0);
	vq_add(&q, b, 4);
	c.max = 3;
	refused("chain with too many buffers");
	end();
}

static void indices_out_of_range_are_refused(void)
{
	begin(4, false);
	vq_offer(&q, 4);
	refused("descriptor index out of range");
	end();
	begin(4, false);
	vq_desc(&q, 0, 0x2000, 4, N, 0xffff);
	vq_offer(&q, 0);
	refused("descriptor index out of range");
	end();
}

static void readable_after_writable_is_refused(void)
{
	begin(4, false);
	vq_add(&q, (struct buffer[]){ { 0x2000, 4, W }, { 0x2000, 4, 0 } }, 2);
	refused("readable buffer after a writable one");
	end();
}

static void buffers_outside_memory_are_refused(void)
{
	static const struct { struct buffer b; const char *why; } bad[] = {
		{ { 0x2000, 0, 0 }, "empty buffer" },
		{ { 0x400000, 4, 0 }, "buffer outside memory" },
		{ { RIG_MORE + RIG_MORE_SIZE - 4, 8, 0 }, "buffer outside memory" },
		{ { RIG_MORE + RIG_MORE_SIZE - 4, 8, W }, "buffer outside memory" },
		{ { ~7ull, 16, 0 }, "buffer wraps around" },
		{ { ~7ull, 7, 0 }, "buffer outside memory" },
		{ { RIG_ROM, 16, W }, "buffer outside memory" },
		{ { 0, 0xffffffff, W }, "buffer outside memory" },
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		begin(4, false);
		vq_add(&q, &bad[i].b, 1);
		refused(bad[i].why);
		end();
	}
	begin(4, false);
	vq_add(&q, (struct buffer[]){ { RIG_ROM, 16, 0 } }, 1);
	check_eq(virtio_ring_pop(&ring, &c), 1);	/* ROM can be read */
	end();
}

static void buffer_across_adjoining_regions_is_split(void)
{
	uint8_t back[6];

	begin(4, false);
	memcpy(rig->ram + RIG_RAM_SIZE - 2, "ab", 2);
	memcpy(rig->more, "cdef", 4);
	vq_add(&q, (struct buffer[]){ { RIG_MORE - 2, 6, 0 }, { RIG_MORE - 3, 5, W } }, 2);
	check_eq(virtio_ring_pop(&ring, &c), 1);
	check_eq(c.readable, 2);
	check_eq(c.writable, 2);
	check_eq(c.read_len, 6);
	check_eq(virtio_chain_read(&c, 0, back, 6), 6);
	check(!memcmp(back, "abcdef", 6));
	check_eq(virtio_chain_write(&c, 0, "vwxyz", 5), 5);
	check(!memcmp(rig->ram + RIG_RAM_SIZE - 3, "vwx", 3));
	check(!memcmp(rig->more, "yz", 2));
	check(virtio_chain_byte(&c, 3) == rig->more);
	check(!virtio_chain_byte(&c, 5));
	end();
}

static void indirect(const char *why, uint64_t table, uint32_t len, uint16_t flags)
{
	begin(4, false);
	vq_desc(&q, 0, table, len, flags, 0);
	vq_offer(&q, 0);
	refused(why);
	end();
}

static void table_entry(unsigned i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	struct vring_desc d = { htole64(addr), htole32(len), htole16(flags), htole16(next) };

	memcpy(rig->ram + 0x8000 + 16 * i, &d, sizeof d);
}

static void indirect_tables_are_followed(void)
{
	begin(4, false);
	for (unsigned i = 0; i < 20; i++)	/* longer than the ring */
		table_entry(i, 0x2000 + 16 * i, 16, (uint16_t)((i >= 10 ? W : 0) | (i < 19 ? N : 0)), (uint16_t)(i + 1));
	vq_desc(&q, 2, 0x3000, 8, N, 3);
	vq_desc(&q, 3, 0x8000, 20 * 16, I, 0);
	vq_offer(&q, 2);
	check_eq(virtio_ring_pop(&ring, &c), 1);
	check_eq(c.head, 2);
	check_eq(c.readable, 11);
	check_eq(c.writable, 10);
	check_eq(c.read_len, 168);
	end();
}

static void hostile_indirect_tables_are_refused(void)
{
	indirect("indirect table of a bad size", 0x8000, 0, I);
	indirect("indirect table of a bad size", 0x8000, 17, I);
	indirect("indirect table of a bad size", 0x8000, 16 * 1025, I);
	indirect("indirect table outside memory", ~15ull, 16, I);
	indirect("indirect table outside memory", 0x400000, 16, I);
	indirect("indirect descriptor where none may be", 0x8000, 16, I | N);
	begin(4, false);
	ring.indirect = false;
	vq_desc(&q, 0, 0x8000, 16, I, 0);
	vq_offer(&q, 0);
	refused("indirect descriptor where none may be");
	end();
	begin(4, false);
	table_entry(0, 0x8000, 16, I, 0);
	vq_desc(&q, 0, 0x8000, 16, I, 0);
	vq_offer(&q, 0);
	refused("indirect descriptor where none may be");
	end();
	begin(4, false);
	table_entry(0, 0x2000, 16, N, 1);
	table_entry(1, 0x2000, 16, N, 0);
	vq_desc(&q, 0, 0x8000, 32, I, 0);
	vq_offer(&q, 0);
	refused("descriptor loop");
	end();
	begin(4, false);
	table_entry(0, 0x2000, 16, N, 2);
	vq_desc(&q, 0, 0x8000, 32, I, 0);
	vq_offer(&q, 0);
	refused("descriptor index out of range");
	end();
}

static void total_length_is_bounded(void)
{
	uint8_t *big = malloc(1);

	begin(8, false);
	/* A region of 3 GiB that is never touched: two buffers of it add up to more than 4 GiB. */
	check_eq(mem_add(&rig->mem, 1ull << 32, 3ull << 30, big, false), 0);
	vq_add(&q, (struct buffer[]){ { 1ull << 32, 0xc0000000, W }, { 1ull << 32, 0x40000000, W } }, 2);
	refused("chain of 4 GiB or more");
	end();
	free(big);
}

static void available_index_must_stay_inside_the_ring(void)
{
	begin(4, false);
	q.avail[1] = htole16(5);
	refused("available index runs past the ring");
	end();
	begin(4, false);
	q.avail[1] = htole16(0xffff);	/* backwards */
	refused("available index runs past the ring");
	end();
	begin(4, false);
	for (unsigned i = 0; i < 4; i++) {
		vq_add(&q, (struct buffer[]){ { 0x2000, 4, 0 } }, 1);
		check_eq(virtio_ring_pop(&ring, &c), 1);
	}
	vq_add(&q, (struct buffer[]){ { 0x2000, 4, 0 } }, 1);	/* a fifth while four are out */
	refused("available index runs past the ring");
	end();
}

static void chains_can_be_given_back(void)
{
	begin(4, false);
	vq_add(&q, (struct buffer[]){ { 0x2000, 4, W } }, 1);
	vq_add(&q, (struct buffer[]){ { 0x3000, 4, W } }, 1);
	check_eq(virtio_ring_pop(&ring, &c), 1);
	check_eq(virtio_ring_pop(&ring, &c), 1);
	virtio_ring_unpop(&ring, 2);
	check_eq(ring.chains, 0);
	check_eq(virtio_ring_pop(&ring, &c), 1);
	check_eq(c.head, 0);
	end();
}

static void used_elements_appear_together(void)
{
	uint32_t id = 0, len = 0;

	begin(4, false);
	for (unsigned i = 0; i < 2; i++) {
		vq_add(&q, (struct buffer[]){ { 0x2000, 4, W } }, 1);
		check_eq(virtio_ring_pop(&ring, &c), 1);
		virtio_ring_fill(&ring, (uint16_t)i, c.head, 10 + i);
		check(!vq_take(&q, &id, &len));
	}
	virtio_ring_show(&ring, 2);
	check(vq_take(&q, &id, &len));
	check_eq(len, 10);
	check(vq_take(&q, &id, &len));
	check_eq(id, 1);
	check_eq(len, 11);
	end();
}

static void push_some(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		vq_add(&q, (struct buffer[]){ { 0x2000, 4, W } }, 1);
		check_eq(virtio_ring_pop(&ring, &c), 1);
		virtio_ring_push(&ring, c.head, 0);
	}
}

static void flags_suppress_without_event_index(void)
{
	begin(4, false);
	check(!virtio_ring_should_signal(&ring));	/* nothing was shown */
	push_some(1);
	check(virtio_ring_should_signal(&ring));
	check(!virtio_ring_should_signal(&ring));
	q.avail[0] = htole16(VRING_AVAIL_F_NO_INTERRUPT);
	push_some(1);
	check(!virtio_ring_should_signal(&ring));
	check_eq(ring.signals, 1);
	check_eq(ring.suppressed, 1);
	virtio_ring_quiet(&ring);
	check_eq(q.used[0], VRING_USED_F_NO_NOTIFY);
	check(!virtio_ring_listen(&ring));
	check_eq(q.used[0], 0);
	virtio_ring_quiet(&ring);
	vq_add(&q, (struct buffer[]){ { 0x2000, 4, W } }, 1);
	check(virtio_ring_listen(&ring));	/* it came without a notification */
	end();
}

static void event_index_asks_for_one_interrupt(void)
{
	begin(8, true);
	q.avail[0] = htole16(VRING_AVAIL_F_NO_INTERRUPT);	/* has no meaning here */
	vq_want_event(&q, 2);
	push_some(1);
	check(virtio_ring_should_signal(&ring));	/* nothing known of before: rather once too often */
	push_some(1);
	check(!virtio_ring_should_signal(&ring));
	push_some(3);
	check(virtio_ring_should_signal(&ring));	/* 3 passed the event at 2 */
	push_some(2);
	check(!virtio_ring_should_signal(&ring));
	check(!virtio_ring_should_signal(&ring));	/* nothing new at all */
	end();
}

static void event_index_crosses_the_wrap(void)
{
	begin(8, true);
	virtio_ring_reset(&ring);
	ring = (struct virtio_ring){ .mem = &rig->mem, .size = 8, .desc_gpa = q.gpa, .avail_gpa = q.gpa + 0x4000,
				     .used_gpa = q.gpa + 0x5000, .event_idx = true };
	check_eq(virtio_ring_start(&ring), 0);
	ring.next_avail = ring.next_used = ring.signalled = q.avail_idx = 0xfffe;
	q.avail[1] = htole16(0xfffe);
	ring.signalled_valid = true;
	vq_want_event(&q, 0xffff);
	push_some(1);
	check(!virtio_ring_should_signal(&ring));	/* index 0xffff: the event is for the next one */
	push_some(1);
	check_eq(ring.next_used, 0);
	check(virtio_ring_should_signal(&ring));
	vq_want_event(&q, 1);
	push_some(1);
	check(!virtio_ring_should_signal(&ring));
	push_some(1);
	check(virtio_ring_should_signal(&ring));
	end();
}

static void event_index_is_doubted_after_a_full_turn(void)
{
	begin(8, true);
	vq_want_event(&q, 4);
	push_some(1);
	check(virtio_ring_should_signal(&ring));
	for (unsigned i = 0; i < 8192; i++)
		push_some(8);
	check_eq(ring.next_used, 1);	/* all the way round, unseen */
	check(virtio_ring_should_signal(&ring));
	end();
}

static void available_event_follows_what_was_taken(void)
{
	begin(8, true);
	push_some(3);
	virtio_ring_quiet(&ring);
	check_eq(q.used[0], 0);	/* flags are not used with the event index */
	check(!virtio_ring_listen(&ring));
	check_eq(le16toh(q.used[2 + 4 * 8]), 3);
	vq_add(&q, (struct buffer[]){ { 0x2000, 4, W } }, 1);
	check(virtio_ring_listen(&ring));
	end();
}

static const struct test tests[] = {
	{ "a chain is delivered and returned", chain_is_delivered },
	{ "indices wrap at 65536", indices_wrap_at_65536 },
	{ "sizes and addresses are checked at start", sizes_and_addresses_are_checked },
	{ "a descriptor loop is refused", descriptor_loop_is_refused },
	{ "the longest chain passes and one more does not", longest_chain_passes_and_one_more_does_not },
	{ "descriptor indices out of range are refused", indices_out_of_range_are_refused },
	{ "a readable buffer after a writable one is refused", readable_after_writable_is_refused },
	{ "buffers outside memory are refused", buffers_outside_memory_are_refused },
	{ "a buffer across adjoining regions is split", buffer_across_adjoining_regions_is_split },
	{ "indirect tables are followed", indirect_tables_are_followed },
	{ "hostile indirect tables are refused", hostile_indirect_tables_are_refused },
	{ "the total length of a chain is bounded", total_length_is_bounded },
	{ "the available index must stay inside the ring", available_index_must_stay_inside_the_ring },
	{ "chains can be given back", chains_can_be_given_back },
	{ "used elements appear together", used_elements_appear_together },
	{ "flags suppress without the event index", flags_suppress_without_event_index },
	{ "the event index asks for one interrupt", event_index_asks_for_one_interrupt },
	{ "the event index crosses the wrap", event_index_crosses_the_wrap },
	{ "the event index is doubted after a full turn", event_index_is_doubted_after_a_full_turn },
	{ "the available event follows what was taken", available_event_follows_what_was_taken },
	{ NULL, NULL },
};

const struct suite suite_hv_dev_virtio_ring = { tests };
