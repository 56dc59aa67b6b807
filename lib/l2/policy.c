/* SPDX-License-Identifier: Apache-2.0 */
/* What a placement says of a NIC's frames. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/l2/policy_priv.h"
#include "lib/scope.h"

enum { KEY = 192 };

bool policy_allows(const struct policy *policy, const struct rule_packet *p)
{
	if (!policy->limited[p->direction])
		return true;
	for (unsigned i = 0; i < policy->rule_count; i++)
		if (rule_allows(&policy->rules[i], p))
			return true;
	return false;
}

void policy_free(struct policy *policy)
{
	if (!policy)
		return;
	for (unsigned i = 0; i < policy->rule_count; i++)
		rule_free(&policy->rules[i]);
	free(policy->rules);
	free(policy->numbers);
	free(policy);
}

static const char *get(struct config *c, const char *nic, const char *what, char key[KEY])
{
	snprintf(key, KEY, "nic.%s.%s", nic, what);
	return config_get(c, key);
}

static int add_rule(struct policy *p, const char *key, const char *number, const char *text, struct err *err)
{
	struct rule *rules;
	unsigned *numbers, n = 0;
	int r;

	for (const char *s = number; *s; s++) {
		if (*s < '0' || *s > '9' || s - number >= 5 || (number[0] == '0' && s > number))
			return err_set(err, -EINVAL, "%s: \"%s\" is no number 0 to 99999", key, number);
		n = n * 10 + (unsigned)(*s - '0');
	}
	if (!*number)
		return err_set(err, -EINVAL, "%s: no number stands behind allow.", key);
	if (p->rule_count == POLICY_RULES)
		return err_set(err, -E2BIG, "%s: a NIC has at most %u rules", key, POLICY_RULES);
	rules = reallocarray(p->rules, p->rule_count + 1, sizeof *rules);
	if (rules)
		p->rules = rules;
	numbers = reallocarray(p->numbers, p->rule_count + 1, sizeof *numbers);
	if (numbers)
		p->numbers = numbers;
	if (!rules || !numbers)
		return err_set(err, -ENOMEM, "%s: out of memory", key);
	r = rule_parse(text, &rules[p->rule_count], err);
	if (r)
		return err_prefix(err, "%s", key);
	numbers[p->rule_count] = n;
	p->limited[rules[p->rule_count].direction] = true;
	p->rule_count++;
	return 0;
}

static int read_rules(struct config *c, struct policy *p, struct err *err)
{
	char prefix[KEY];
	size_t len = (size_t)snprintf(prefix, sizeof prefix, "nic.%s.allow.", p->nic);
	const char *key;
	int r = 0;

	for (size_t i = 0; !r && (key = config_key(c, i)); i++)
		if (!strncmp(key, prefix, len))
			r = add_rule(p, key, key + len, config_get(c, key), err);
	return r;
}

static int read_addresses(struct policy *p, const char *key, const char *text, struct err *err)
{
	auto_free char *copy = strdup(text);
	char *rest = copy, *word;

	if (!copy)
		return err_set(err, -ENOMEM, "%s: out of memory", key);
	while ((word = strtok_r(NULL, " \t,", &rest))) {
		if (p->address_count == POLICY_ADDRESSES)
			return err_set(err, -E2BIG, "%s: at most %u addresses", key, POLICY_ADDRESSES);
		if (address_parse(word, &p->address[p->address_count].ip, &p->address[p->address_count].v6))
			return err_set(err, -EINVAL, "%s: \"%.80s\" is no IPv4 or IPv6 address", key, word);
		p->address_count++;
	}
	return p->address_count ? 0 : err_set(err, -EINVAL, "%s: no address stands there", key);
}

static int read_mss(struct policy *p, const char *key, const char *text, struct err *err)
{
	char *end;
	unsigned long n;

	if (!strcmp(text, "auto") || !strcmp(text, "off")) {
		p->mss = text[0] == 'a' ? MSS_AUTO : MSS_OFF;
		return 0;
	}
	n = strtoul(text, &end, 10);
	if (text[0] < '1' || text[0] > '9' || *end || strlen(text) > 5 || n < MSS_MIN || n > MSS_MAX)
		return err_set(err, -EINVAL, "%s: \"%.80s\" is none of auto, off, %d to %d", key, text, MSS_MIN, MSS_MAX);
	p->mss = (unsigned)n;
	return 0;
}

static int read_all(struct config *c, struct policy *p, struct err *err)
{
	char key[KEY];
	const char *v;
	int r = read_rules(c, p, err);

	v = get(c, p->nic, "address", key);
	if (!r && v)
		r = read_addresses(p, key, v, err);
	v = get(c, p->nic, "rate", key);
	if (!r && v && (r = rate_parse_bytes(v, &p->rate, err)))
		err_prefix(err, "%s", key);
	v = get(c, p->nic, "storm", key);
	if (!r && v && (r = rate_parse_frames(v, &p->storm, err)))
		err_prefix(err, "%s", key);
	v = get(c, p->nic, "mss", key);
	if (!r && v)
		r = read_mss(p, key, v, err);
	return r;
}

int policy_read(struct config *placement, const char *nic, struct policy **policy, struct err *err)
{
	struct policy *p;
	int r;

	if (!nic[0] || strlen(nic) >= sizeof p->nic)
		return err_set(err, -EINVAL, "\"%.80s\" is no name of a NIC", nic);
	p = calloc(1, sizeof *p);
	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	strcpy(p->nic, nic);
	p->storm = (struct rate_limit){ .per_s = POLICY_STORM, .burst = POLICY_STORM };
	p->mss = MSS_AUTO;
	r = read_all(placement, p, err);
	if (r) {
		policy_free(p);
		return r;
	}
	*policy = p;
	return 0;
}

static void print_rules(FILE *out, const struct policy *p)
{
	char text[RULE_TEXT];

	for (unsigned i = 0; i < p->rule_count; i++) {
		rule_text(&p->rules[i], text);
		fprintf(out, "nic.%s.allow.%u = %s\n", p->nic, p->numbers[i], text);
	}
}

static void print_rest(FILE *out, const struct policy *p)
{
	char ip[INET6_ADDRSTRLEN];

	if (p->address_count)
		fprintf(out, "nic.%s.address =", p->nic);
	for (unsigned i = 0; i < p->address_count; i++) {
		bool v6 = p->address[i].v6;

		inet_ntop(v6 ? AF_INET6 : AF_INET, (const uint8_t *)&p->address[i].ip + (v6 ? 0 : 12), ip, sizeof ip);
		fprintf(out, " %s%s", ip, i + 1 == p->address_count ? "\n" : "");
	}
	if (p->rate.per_s)
		fprintf(out, "nic.%s.rate = %" PRIu64 "/s burst %" PRIu64 "\n", p->nic, p->rate.per_s, p->rate.burst);
	if (p->storm.per_s)
		fprintf(out, "nic.%s.storm = %" PRIu64 "/s\n", p->nic, p->storm.per_s);
	else
		fprintf(out, "nic.%s.storm = off\n", p->nic);
	if (p->mss > MSS_AUTO)
		fprintf(out, "nic.%s.mss = %u\n", p->nic, p->mss);
	else
		fprintf(out, "nic.%s.mss = %s\n", p->nic, p->mss ? "auto" : "off");
}

char *policy_text(const struct policy *policy)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	print_rules(out, policy);
	print_rest(out, policy);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}
