/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/rule.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/scope.h"

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

struct address address_of(const uint8_t *ip, bool v6)
{
	struct address a;

	if (v6) {
		memcpy(&a, ip, 16);
	} else {
		memcpy(&a, mapped, 12);
		memcpy((uint8_t *)&a + 12, ip, 4);
	}
	return a;
}

int address_parse(const char *text, struct address *address, bool *v6)
{
	uint8_t ip[16];

	*v6 = strchr(text, ':');
	if (inet_pton(*v6 ? AF_INET6 : AF_INET, text, ip) != 1)
		return -EINVAL;
	*address = address_of(ip, *v6);
	return 0;
}

/* ---- matching */

static bool in_list(const struct prefix_list *list, struct address a, bool v6)
{
	for (unsigned i = 0; i < list->count; i++) {
		const struct prefix *p = &list->prefix[i];

		if (p->v6 == v6 && !((a.word[0] ^ p->address.word[0]) & p->mask.word[0]) &&
		    !((a.word[1] ^ p->address.word[1]) & p->mask.word[1]))
			return true;
	}
	return !list->count;
}

bool rule_allows(const struct rule *rule, const struct rule_packet *p)
{
	bool port_ok = !rule->port_count;

	if (rule->direction != p->direction || !(p->v6 ? rule->v6 : rule->v4))
		return false;
	if (rule->proto && p->proto != (rule->proto == IPPROTO_ICMP && p->v6 ? RULE_ICMP6 : rule->proto))
		return false;
	for (unsigned i = 0; !port_ok && i < rule->port_count; i++)
		port_ok = p->port >= rule->ports[i].first && p->port <= rule->ports[i].last;
	return port_ok && in_list(&rule->from, p->from, p->v6) && in_list(&rule->to, p->to, p->v6);
}

/* ---- words */

static bool digits(const char *s, size_t len, unsigned long max, unsigned long *value)
{
	unsigned long v = 0;

	if (!len || len > 5 || (len > 1 && s[0] == '0'))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		v = v * 10 + (unsigned long)(s[i] - '0');
	}
	*value = v;
	return v <= max;
}

static int prefix_parse(const char *word, struct prefix *p, struct err *err)
{
	const char *slash = strchr(word, '/');
	char text[64], whole[INET6_ADDRSTRLEN];
	unsigned long len;
	uint8_t *mask = (uint8_t *)&p->mask;

	if ((size_t)snprintf(text, sizeof text, "%.*s", slash ? (int)(slash - word) : 63, word) >= sizeof text ||
	    strlen(word) > 63 || address_parse(text, &p->address, &p->v6))
		return err_set(err, -EINVAL, "\"%.80s\" is no address or ADDRESS/LENGTH", word);
	len = p->v6 ? 128 : 32;
	if (slash && !digits(slash + 1, strlen(slash + 1), len, &len))
		return err_set(err, -EINVAL, "\"%s\": the length behind the slash is 0 to %d", word, p->v6 ? 128 : 32);
	p->len = (uint8_t)len;
	len += p->v6 ? 0 : 96;
	memset(mask, 0, 16);
	memset(mask, 0xff, len / 8);
	if (len % 8)
		mask[len / 8] = (uint8_t)(0xff00 >> len % 8);
	if ((p->address.word[0] & ~p->mask.word[0]) || (p->address.word[1] & ~p->mask.word[1])) {
		struct address net = { { p->address.word[0] & p->mask.word[0], p->address.word[1] & p->mask.word[1] } };

		inet_ntop(p->v6 ? AF_INET6 : AF_INET, (uint8_t *)&net + (p->v6 ? 0 : 12), whole, sizeof whole);
		return err_set(err, -EINVAL, "\"%s\" has bits behind its length; the network is %s/%u", word, whole, p->len);
	}
	return 0;
}

