/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "lib/l2/policy_priv.h"
#include "tests/unit/suite.h"

static int read_text(const char *text, struct policy **policy, struct err *err)
{
	struct config *config;
	int r;

	*policy = NULL;
	*err = (struct err){ .text = "" };
	check_eq(config_parse("test", text, strlen(text), &config, err), 0);
	r = policy_read(config, "net0", policy, err);
	if (!r && config_unknown(config, NULL))
		check_str(config_unknown(config, NULL), "nic.net1.rate");
	config_free(config);
	return r;
}

static void refuse(const char *text, const char *why)
{
	struct policy *policy;
	struct err err;

	check_eq(read_text(text, &policy, &err), -EINVAL);
	check(!policy);
	check_str(err.text, why);
}

static void a_policy_reads_back(void)
{
	static const char want[] =
		"nic.net0.allow.1 = in tcp from 192.0.2.0/24,2001:db8::/32 to 198.51.100.4/32 port 22,8000-8080\n"
		"nic.net0.allow.7 = out ip6 icmp\n"
		"nic.net0.allow.20 = in any\n"
		"nic.net0.address = 192.0.2.10 2001:db8::10\n"
		"nic.net0.rate = 1073741824/s burst 1048576\n"
		"nic.net0.storm = 500/s\n"
		"nic.net0.mss = 1400\n";
	struct policy *policy, *again;
	char *text, *text2;
	struct err err;

	check_or_return(!read_text("nic.net0.allow.1 = in  tcp port 22,8000-8080 to 198.51.100.4 from 192.0.2.0/24,2001:db8::/32\n"
		"nic.net0.allow.7 = out ip6 icmp\nnic.net0.allow.20 = in any\n"
		"nic.net0.address = 192.0.2.10,2001:db8::10\nnic.net0.rate = 1G/s burst 1M\nnic.net0.storm = 500/s\nnic.net0.mss = 1400\n"
		"nic.net1.rate = 1/s\n", &policy, &err));
	text = policy_text(policy);
	check_str(text, want);
	check_or_return(!read_text(text, &again, &err));
	text2 = policy_text(again);
	check_str(text2, text);
	free(text);
	free(text2);
	policy_free(again);
	policy_free(policy);
}

static void defaults_limit_storms_only(void)
{
	struct policy *policy;
	struct err err;
	char *text;

	check_or_return(!read_text("", &policy, &err));
	text = policy_text(policy);
	check_str(text, "nic.net0.storm = 10000/s\nnic.net0.mss = auto\n");
	free(text);
	check(!policy->limited[0] && !policy->limited[1] && !policy->rate.per_s);
	policy_free(policy);
	check_or_return(!read_text("nic.net0.storm = off\nnic.net0.mss = off\nnic.net0.rate = 1M/s", &policy, &err));
	check_eq(policy->storm.per_s, 0);
	check_eq(policy->mss, MSS_OFF);
	check_eq(policy->rate.burst, RATE_BURST_MIN);
	policy_free(policy);
}

