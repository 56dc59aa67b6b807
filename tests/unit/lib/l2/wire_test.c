/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/wire.h"
#include <errno.h>
#include "lib/bits.h"
#include "tests/unit/suite.h"

static void refused(const uint8_t *data, size_t len, const char *text)
{
	struct wire_message m;
	struct err err = { 0 };
	size_t used;

	check_eq(wire_parse(data, len, &used, &m, &err), -EPROTO);
	check_eq(used, 0);
	check_str(err.text, text);
}

static void test_small(void)
{
	struct wire_beat beat = { 0x1122334455667788, WIRE_BEAT_LAN, 77, 1234 };
	struct wire_grant grant = { 99, 500, WIRE_OTHER_PATH, 7 };
	struct wire_message m;
	uint8_t buf[WIRE_SMALL];
	size_t used, len = wire_put_beat(buf, &beat);

	check_eq(len, 28);
	check(!memcmp(buf, "\x18\0\0\x04\x88\x77\x66\x55", 8));
	for (size_t i = 0; i < len; i++)
		check(!wire_parse(buf, i, &used, &m, NULL) && !used);
	check(!wire_parse(buf, len, &used, &m, NULL) && used == len);
	check(m.type == WIRE_BEAT && m.beat.stamp_ns == beat.stamp_ns && m.beat.flags == 1 && m.beat.priority == 77 &&
	      m.beat.rtt_us == 1234);
	len = wire_put_grant(buf, &grant);
	check(!wire_parse(buf, len, &used, &m, NULL) && used == len);
	check(m.type == WIRE_GRANT && m.grant.stamp_ns == 99 && m.grant.lease_ms == 500 && m.grant.state == WIRE_OTHER_PATH &&
	      m.grant.moves == 7);
	len = wire_put_consumed(buf, 1ull << 40);
	check(!wire_parse(buf, len, &used, &m, NULL) && used == len && m.type == WIRE_CONSUMED && m.consumed == 1ull << 40);
	len = wire_put_release(buf, 5);
	check(!wire_parse(buf, len, &used, &m, NULL) && used == len && m.type == WIRE_RELEASE && m.release_ns == 5);
}

static void test_frame(void)
{
	uint8_t buf[FRAME_HEADROOM + 60] = { 0 }, *at;
	struct frame f = { .hdr = { .flags = 1, .gso_size = 1448 }, .data = buf + FRAME_HEADROOM, .len = 60 };
	struct wire_message m;
	size_t len, used;

	f.data[0] = 0x52;
	at = wire_put_frame(&f, &len);
	check(at == buf);
	check_eq(len, 76);
	check(!wire_parse(at, len, &used, &m, NULL) && used == len && m.type == WIRE_FRAME);
	check(m.len == 72 && m.body == buf + 4 && !memcmp(m.body, &f.hdr, 12) && m.body[12] == 0x52);
}

static void test_bad(void)
{
	uint8_t buf[WIRE_SMALL];
	struct wire_grant grant = { 99, 500, WIRE_ACTIVE, 0 };
	size_t len;

	refused((uint8_t *)"\0\0\0\0", 4, "message of type 0, which there is not");
	refused((uint8_t *)"\0\0\0\x08", 4, "message of type 8, which there is not");
	refused((uint8_t *)"\0\0\0\xff", 4, "message of type 255, which there is not");
	refused((uint8_t *)"\x01\0\0\x01", 4, "HELLO of 1 bytes: 2 to 8192 are right");
	refused((uint8_t *)"\x01\x20\0\x01", 4, "HELLO of 8193 bytes: 2 to 8192 are right");
	refused((uint8_t *)"\x19\0\0\x02", 4, "FRAME of 25 bytes: 26 to 65570 are right");
	refused((uint8_t *)"\xff\xff\xff\x02", 4, "FRAME of 16777215 bytes: 26 to 65570 are right");
	refused((uint8_t *)"\x07\0\0\x03", 4, "CONSUMED of 7 bytes: 8 to 8 are right");
	refused((uint8_t *)"\x19\0\0\x04", 4, "BEAT of 25 bytes: 24 to 24 are right");
	refused((uint8_t *)"\0\0\0\x06", 4, "RELEASE of 0 bytes: 8 to 8 are right");
	refused((uint8_t *)"\x01\0\x01\x07", 4, "PEERS of 65537 bytes: 2 to 65536 are right");
	len = wire_put_grant(buf, &grant);
	buf[16] = 3;
	refused(buf, len, "GRANT of state 3, which there is not");
}

static const struct test tests[] = {
	{ "small messages", test_small },
	{ "frames", test_frame },
	{ "against the rules", test_bad },
	{ NULL },
};
const struct suite suite_lib_l2_wire = { tests };