/* Call fn with each part of a list between commas. */
static int each(char *list, unsigned max, int (*fn)(struct rule *, void *, const char *, struct err *), struct rule *rule, void *to,
	struct err *err)
{
	unsigned n = 0;
	char *next;
	int r;

	for (; list; list = next) {
		next = strchr(list, ',');
		if (next)
			*next++ = '\0';
		if (!*list)
			return err_set(err, -EINVAL, "a list has nothing between two commas, or at its end");
		if (n++ == max)
			return err_set(err, -EINVAL, "\"%.80s\": a list has at most %u parts", list, max);
		r = fn(rule, to, list, err);
		if (r)
			return r;
	}
	return 0;
}

static int add_prefix(struct rule *rule, void *to, const char *word, struct err *err)
{
	struct prefix_list *list = to;
	struct prefix prefix, *new;
	int r = prefix_parse(word, &prefix, err);

	if (r)
		return r;
	if (!(prefix.v6 ? rule->v6 : rule->v4))
		return err_set(err, -EINVAL, "\"%s\" is IPv%c in a rule for \"%s\"", word, prefix.v6 ? '6' : '4', prefix.v6 ? "ip" : "ip6");
	new = reallocarray(list->prefix, list->count + 1, sizeof *new);
	if (!new)
		return err_set(err, -ENOMEM, "out of memory");
	list->prefix = new;
	new[list->count++] = prefix;
	return 0;
}

static int add_port(struct rule *rule, void *to, const char *word, struct err *err)
{
	const char *dash = strchr(word, '-');
	struct port_range *new;
	unsigned long first, last;

	if (!digits(word, dash ? (size_t)(dash - word) : strlen(word), 65535, &first))
		return err_set(err, -EINVAL, "\"%.80s\" is no port or P-Q, 0 to 65535", word);
	last = first;
	if (dash && !digits(dash + 1, strlen(dash + 1), 65535, &last))
		return err_set(err, -EINVAL, "\"%.80s\" is no port or P-Q, 0 to 65535", word);
	if (last < first)
		return err_set(err, -EINVAL, "\"%s\" ends before it begins", word);
	new = reallocarray(rule->ports, rule->port_count + 1, sizeof *new);
	if (!new)
		return err_set(err, -ENOMEM, "out of memory");
	rule->ports = new;
	new[rule->port_count++] = (struct port_range){ (uint16_t)first, (uint16_t)last };
	return 0;
}

static int parse_clause(char *word, char *list, struct rule *rule, struct err *err)
{
	struct prefix_list *addresses = !strcmp(word, "from") ? &rule->from : !strcmp(word, "to") ? &rule->to : NULL;
	bool port = !strcmp(word, "port");

	if (!addresses && !port)
		return err_set(err, -EINVAL, "\"%.80s\" is none of from, to, port", word);
	if (!list)
		return err_set(err, -EINVAL, "nothing stands behind \"%s\"", word);
	if (addresses ? addresses->count : rule->port_count)
		return err_set(err, -EINVAL, "\"%s\" stands twice", word);
	if (addresses)
		return each(list, RULE_ADDRESSES, add_prefix, rule, addresses, err);
	if (rule->proto != IPPROTO_TCP && rule->proto != IPPROTO_UDP)
		return err_set(err, -EINVAL, "\"port\" is for tcp and udp only");
	return each(list, RULE_PORTS, add_port, rule, NULL, err);
}