static void errors_name_key_and_word(void)
{
#define A "nic.net0.allow.1 = "
#define E "nic.net0.allow.1: "
	static const struct { const char *text, *why; } bad[] = {
		{ A "inn tcp", E "\"inn\" is neither in nor out" },
		{ A "in", E "\"\" is none of tcp, udp, icmp, any" },
		{ A "in sctp", E "\"sctp\" is none of tcp, udp, icmp, any" },
		{ A "in ip tcp at 1", E "\"at\" is none of from, to, port" },
		{ A "in tcp from", E "nothing stands behind \"from\"" },
		{ A "in tcp port 1 port 2", E "\"port\" stands twice" },
		{ A "in tcp from 192.0.2.1/33", E "\"192.0.2.1/33\": the length behind the slash is 0 to 32" },
		{ A "in tcp from 192.0.2.1/", E "\"192.0.2.1/\": the length behind the slash is 0 to 32" },
		{ A "in tcp from 2001:db8::/129", E "\"2001:db8::/129\": the length behind the slash is 0 to 128" },
		{ A "in tcp from 192.0.2.1/24", E "\"192.0.2.1/24\" has bits behind its length; the network is 192.0.2.0/24" },
		{ A "in tcp from 2001:db8::1/64", E "\"2001:db8::1/64\" has bits behind its length; the network is 2001:db8::/64" },
		{ A "in tcp from example.org", E "\"example.org\" is no address or ADDRESS/LENGTH" },
		{ A "in tcp from 192.0.2.1,,192.0.2.2", E "a list has nothing between two commas, or at its end" },
		{ A "in tcp from 192.0.2.1,", E "a list has nothing between two commas, or at its end" },
		{ A "in ip6 tcp from 192.0.2.1", E "\"192.0.2.1\" is IPv4 in a rule for \"ip6\"" },
		{ A "in ip tcp from 2001:db8::1", E "\"2001:db8::1\" is IPv6 in a rule for \"ip\"" },
		{ A "in tcp from 192.0.2.1 to 2001:db8::1", E "\"from\" and \"to\" have no kind of IP in common" },
		{ A "in tcp port 65536", E "\"65536\" is no port or P-Q, 0 to 65535" },
		{ A "in tcp port ssh", E "\"ssh\" is no port or P-Q, 0 to 65535" },
		{ A "in tcp port 022", E "\"022\" is no port or P-Q, 0 to 65535" },
		{ A "in tcp port 90-80", E "\"90-80\" ends before it begins" },
		{ A "in tcp port 80-", E "\"80-\" is no port or P-Q, 0 to 65535" },
		{ A "in icmp port 80", E "\"port\" is for tcp and udp only" },
		{ A "in any port 80", E "\"port\" is for tcp and udp only" },
		{ "nic.net0.allow.x = in any", "nic.net0.allow.x: \"x\" is no number 0 to 99999" },
		{ "nic.net0.allow.01 = in any", "nic.net0.allow.01: \"01\" is no number 0 to 99999" },
		{ "nic.net0.allow. = in any", "nic.net0.allow.: no number stands behind allow." },
		{ "nic.net0.address = 192.0.2.1/24", "nic.net0.address: \"192.0.2.1/24\" is no IPv4 or IPv6 address" },
		{ "nic.net0.address = ,", "nic.net0.address: no address stands there" },
		{ "nic.net0.rate = 100M", "nic.net0.rate: \"100M\" is no rate like 100M/s" },
		{ "nic.net0.rate = 0/s", "nic.net0.rate: \"0/s\" is no rate like 100M/s" },
		{ "nic.net0.rate = 9999999999999G/s", "nic.net0.rate: \"9999999999999G/s\" is no rate like 100M/s" },
		{ "nic.net0.rate = 1M/s bust 1M", "nic.net0.rate: \"bust\" is not \"burst\"" },
		{ "nic.net0.rate = 1M/s burst", "nic.net0.rate: \"\" is no burst in bytes like 1M" },
		{ "nic.net0.rate = 1G/s burst 255K", "nic.net0.rate: \"255K\" is less than 256K: TCP would stand still" },
		{ "nic.net0.rate = 1M/s burst 1M 2", "nic.net0.rate: \"2\" stands behind the burst" },
		{ "nic.net0.storm = 10", "nic.net0.storm: \"10\" is neither frames like 1000/s nor off" },
		{ "nic.net0.storm = 1K/s", "nic.net0.storm: \"1K/s\" is neither frames like 1000/s nor off" },
		{ "nic.net0.mss = 100", "nic.net0.mss: \"100\" is none of auto, off, 536 to 65495" },
		{ "nic.net0.mss = 1400x", "nic.net0.mss: \"1400x\" is none of auto, off, 536 to 65495" },
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		refuse(bad[i].text, bad[i].why);
}

static void too_many_rules_are_refused(void)
{
	static char text[65536];
	struct policy *policy;
	struct err err;
	size_t at = 0;

	for (unsigned i = 0; i <= POLICY_RULES; i++)
		at += (size_t)sprintf(text + at, "nic.net0.allow.%u = in any\n", i);
	check_eq(read_text(text, &policy, &err), -E2BIG);
	check_str(err.text, "nic.net0.allow.256: a NIC has at most 256 rules");
}

static void prefixes_of_any_length_match(void)
{
	for (unsigned len = 0; len <= 128; len++) {
		struct rule_packet p = { .direction = FILTER_TO_SERVER, .v6 = true, .proto = 6 };
		uint8_t *ip = (uint8_t *)&p.from;
		struct rule rule;
		struct err err;
		char text[64];

		sprintf(text, "in tcp from ::/%u", len);
		check_or_return(!rule_parse(text, &rule, &err));
		for (unsigned bit = 0; bit < 128; bit++) {
			memset(ip, 0, 16);
			ip[bit / 8] = (uint8_t)(0x80 >> bit % 8);
			check_eq(rule_allows(&rule, &p), bit >= len);
		}
		rule_free(&rule);
	}
}

static void a_list_of_one_family_is_for_that_family(void)
{
	static const uint8_t v4[4] = { 10, 0, 0, 1 }, v6[16] = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1 };
	struct rule_packet p4 = { .direction = FILTER_TO_SERVER, .proto = 6, .from = address_of(v4, false) };
	struct rule_packet p6 = { .direction = FILTER_TO_SERVER, .proto = 6, .v6 = true, .from = address_of(v6, true) };
	struct rule rule;
	struct err err;

	check_or_return(!rule_parse("in tcp from ::/0", &rule, &err));
	check(!rule_allows(&rule, &p4) && rule_allows(&rule, &p6));
	rule_free(&rule);
	check_or_return(!rule_parse("in tcp from 0.0.0.0/0", &rule, &err));
	check(rule_allows(&rule, &p4) && !rule_allows(&rule, &p6));
	rule_free(&rule);
	check_or_return(!rule_parse("in tcp from 0.0.0.0/0,::/0", &rule, &err));
	check(rule_allows(&rule, &p4) && rule_allows(&rule, &p6));
	rule_free(&rule);
}

