/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/firewall.h"
#include <stdio.h>
#include "lib/config.h"
#include "lib/l2/policy_priv.h"
#include "tests/unit/lib/l2/packets.h"
#include "tests/unit/suite.h"

#define S 1000000000ull
#define SERVER "192.0.2.10"
#define SERVER6 "2001:db8::10"
#define PEER "198.51.100.7"
#define PEER6 "2001:db8:1::7"

static struct pk_frame frame;

struct rig { struct firewall *fw; struct policy *policy; uint64_t now; };

/* text: rules, one a line, NULL: none */
static struct policy *rules(const char *text)
{
	struct err err = { .text = "" };
	struct policy *policy = NULL;
	struct config *config;
	char lines[4096];
	size_t at = 0;
	unsigned n = 0;

	while (text && *text) {
		size_t len = strcspn(text, "\n");

		at += (size_t)snprintf(lines + at, sizeof lines - at, "nic.net0.allow.%u = %.*s\n", n++, (int)len, text);
		text += len + (text[len] == '\n');
	}
	check_eq(config_parse("test", lines, at, &config, &err), 0);
	check_eq(policy_read(config, "net0", &policy, &err), 0);
	if (err.code)
		suite_note("%s", err.text);
	config_free(config);
	return policy;
}

static bool start(struct rig *r, unsigned size, const char *text)
{
	*r = (struct rig){ .now = 1000 * S, .policy = rules(text) };
	if (!r->policy || firewall_create(size, &r->fw)) {
		CU_ASSERT(false);
		policy_free(r->policy);
		return false;
	}
	firewall_set_policy(r->fw, r->policy);
	/* The grace after rules were set is over, unless a test wants it. */
	(void)firewall_pass(r->fw, FILTER_TO_SERVER, pk_make(&frame, &(struct pk){ .src = "203.0.113.1", .dst = SERVER, .proto = PK_TCP,
		.sport = 1, .dport = 1, .flags = PK_ACK }), S);
	return true;
}

static void end(struct rig *r)
{
	firewall_free(r->fw);
	policy_free(r->policy);
}

static void replace(struct rig *r, const char *text)
{
	struct policy *old = r->policy;

	r->policy = rules(text);
	firewall_set_policy(r->fw, r->policy);
	policy_free(old);
}

static enum filter_cause pass(struct rig *r, struct pk p)
{
	return firewall_pass(r->fw, p.from_server ? FILTER_FROM_SERVER : FILTER_TO_SERVER, pk_make(&frame, &p), r->now);
}

/* TCP or UDP between PEER and SERVER (v6: their other addresses) */
static enum filter_cause in(struct rig *r, bool v6, uint8_t proto, uint16_t sport, uint16_t dport, uint8_t flags,
	uint32_t seq, uint32_t ack)
{
	return pass(r, (struct pk){ .src = v6 ? PEER6 : PEER, .dst = v6 ? SERVER6 : SERVER, .proto = proto, .sport = sport,
		.dport = dport, .flags = flags, .seq = seq, .ack = ack, .payload = 10 });
}

static enum filter_cause out(struct rig *r, bool v6, uint8_t proto, uint16_t sport, uint16_t dport, uint8_t flags,
	uint32_t seq, uint32_t ack)
{
	return pass(r, (struct pk){ .src = v6 ? SERVER6 : SERVER, .dst = v6 ? PEER6 : PEER, .proto = proto, .sport = sport,
		.dport = dport, .flags = flags, .seq = seq, .ack = ack, .payload = 10, .from_server = true });
}

static void handshake_in(struct rig *r, uint16_t sport, uint16_t dport)
{
	check_eq(in(r, false, PK_TCP, sport, dport, PK_SYN, 100, 0), FILTER_PASS);
	check_eq(out(r, false, PK_TCP, dport, sport, PK_SYN | PK_ACK, 900, 101), FILTER_PASS);
	check_eq(in(r, false, PK_TCP, sport, dport, PK_ACK, 101, 901), FILTER_PASS);
}