static int parse_head(char **rest, struct rule *rule, struct err *err)
{
	static const struct { const char *word; uint8_t proto; } protos[] = { { "tcp", IPPROTO_TCP }, { "udp", IPPROTO_UDP },
		{ "icmp", IPPROTO_ICMP }, { "any", 0 } };
	char *word = strtok_r(NULL, " \t", rest);

	if (!word || (strcmp(word, "in") && strcmp(word, "out")))
		return err_set(err, -EINVAL, "\"%.80s\" is neither in nor out", word ? word : "");
	rule->direction = !strcmp(word, "in") ? FILTER_TO_SERVER : FILTER_FROM_SERVER;
	rule->v4 = rule->v6 = true;
	word = strtok_r(NULL, " \t", rest);
	if (word && (!strcmp(word, "ip") || !strcmp(word, "ip6"))) {
		rule->v4 = !word[2];
		rule->v6 = word[2];
		word = strtok_r(NULL, " \t", rest);
	}
	for (size_t i = 0; word && i < array_len(protos); i++) {
		if (!strcmp(word, protos[i].word)) {
			rule->proto = protos[i].proto;
			return 0;
		}
	}
	return err_set(err, -EINVAL, "\"%.80s\" is none of tcp, udp, icmp, any", word ? word : "");
}

/* A list of one family leaves a rule to that family. */
static bool can_match(const struct rule *rule, bool v6)
{
	const struct prefix_list *list[2] = { &rule->from, &rule->to };

	for (unsigned i = 0; i < 2; i++) {
		bool found = !list[i]->count;

		for (unsigned n = 0; n < list[i]->count; n++)
			found |= list[i]->prefix[n].v6 == v6;
		if (!found)
			return false;
	}
	return v6 ? rule->v6 : rule->v4;
}

int rule_parse(const char *text, struct rule *rule, struct err *err)
{
	auto_free char *copy = strdup(text);
	char *rest = copy, *word;
	int r;

	*rule = (struct rule){ 0 };
	if (!copy)
		return err_set(err, -ENOMEM, "out of memory");
	r = parse_head(&rest, rule, err);
	while (!r && (word = strtok_r(NULL, " \t", &rest)))
		r = parse_clause(word, strtok_r(NULL, " \t", &rest), rule, err);
	if (!r && !can_match(rule, false) && !can_match(rule, true))
		r = err_set(err, -EINVAL, "\"from\" and \"to\" have no kind of IP in common");
	if (r)
		rule_free(rule);
	return r;
}

void rule_free(struct rule *rule)
{
	free(rule->from.prefix);
	free(rule->to.prefix);
	free(rule->ports);
	*rule = (struct rule){ 0 };
}

/* ---- text */

static size_t put_list(char *text, size_t at, const char *word, const struct prefix_list *list)
{
	char ip[INET6_ADDRSTRLEN];

	for (unsigned i = 0; i < list->count; i++) {
		const struct prefix *p = &list->prefix[i];

		inet_ntop(p->v6 ? AF_INET6 : AF_INET, (const uint8_t *)&p->address + (p->v6 ? 0 : 12), ip, sizeof ip);
		at += (size_t)snprintf(text + at, RULE_TEXT - at, "%s%s%s/%u", i ? "," : " ", i ? "" : word, ip, p->len);
	}
	return at;
}

void rule_text(const struct rule *rule, char text[RULE_TEXT])
{
	size_t at = (size_t)snprintf(text, RULE_TEXT, "%s%s %s", rule->direction == FILTER_TO_SERVER ? "in" : "out",
		rule->v4 && rule->v6 ? "" : rule->v4 ? " ip" : " ip6", rule->proto == IPPROTO_TCP ? "tcp" :
		rule->proto == IPPROTO_UDP ? "udp" : rule->proto == IPPROTO_ICMP ? "icmp" : "any");

	/* 64 addresses of at most 50 characters twice, and 64 ranges of 12, leave room. */
	at = put_list(text, at, "from ", &rule->from);
	at = put_list(text, at, "to ", &rule->to);
	for (unsigned i = 0; i < rule->port_count; i++) {
		const struct port_range *p = &rule->ports[i];

		at += (size_t)snprintf(text + at, RULE_TEXT - at, "%s%u", i ? "," : " port ", p->first);
		if (p->last != p->first)
			at += (size_t)snprintf(text + at, RULE_TEXT - at, "-%u", p->last);
	}
}