static void a_bucket_holds_its_burst(void)
{
	struct rate r;
	uint64_t now = 1000000000, passed = 0;

	rate_init(&r, (struct rate_limit){ .per_s = 1000000, .burst = 300000 });
	for (unsigned i = 0; i < 100; i++)
		passed += rate_pass(&r, 10000, now) ? 10000 : 0;
	check_eq(passed, 300000);
	/* Ten seconds in steps so small that single ones bring no whole unit. */
	passed = 0;
	for (unsigned i = 0; i < 10000000; i += 100) {
		now += 100 * 1000 / 1;
		passed += rate_pass(&r, 1500, now) ? 1500 : 0;
	}
	check(passed > 9990000 && passed < 10010000);
	/* A super-frame passes a bucket smaller than itself, and is paid for. */
	rate_init(&r, (struct rate_limit){ .per_s = 1000, .burst = 10 });
	check(rate_pass(&r, 60000, now));
	check(!rate_pass(&r, 1, now + 59000000000));
	check(rate_pass(&r, 1, now + 60000000000));
	check(rate_pass(&r, 60000, now + 3600000000000));
	check(!rate_pass(&r, 1, now));		/* a clock that went back */
	rate_init(&r, (struct rate_limit){ 0 });
	for (unsigned i = 0; i < 1000; i++)
		check(rate_pass(&r, UINT32_MAX, now));
}

static const struct test policy_tests[] = {
	{ "a policy reads back", a_policy_reads_back },
	{ "defaults limit storms only", defaults_limit_storms_only },
	{ "errors name key and word", errors_name_key_and_word },
	{ "too many rules are refused", too_many_rules_are_refused },
	{ "prefixes of any length match", prefixes_of_any_length_match },
	{ "a list of one family is for that family", a_list_of_one_family_is_for_that_family },
	{ "a bucket holds its burst", a_bucket_holds_its_burst },
	{ 0 }
};
const struct suite suite_lib_l2_policy = { policy_tests };