static void without_rules_everything_passes_untracked(void)
{
	struct rig r;

	if (!start(&r, 16, NULL))
		return;
	for (unsigned i = 0; i < 100; i++)
		check_eq(in(&r, i & 1, PK_TCP, (uint16_t)i, 22, PK_SYN, 0, 0), FILTER_PASS);
	check_eq(firewall_counters(r.fw)->now, 0);
	end(&r);
}

static void one_rule_in_denies_the_rest_in(void)
{
	struct rig r;

	if (!start(&r, 64, "in tcp from 198.51.100.0/24,2001:db8:1::/48 port 22,80-90"))
		return;
	for (int v6 = 0; v6 < 2; v6++) {
		check_eq(in(&r, v6, PK_TCP, 1000, 22, PK_SYN, 0, 0), FILTER_PASS);
		check_eq(in(&r, v6, PK_TCP, 1000, 90, PK_SYN, 0, 0), FILTER_PASS);
		check_eq(in(&r, v6, PK_TCP, 1000, 91, PK_SYN, 0, 0), FILTER_FIREWALL);
		check_eq(in(&r, v6, PK_UDP, 1000, 22, 0, 0, 0), FILTER_FIREWALL);
		check_eq(out(&r, v6, PK_UDP, 5000, 53, 0, 0, 0), FILTER_PASS);	/* not limited, and answered */
		check_eq(in(&r, v6, PK_UDP, 53, 5000, 0, 0, 0), FILTER_PASS);
		check_eq(in(&r, v6, PK_UDP, 54, 5000, 0, 0, 0), FILTER_FIREWALL);
	}
	check_eq(pass(&r, (struct pk){ .src = "198.51.101.1", .dst = SERVER, .proto = PK_TCP, .dport = 22, .flags = PK_SYN }),
		FILTER_FIREWALL);
	/* Without flags it is no connection, but the rule lets it in; none of another VLAN's is the same one. */
	check_eq(out(&r, false, PK_TCP, 4000, 443, PK_SYN, 0, 0), FILTER_PASS);
	check_eq(in(&r, false, PK_TCP, 443, 4000, PK_SYN | PK_ACK, 0, 1), FILTER_PASS);
	check_eq(pass(&r, (struct pk){ .src = PEER, .dst = SERVER, .proto = PK_TCP, .sport = 443, .dport = 4000, .flags = PK_ACK,
		.vid = 5 }), FILTER_FIREWALL);
	end(&r);
}

static void both_directions_may_be_limited(void)
{
	struct rig r;

	if (!start(&r, 64, "in tcp port 22\nout udp to " PEER "/32 port 53"))
		return;
	handshake_in(&r, 1000, 22);
	check_eq(out(&r, false, PK_TCP, 22, 1000, PK_ACK, 901, 101), FILTER_PASS);
	check_eq(out(&r, false, PK_TCP, 4000, 443, PK_SYN, 0, 0), FILTER_FIREWALL);
	check_eq(out(&r, false, PK_UDP, 4000, 53, 0, 0, 0), FILTER_PASS);
	check_eq(in(&r, false, PK_UDP, 53, 4000, 0, 0, 0), FILTER_PASS);
	check_eq(out(&r, true, PK_UDP, 4000, 53, 0, 0, 0), FILTER_FIREWALL);
	end(&r);
}

static void a_connection_out_is_no_door_in(void)
{
	struct rig r;

	if (!start(&r, 64, "in tcp port 22"))
		return;
	check_eq(out(&r, false, PK_TCP, 4000, 443, PK_SYN, 1, 0), FILTER_PASS);
	check_eq(in(&r, false, PK_TCP, 443, 4000, PK_SYN, 7, 0), FILTER_FIREWALL);
	check_eq(in(&r, false, PK_TCP, 443, 4000, PK_SYN | PK_ACK, 7, 2), FILTER_PASS);
	check_eq(out(&r, false, PK_TCP, 4000, 443, PK_ACK, 2, 8), FILTER_PASS);
	check_eq(in(&r, false, PK_TCP, 443, 4000, PK_SYN, 7, 0), FILTER_FIREWALL);
	check_eq(in(&r, false, PK_TCP, 443, 4000, PK_ACK, 8, 2), FILTER_PASS);
	/* Closed on both sides, then opened anew from the wrong one. */
	check_eq(in(&r, false, PK_TCP, 443, 4000, PK_FIN | PK_ACK, 8, 2), FILTER_PASS);
	check_eq(out(&r, false, PK_TCP, 4000, 443, PK_FIN | PK_ACK, 2, 9), FILTER_PASS);
	check_eq(in(&r, false, PK_TCP, 443, 4000, PK_ACK, 9, 3), FILTER_PASS);
	check_eq(in(&r, false, PK_TCP, 443, 4000, PK_SYN, 7, 0), FILTER_FIREWALL);
	check_eq(in(&r, false, PK_TCP, 443, 4000, PK_RST, 7, 0), FILTER_FIREWALL);
	check_eq(firewall_counters(r.fw)->now, 0);
	end(&r);
}

