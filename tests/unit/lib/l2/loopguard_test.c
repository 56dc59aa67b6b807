/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/loopguard.h"
#include "tests/unit/lib/l2/packets.h"
#include "tests/unit/suite.h"

#define S 1000000000ull

static struct pk_frame frame;
static uint8_t probe[LOOPGUARD_FRAME];

static struct frame *returned(void)
{
	memcpy(frame.bytes, probe, sizeof probe);
	frame.f = (struct frame){ .data = frame.bytes, .len = sizeof probe };
	check_eq(frame_parse(&frame.f), FRAME_OK);
	return &frame.f;
}

static struct frame *traffic(void)
{
	return pk_make(&frame, &(struct pk){ .src = "192.0.2.1", .dst = "192.0.2.2", .proto = PK_UDP });
}

static void a_probe_that_returns_shuts_the_port(void)
{
	struct loopguard g;
	uint64_t now = 100 * S;

	loopguard_init(&g, pk_server, (struct rate_limit){ 0 });
	for (uint32_t shut = LOOPGUARD_SHUT_S; shut <= 2 * LOOPGUARD_SHUT_MAX_S; shut *= 2) {
		uint32_t want = shut < LOOPGUARD_SHUT_MAX_S ? shut : LOOPGUARD_SHUT_MAX_S;

		check_eq(loopguard_probe(&g, probe, now), LOOPGUARD_FRAME);
		check_eq(loopguard_probe(&g, probe, now), 0);
		check_eq(loopguard_input(&g, traffic(), now), LOOPGUARD_PASS);
		check(loopguard_output(&g, now));
		check_eq(loopguard_input(&g, returned(), now), LOOPGUARD_PROBE);
		check(loopguard_is_shut(&g, now));
		check(!loopguard_output(&g, now));
		check_eq(loopguard_input(&g, traffic(), now), LOOPGUARD_SHUT);
		check_eq(loopguard_input(&g, returned(), now), LOOPGUARD_PROBE);
		check_eq(loopguard_probe(&g, probe, now), 0);
		check_eq(loopguard_due(&g), now + want * S);
		now += want * S;
		check(!loopguard_is_shut(&g, now));
	}
	/* It stayed open for long: the next time is short again. */
	now += 400 * S;
	check_eq(loopguard_probe(&g, probe, now), LOOPGUARD_FRAME);
	check_eq(loopguard_input(&g, returned(), now), LOOPGUARD_PROBE);
	check_eq(loopguard_due(&g), now + LOOPGUARD_SHUT_S * S);
	check(g.counters.loops > 5 && g.counters.drop_shut == 2 * (g.counters.loops - 1));
}

static void other_probes_shut_nothing(void)
{
	struct loopguard g, other;
	uint64_t now = 100 * S;

	loopguard_init(&g, pk_server, (struct rate_limit){ 0 });
	loopguard_init(&other, pk_server, (struct rate_limit){ 0 });
	check_eq(loopguard_probe(&other, probe, now), LOOPGUARD_FRAME);
	check_eq(loopguard_input(&g, returned(), now), LOOPGUARD_PROBE);
	check_eq(g.counters.foreign, 1);
	memset(probe + 22, 0, 16);
	check_eq(loopguard_input(&g, returned(), now), LOOPGUARD_PROBE);
	/* One that is played back later, too */
	check_eq(loopguard_probe(&g, probe, now), LOOPGUARD_FRAME);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t next[LOOPGUARD_FRAME];

		now += LOOPGUARD_PROBE_S * S;
		check_eq(loopguard_probe(&g, next, now), LOOPGUARD_FRAME);
	}
	check_eq(loopguard_input(&g, returned(), now), LOOPGUARD_PROBE);
	check(!loopguard_is_shut(&g, now));
	/* The EtherType is others' as well. */
	probe[14] ^= 1;
	check_eq(loopguard_input(&g, returned(), now), LOOPGUARD_PASS);
}

static void a_forged_source_only_asks_for_a_probe(void)
{
	struct loopguard g;
	uint64_t now = 100 * S;
	unsigned probes = 0;

	loopguard_init(&g, pk_server, (struct rate_limit){ 0 });
	check_eq(loopguard_probe(&g, probe, now), LOOPGUARD_FRAME);
	for (unsigned i = 0; i < 100000; i++) {
		now += S / 100000;
		loopguard_own_mac(&g, now);
		probes += loopguard_probe(&g, probe, now) > 0;
	}
	check(probes >= 4 && probes <= 5);
	check(!loopguard_is_shut(&g, now));
	check_eq(g.counters.own_mac, 100000);
}

static void a_storm_from_the_lan_is_limited(void)
{
	static const uint8_t everybody[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct loopguard g;
	unsigned passed = 0;

	loopguard_init(&g, pk_server, (struct rate_limit){ 100, 100 });
	for (unsigned i = 0; i < 300; i++)
		passed += loopguard_input(&g, pk_make(&frame, &(struct pk){ .src = "192.0.2.1", .dst = "192.0.2.255", .proto = PK_UDP,
			.eth_dst = everybody }), S) == LOOPGUARD_PASS;
	check_eq(passed, 100);
	check_eq(g.counters.drop_storm, 200);
	check_eq(loopguard_input(&g, traffic(), S), LOOPGUARD_PASS);
}

static const struct test loopguard_tests[] = {
	{ "a probe that returns shuts the port", a_probe_that_returns_shuts_the_port },
	{ "other probes shut nothing", other_probes_shut_nothing },
	{ "a forged source only asks for a probe", a_forged_source_only_asks_for_a_probe },
	{ "a storm from the LAN is limited", a_storm_from_the_lan_is_limited },
	{ 0 }
};
const struct suite suite_lib_l2_loopguard = { loopguard_tests };