static void a_forged_reset_ends_nothing(void)
{
	struct rig r;

	if (!start(&r, 64, "in tcp port 22"))
		return;
	check_eq(out(&r, false, PK_TCP, 4000, 443, PK_SYN, 1, 0), FILTER_PASS);
	check_eq(in(&r, false, PK_TCP, 443, 4000, PK_SYN | PK_ACK, 7, 2), FILTER_PASS);
	check_eq(out(&r, false, PK_TCP, 4000, 443, PK_ACK, 2, 8), FILTER_PASS);
	check_eq(in(&r, false, PK_TCP, 443, 4000, PK_RST, 99, 0), FILTER_PASS);
	for (unsigned i = 0; i < 10; i++) {
		r.now += 100 * S;
		check_eq(out(&r, false, PK_TCP, 4000, 443, PK_ACK, 2, 8), FILTER_PASS);
		check_eq(in(&r, false, PK_TCP, 443, 4000, PK_ACK, 8, 2), FILTER_PASS);
	}
	r.now += 86400 * S;
	check_eq(in(&r, false, PK_TCP, 443, 4000, PK_ACK, 8, 2), FILTER_PASS);
	check_eq(in(&r, false, PK_TCP, 443, 4000, PK_RST, 8, 0), FILTER_PASS);	/* a real one: silence */
	r.now += 121 * S;
	check_eq(in(&r, false, PK_TCP, 443, 4000, PK_ACK, 8, 2), FILTER_FIREWALL);
	end(&r);
}

static void silence_ends_connections(void)
{
	struct rig r;

	if (!start(&r, 64, "in icmp"))
		return;
	check_eq(out(&r, false, PK_UDP, 5000, 53, 0, 0, 0), FILTER_PASS);
	r.now += 59 * S;
	check_eq(in(&r, false, PK_UDP, 53, 5000, 0, 0, 0), FILTER_PASS);
	r.now += 299 * S;
	check_eq(in(&r, false, PK_UDP, 53, 5000, 0, 0, 0), FILTER_PASS);
	r.now += 302 * S;
	check_eq(in(&r, false, PK_UDP, 53, 5000, 0, 0, 0), FILTER_FIREWALL);
	check_eq(out(&r, false, PK_TCP, 5000, 80, PK_SYN, 0, 0), FILTER_PASS);
	r.now += 62 * S;
	check_eq(in(&r, false, PK_TCP, 80, 5000, PK_SYN | PK_ACK, 0, 0), FILTER_FIREWALL);
	check_eq(firewall_counters(r.fw)->now, 0);
	end(&r);
}

static void a_flood_of_openings_ends_nothing(void)
{
	struct rig r;

	if (!start(&r, 64, "in tcp port 22\nin udp port 53\nout udp port 1"))
		return;
	for (uint16_t i = 0; i < 20; i++)
		handshake_in(&r, (uint16_t)(1000 + i), 22);
	for (unsigned i = 0; i < 50000; i++) {
		char src[32];

		snprintf(src, sizeof src, "203.0.%u.%u", i >> 8 & 255, i & 255);
		check_eq(pass(&r, (struct pk){ .src = src, .dst = SERVER, .proto = i & 1 ? PK_TCP : PK_UDP, .sport = (uint16_t)i,
			.dport = i & 1 ? 22 : 53, .flags = PK_SYN }), FILTER_PASS);
		if (i & 1)
			(void)pass(&r, (struct pk){ .src = SERVER, .dst = src, .proto = PK_TCP, .sport = 22, .dport = (uint16_t)i,
				.flags = PK_SYN | PK_ACK, .seq = 5, .from_server = true });
		/* An ACK that guesses does not make it established. */
		if (i & 1)
			check_eq(pass(&r, (struct pk){ .src = src, .dst = SERVER, .proto = PK_TCP, .sport = (uint16_t)i, .dport = 22,
				.flags = PK_ACK, .ack = 1234 }), FILTER_PASS);
	}
	check_eq(firewall_counters(r.fw)->most, 64);
	check(firewall_counters(r.fw)->evicted > 49000);
	for (uint16_t i = 0; i < 20; i++)
		check_eq(out(&r, false, PK_TCP, 22, (uint16_t)(1000 + i), PK_ACK, 0, 0), FILTER_PASS);
	/* A table full of real ones refuses more, until some of them have been silent for long. */
	for (uint16_t i = 20; i < 64; i++)
		handshake_in(&r, (uint16_t)(1000 + i), 22);
	r.now += 599 * S;
	check_eq(in(&r, false, PK_TCP, 9, 22, PK_SYN, 0, 0), FILTER_FLOOD);
	r.now += 2 * S;
	check_eq(in(&r, false, PK_TCP, 1000, 22, PK_ACK, 0, 0), FILTER_PASS);
	check_eq(in(&r, false, PK_TCP, 9, 22, PK_SYN, 0, 0), FILTER_PASS);
	check_eq(out(&r, false, PK_TCP, 22, 1000, PK_ACK, 0, 0), FILTER_PASS);
	end(&r);
}

static void new_rules_keep_what_they_allow(void)
{
	struct rig r;

	if (!start(&r, 64, "in tcp port 22,80\nout tcp port 443"))
		return;
	handshake_in(&r, 1000, 22);
	handshake_in(&r, 1001, 80);
	check_eq(out(&r, false, PK_TCP, 4000, 443, PK_SYN, 0, 0), FILTER_PASS);
	check_eq(in(&r, false, PK_TCP, 443, 4000, PK_SYN | PK_ACK, 0, 0), FILTER_PASS);
	replace(&r, "in tcp port 22\nout udp port 53");
	check_eq(out(&r, false, PK_TCP, 22, 1000, PK_ACK, 0, 0), FILTER_PASS);
	check_eq(out(&r, false, PK_TCP, 80, 1001, PK_ACK, 0, 0), FILTER_FIREWALL);
	check_eq(in(&r, false, PK_TCP, 1001, 80, PK_ACK, 0, 0), FILTER_FIREWALL);
	check_eq(in(&r, false, PK_TCP, 443, 4000, PK_ACK, 0, 0), FILTER_FIREWALL);
	check_eq(firewall_counters(r.fw)->now, 1);
	/* No rules: nothing is tracked; rules again: what runs is taken up, in either direction. */
	replace(&r, NULL);
	check_eq(firewall_counters(r.fw)->now, 0);
	replace(&r, "in tcp port 22\nout tcp port 443");
	check_eq(out(&r, false, PK_TCP, 22, 1000, PK_ACK, 0, 0), FILTER_PASS);
	check_eq(in(&r, false, PK_TCP, 443, 4000, PK_ACK, 0, 0), FILTER_PASS);
	check_eq(out(&r, false, PK_TCP, 80, 1001, PK_ACK, 0, 0), FILTER_FIREWALL);
	check_eq(in(&r, false, PK_TCP, 444, 4001, PK_ACK, 0, 0), FILTER_FIREWALL);
	check_eq(in(&r, false, PK_TCP, 443, 4001, PK_SYN | PK_ACK, 0, 0), FILTER_FIREWALL);
	end(&r);
}

static void a_takeover_takes_running_connections_up(void)
{
	struct rig r;

	if (!start(&r, 64, "in tcp port 22\nout udp port 53"))
		return;
	check_eq(out(&r, false, PK_TCP, 22, 1000, PK_ACK, 0, 0), FILTER_FIREWALL);
	firewall_resume(r.fw);
	check_eq(out(&r, false, PK_TCP, 22, 1000, PK_ACK, 0, 0), FILTER_PASS);
	check_eq(in(&r, false, PK_TCP, 1000, 22, PK_ACK, 0, 0), FILTER_PASS);
	r.now += 121 * S;
	check_eq(out(&r, false, PK_TCP, 22, 1001, PK_ACK, 0, 0), FILTER_FIREWALL);
	check_eq(out(&r, false, PK_TCP, 22, 1000, PK_ACK, 0, 0), FILTER_PASS);
	end(&r);
}

static void echoes_and_errors_belong_to_connections(void)
{
	struct rig r;
	uint8_t quote[48];
	struct pk error = { .src = "203.0.113.254", .dst = SERVER, .proto = PK_ICMP, .sport = 0x0304, .payload = 28, .data = quote };

	if (!start(&r, 64, "in tcp port 22"))
		return;
	check_eq(pass(&r, (struct pk){ .src = SERVER, .dst = PEER, .proto = PK_ICMP, .sport = 0x0800, .dport = 77,
		.from_server = true }), 0);
	check_eq(pass(&r, (struct pk){ .src = PEER, .dst = SERVER, .proto = PK_ICMP, .sport = 0x0000, .dport = 77 }), FILTER_PASS);
	check_eq(pass(&r, (struct pk){ .src = PEER, .dst = SERVER, .proto = PK_ICMP, .sport = 0x0000, .dport = 78 }), FILTER_FIREWALL);
	check_eq(pass(&r, (struct pk){ .src = PEER, .dst = SERVER, .proto = PK_ICMP, .sport = 0x0800, .dport = 77 }), FILTER_PASS);
	check_eq(pass(&r, (struct pk){ .src = PEER, .dst = SERVER, .proto = PK_ICMP, .sport = 0x0800, .dport = 79 }), FILTER_FIREWALL);
	check_eq(pass(&r, (struct pk){ .src = PEER6, .dst = SERVER6, .proto = PK_ICMP6, .sport = 0x8000 }), FILTER_FIREWALL);
	check_eq(out(&r, false, PK_TCP, 4000, 443, PK_SYN, 0, 0), FILTER_PASS);
	memcpy(quote, frame.f.data + 14, 28);
	check_eq(pass(&r, error), FILTER_PASS);
	put_be16(quote + 20, 4001);	/* of no connection */
	check_eq(pass(&r, error), FILTER_FIREWALL);
	put_be16(quote + 20, 4000);
	quote[15] = 11;			/* not sent by the server */
	check_eq(pass(&r, error), FILTER_FIREWALL);
	quote[15] = 10;
	quote[7] = 1;			/* a later piece: what looks like ports is data */
	check_eq(pass(&r, error), FILTER_FIREWALL);
	quote[7] = 0;
	check_eq(pass(&r, error), FILTER_PASS);
	error.payload = 27;
	check_eq(pass(&r, error), FILTER_FIREWALL);
	error.payload = 28;
	error.sport = 0x0501;		/* redirect */
	check_eq(pass(&r, error), FILTER_FIREWALL);
	check_eq(out(&r, true, PK_UDP, 4000, 53, 0, 0, 0), FILTER_PASS);
	memcpy(quote, frame.f.data + 14, 48);
	check_eq(pass(&r, (struct pk){ .src = "fe80::1", .dst = SERVER6, .proto = PK_ICMP6, .sport = 0x0200, .payload = 48,
		.data = quote }),
		FILTER_PASS);
	end(&r);
}

static void what_addresses_need_always_passes(void)
{
	static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct rig r;

	if (!start(&r, 64, "in tcp port 22\nout tcp port 443"))
		return;
	check_eq(firewall_pass(r.fw, FILTER_TO_SERVER, pk_arp(&frame, 1, pk_peer, all, pk_peer, PEER, SERVER), r.now), FILTER_PASS);
	check_eq(firewall_pass(r.fw, FILTER_FROM_SERVER, pk_arp(&frame, 2, pk_server, pk_peer, pk_server, SERVER, PEER), r.now),
		FILTER_PASS);
	check_eq(firewall_pass(r.fw, FILTER_TO_SERVER, pk_nd(&frame, false, 135, PEER6, "ff02::1:ff00:10", SERVER6, 1, pk_peer),
		r.now), 0);
	check_eq(firewall_pass(r.fw, FILTER_FROM_SERVER, pk_nd(&frame, true, 136, SERVER6, PEER6, SERVER6, 2, pk_server), r.now), 0);
	frame.bytes[14 + 7] = 64;	/* routed: not neighbour discovery */
	check_eq(firewall_pass(r.fw, FILTER_FROM_SERVER, &frame.f, r.now), FILTER_FIREWALL);
	check_eq(firewall_pass(r.fw, FILTER_TO_SERVER, pk_hex(&frame, "52 54 0 12 34 56  2 0 0 0 0 99  88 63  1 2 3 4"), r.now),
		FILTER_FIREWALL);
	check_eq(firewall_pass(r.fw, FILTER_TO_SERVER, pk_hex(&frame, "52 54 0 12 34 56  2 0 0 0 0 99  8 0  45 0 0 20"), r.now),
		FILTER_FIREWALL);
	/* IP in a SNAP header */
	check_eq(firewall_pass(r.fw, FILTER_TO_SERVER, pk_hex(&frame, "52 54 0 12 34 56  2 0 0 0 0 99  0 8  aa aa 3 0 0 0 8 0 45"), r.now),
		FILTER_FIREWALL);
	end(&r);
}

static void dhcp_answers_pass_after_a_question(void)
{
	static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct pk ask = { .src = "0.0.0.0", .dst = "255.255.255.255", .proto = PK_UDP, .sport = 68, .dport = 67, .from_server = true,
		.eth_dst = all };
	struct pk answer = { .src = "192.0.2.1", .dst = "192.0.2.77", .proto = PK_UDP, .sport = 67, .dport = 68 };
	struct pk ask6 = { .src = "fe80::5", .dst = "ff02::1:2", .proto = PK_UDP, .sport = 546, .dport = 547, .from_server = true };
	struct pk answer6 = { .src = "fe80::1", .dst = "fe80::5", .proto = PK_UDP, .sport = 547, .dport = 546 };
	struct rig r;

	if (!start(&r, 64, "in tcp port 22"))
		return;
	check_eq(pass(&r, answer), FILTER_FIREWALL);
	check_eq(pass(&r, ask), FILTER_PASS);
	check_eq(pass(&r, answer6), FILTER_FIREWALL);
	check_eq(pass(&r, answer), FILTER_PASS);
	check_eq(pass(&r, ask6), FILTER_PASS);
	check_eq(pass(&r, answer6), FILTER_PASS);
	r.now += 61 * S;
	check_eq(pass(&r, answer), FILTER_FIREWALL);
	replace(&r, "in tcp port 22\nout tcp port 443");
	check_eq(pass(&r, ask), FILTER_FIREWALL);
	check_eq(pass(&r, answer), FILTER_FIREWALL);
	end(&r);
}

static void pieces_follow_their_first_one(void)
{
	struct pk first = { .src = PEER, .dst = SERVER, .proto = PK_UDP, .sport = 9, .dport = 53, .payload = 64, .piece = 0x2000 };
	struct pk later = first, bad = first, other = first, tcp = first;
	struct rig r;

	later.piece = 9;
	bad.dport = 54;
	other.src = "198.51.100.8";
	other.piece = 9;
	tcp.proto = PK_TCP;
	tcp.piece = 1;
	if (!start(&r, 64, "in udp port 53\nin tcp port 53"))
		return;
	check_eq(pass(&r, later), FILTER_FRAGMENT);
	check_eq(pass(&r, bad), FILTER_FIREWALL);
	check_eq(pass(&r, later), FILTER_FRAGMENT);
	check_eq(pass(&r, first), FILTER_PASS);
	check_eq(pass(&r, later), FILTER_PASS);
	check_eq(pass(&r, other), FILTER_FRAGMENT);
	check_eq(pass(&r, tcp), FILTER_FRAGMENT);
	tcp.piece = 0x2000;
	check_eq(pass(&r, tcp), FILTER_PASS);
	tcp.piece = 1;
	check_eq(pass(&r, tcp), FILTER_FRAGMENT);
	r.now += 31 * S;
	check_eq(pass(&r, later), FILTER_FRAGMENT);
	/* A first one too short for its header says nothing. */
	first.proto = PK_TCP;
	check_eq(in(&r, false, PK_TCP, 9, 53, PK_SYN, 0, 0), FILTER_PASS);
	frame.f.len = 14 + 20 + 16;
	put_be16(frame.bytes + 16, 36);
	put_be16(frame.bytes + 20, 0x2000);
	check_eq(frame_parse(&frame.f), FRAME_OK);
	check_eq(firewall_pass(r.fw, FILTER_TO_SERVER, &frame.f, r.now), FILTER_FIREWALL);
	end(&r);
}

/* ---- against a model that is slow and plain */

struct model_rule { bool out; uint8_t proto; int family; unsigned from, bits, first, last; bool ports; };
struct model_conn { struct pk p; bool used; };

static const char *const hosts4[] = { "198.51.100.1", "198.51.100.2", "198.51.100.129", "198.51.101.1" };
static const char *const hosts6[] = { "2001:db8:1::1", "2001:db8:1::2", "2001:db8:1::8001", "2001:db8:2::1" };
static uint64_t dice;

static unsigned roll(unsigned n)
{
	dice = dice * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(dice >> 33) % n;
}

static bool bits_match(const char *ip, const char *net, unsigned bits)
{
	uint8_t a[16], b[16];
	int family = strchr(ip, ':') ? AF_INET6 : AF_INET;

	if (!strchr(ip, ':') != !strchr(net, ':') || inet_pton(family, ip, a) != 1 || inet_pton(family, net, b) != 1)
		return false;
	for (unsigned i = 0; i < bits; i++)
		if ((a[i / 8] >> (7 - i % 8) & 1) != (b[i / 8] >> (7 - i % 8) & 1))
			return false;
	return true;
}

static bool model_allows(const struct model_rule *rule, unsigned n, const struct pk *p)
{
	bool v6 = strchr(p->src, ':'), limited = false;

	for (unsigned i = 0; i < n; i++) {
		const struct model_rule *m = &rule[i];
		const char *peer = m->out ? p->dst : p->src;

		if (m->out != p->from_server)
			continue;
		limited = true;
		if (m->proto && m->proto != p->proto)
			continue;
		if ((m->family == 4 && v6) || (m->family == 6 && !v6))
			continue;
		if (m->ports && (p->dport < m->first || p->dport > m->last))
			continue;
		if (m->bits && !bits_match(peer, (m->family == 6 ? hosts6 : hosts4)[m->from], m->bits))
			continue;
		return true;
	}
	return !limited;
}

static struct pk reverse(struct pk p)
{
	struct pk q = p;

	q.src = p.dst;
	q.dst = p.src;
	q.sport = p.dport;
	q.dport = p.sport;
	q.from_server = !p.from_server;
	return q;
}

static bool same_flow(const struct pk *a, const struct pk *b)
{
	return !strcmp(a->src, b->src) && !strcmp(a->dst,
		b->dst) && a->proto == b->proto && a->sport == b->sport && a->dport == b->dport &&
		a->from_server == b->from_server;
}

static unsigned random_rules(struct model_rule *rule, char *text)
{
	unsigned n = roll(6);

	*text = 0;
	for (unsigned i = 0; i < n; i++) {
		struct model_rule *m = &rule[i];
		char net[64] = "";
		uint8_t ip[16];

		*m = (struct model_rule){ .out = roll(2), .proto = (uint8_t[]){ PK_UDP, PK_TCP, 0 }[roll(3)], .family = (int)roll(3) * 2 + 2,
			.from = roll(4), .first = roll(4), .last = 3 + roll(3) };
		m->family = m->family == 2 ? 0 : m->family;
		m->ports = m->proto && roll(2);
		if (m->family && roll(2)) {
			const char *host = (m->family == 6 ? hosts6 : hosts4)[m->from];
			int family = m->family == 6 ? AF_INET6 : AF_INET;

			m->bits = 1 + roll(m->family == 6 ? 128 : 32);
			check_eq(inet_pton(family, host, ip), 1);
			for (unsigned b = m->bits; b < (m->family == 6 ? 128u : 32u); b++)
				ip[b / 8] &= (uint8_t)~(0x80 >> b % 8);
			inet_ntop(family, ip, net, sizeof net);
		}
		text += sprintf(text, "%s%s %s", m->out ? "out" : "in", m->family == 4 ? " ip" : m->family == 6 ? " ip6" : "",
			m->proto == PK_UDP ? "udp" : m->proto == PK_TCP ? "tcp" : "any");
		if (net[0])
			text += sprintf(text, " %s %s/%u", m->out ? "to" : "from", net, m->bits);
		if (m->ports)
			text += sprintf(text, " port %u-%u", m->first, m->last);
		text += sprintf(text, "\n");
	}
	return n;
}

/* UDP, and TCP openings and answers: passes exactly what a list of what passed before, and the rules, allow. */
static void random_traffic_agrees_with_a_plain_model(void)
{
	static struct model_conn conns[4096];
	struct model_rule rule[8];
	char text[1024];
	struct rig r;

	dice = 4711;
	for (unsigned round = 0; round < 60; round++) {
		unsigned n = random_rules(rule, text), used = 0;

		if (!start(&r, 8192, text))
			return;
		for (unsigned i = 0; i < 400; i++) {
			bool v6 = roll(2), want = false;
			struct pk p = { .src = (v6 ? hosts6 : hosts4)[roll(4)], .dst = v6 ? SERVER6 : SERVER, .proto = roll(2) ? PK_UDP : PK_TCP,
				.sport = (uint16_t)roll(7), .dport = (uint16_t)roll(7), .flags = PK_SYN }, back;

			if (roll(2))
				p = reverse(p);
			back = reverse(p);
			for (unsigned c = 0; c < used; c++) {
				want |= same_flow(&conns[c].p, &p);
				if (same_flow(&conns[c].p, &back)) {
					want = true;
					p.flags = PK_SYN | PK_ACK;	/* of TCP, an answer */
				}
			}
			if (!want && model_allows(rule, n, &p)) {
				want = true;
				conns[used++].p = p;
			}
			if (pass(&r, p) != (want ? FILTER_PASS : FILTER_FIREWALL)) {
				CU_ASSERT(false);
				suite_note("round %u frame %u: %s:%u to %s:%u proto %u, want %d, rules:\n%s", round, i, p.src, p.sport, p.dst,
					p.dport, p.proto, want, text);
				end(&r);
				return;
			}
		}
		end(&r);
	}
	CU_ASSERT(true);
}

static const struct test firewall_tests[] = {
	{ "without rules everything passes untracked", without_rules_everything_passes_untracked },
	{ "one rule in denies the rest in", one_rule_in_denies_the_rest_in },
	{ "both directions may be limited", both_directions_may_be_limited },
	{ "a connection out is no door in", a_connection_out_is_no_door_in },
	{ "a forged reset ends nothing", a_forged_reset_ends_nothing },
	{ "silence ends connections", silence_ends_connections },
	{ "a flood of openings ends nothing", a_flood_of_openings_ends_nothing },
	{ "new rules keep what they allow", new_rules_keep_what_they_allow },
	{ "a takeover takes running connections up", a_takeover_takes_running_connections_up },
	{ "echoes and errors belong to connections", echoes_and_errors_belong_to_connections },
	{ "what addresses need always passes", what_addresses_need_always_passes },
	{ "DHCP answers pass after a question", dhcp_answers_pass_after_a_question },
	{ "pieces follow their first one", pieces_follow_their_first_one },
	{ "random traffic agrees with a plain model", random_traffic_agrees_with_a_plain_model },
	{ 0 }
};
const struct suite suite_lib_l2_firewall = { firewall_tests };
