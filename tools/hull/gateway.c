/* SPDX-License-Identifier: Apache-2.0 */
/* hull gateway …: asks a running hull-lcg by its control socket. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "lib/scope.h"
#include "tools/hull/control.h"
#include "tools/hull/hull.h"

enum { PAGES_MAX = 4096 };

static void drop_json(json_t **json) { json_decref(*json); }

#define auto_json cleanup(drop_json)

/* ---- asking */

static int add_page(json_t *all, const json_t *page, struct err *err)
{
	static const char *const lists[] = { "lans", "segments", "nics" };

	for (unsigned i = 0; i < array_len(lists); i++)
		if (json_array_extend(json_object_get(all, lists[i]), json_object_get(page, lists[i])))
			return err_set(err, -EPROTO, "an answer without %s", lists[i]);
	if (json_object_get(page, "next"))
		json_object_set(all, "next", json_object_get(page, "next"));
	return 0;
}

/* The first page with the lists of all of them. */
static int ask_pages(const char *path, const char *verb, json_t **all, struct err *err)
{
	auto_json json_t *first = NULL;
	auto_close int fd = -1;
	json_t *next;
	int rc = control_dial(path, "hull-lcg", &fd, err);

	rc = rc ? rc : control_ask(fd, json_pack("{ss}", "do", verb), &first, err);
	for (unsigned i = 0; !rc && i < PAGES_MAX && (next = json_object_get(first, "next")); i++) {
		auto_json json_t *page = NULL;

		rc = control_ask(fd, json_pack("{ss sO}", "do", verb, "from", next), &page, err);
		json_object_del(first, "next");
		if (!rc)
			rc = add_page(first, page, err);
	}
	*all = rc ? NULL : take_ptr(first);
	return rc;
}

/* ---- words for people */

static long long number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static bool is(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static const char *amount(long long n, char buf[16])
{
	static const char units[] = " KMGT";
	double v = (double)n;
	unsigned u = 0;

	for (; v >= 9999.5 && units[u + 1]; u++)
		v /= 1000;
	snprintf(buf, 16, "%.0f%.*s", v, u ? 1 : 0, units + u);
	return buf;
}

static void show_gateway(const json_t *g)
{
	long long s = number(g, "uptime_ms") / 1000;

	printf("gateway %s, version %s, up %lld d %02lld:%02lld:%02lld, active for %lld of %lld NICs", text(g, "name"), text(g, "version"),
		s / 86400, s / 3600 % 24, s / 60 % 60, s % 60, number(g, "active"), number(g, "nics"));
	printf("%s\n", !is(g, "lma") ? ", without a management application" : is(g,
		"lma_away") ? ", the management application is away" : "");
}

static void show_segments(const json_t *segments, const json_t *lans)
{
	const json_t *s, *l;
	size_t i, k;

	printf("\n%-16s %-28s %-9s %-8s %6s %6s %10s %10s %10s %8s\n", "SEGMENT", "LAN", "", "STATE", "MTU", "PORTS", "FROM LAN", "TO LAN",
		"BETWEEN", "DROPS");
	json_array_foreach(segments, i, s) {
		char lan[80] = "", vlan[32], a[16], b[16], c[16], d[16];
		long long mtu = 0;

		json_array_foreach(lans, k, l) {
			if (strcmp(text(l, "name"), text(s, "lan")))
				continue;
			snprintf(lan, sizeof lan, "%s %s:%s%s%s", text(l, "name"), text(l, "kind"), text(l, "device"),
				*text(l, "bridge") ? "," : "", text(l, "bridge"));
			mtu = number(l, "mtu");
		}
		snprintf(vlan, sizeof vlan, "vlan %lld", number(s, "vlan"));
		printf("%-16s %-28s %-9s %-8s %6lld %6lld %10s %10s %10s %8s\n", text(s, "name"), lan, number(s, "vlan") ? vlan : text(s, "mode"),
			is(s, "shut") ? "LOOP" : is(s, "works") ? "works" : "NO LINK", mtu, number(s, "ports"), amount(number(s, "from_lan"), a),
			amount(number(s, "to_lan"), b), amount(number(s, "between_servers"), c), amount(number(s, "drops"), d));
	}
}

/* The path in use, or why there is none. */
static void show_way(const json_t *link)
{
	const json_t *way, *known = NULL;
	unsigned open = 0;
	size_t i;

	json_array_foreach(json_object_get(link, "paths"), i, way) {
		open += is(way, "open");
		if (is(way, "active")) {
			printf(" %8.2f  %s\n", (double)number(json_object_get(way, "counters"), "rtt_ns") / 1e6, text(way, "way"));
			return;
		}
		if (*text(way, "trouble"))
			known = way;
	}
	if (open)
		printf(" %8s  %u open, another gateway serves\n", "-", open);
	else
		printf(" %8s  %s%s%s\n", "-", known ? text(known, "way") : "no connection", known ? ": " : "", known ? text(known,
		"trouble") : "");
}

static void show_nics(const json_t *nics)
{
	const json_t *n;
	size_t i;

	printf("\n%-20s %-8s %-16s %-18s %-8s %9s %9s %8s %8s  %s\n", "SERVER", "NIC", "SEGMENT", "MAC", "STATE", "FROM B/s",
		"TO B/s", "DROPS",
		"RTT ms", "PATH");
	json_array_foreach(nics, i, n) {
		char a[16], b[16], c[16];

		printf("%-20s %-8s %-16s %-18s %-8s %9s %9s %8s", text(n, "server"), text(n, "nic"), text(n, "segment"), text(n, "mac"),
			is(n, "active") ? "active" : "passive", amount(number(n, "from_server_rate"), a), amount(number(n, "to_server_rate"), b),
			amount(number(n, "drops"), c));
		show_way(json_object_get(n, "link"));
	}
}

static void show_status(const json_t *all)
{
	show_gateway(json_object_get(all, "gateway"));
	show_segments(json_object_get(all, "segments"), json_object_get(all, "lans"));
	show_nics(json_object_get(all, "nics"));
}

/* Numbers that are not 0, one a line: "nic dc-web01 net0 drop_storm 12". */
static void show_numbers(const char *what, const json_t *o)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)o, key, v)
		if (json_is_integer(v) && json_integer_value(v))
			printf("%s %s %lld\n", what, key, (long long)json_integer_value(v));
}

static void show_counters(const json_t *all)
{
	static const char *const lists[] = { "lans", "segments", "nics" }, *const words[] = { "lan", "segment", "nic" };
	const json_t *o;
	size_t k;

	show_numbers("gateway", json_object_get(all, "gateway"));
	for (unsigned i = 0; i < array_len(lists); i++) {
		json_array_foreach(json_object_get(all, lists[i]), k, o) {
			char what[200];

			if (*text(o, "name"))
				snprintf(what, sizeof what, "%s %s", words[i], text(o, "name"));
			else
				snprintf(what, sizeof what, "%s %s %s", words[i], text(o, "server"), text(o, "nic"));
			show_numbers(what, o);
		}
	}
}

/* ---- commands */

static int run_look(const struct command *self, int argc, char **argv)
{
	bool json = false, status = !strcmp(argv[0], "status");
	int n = command_arguments(self, argc, argv, &json), rc = 0;
	auto_json json_t *all = NULL;
	struct err err = { 0 };

	if (n != 1)
		return n < 0 ? HULL_TROUBLE : command_usage(self);
	if (ask_pages(argv[1], argv[0], &all, &err))
		return command_fail("%s", err.text);
	if (json) {
		rc = json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (status) {
		show_status(all);
	} else {
		show_counters(all);
	}
	return rc ? command_fail("out of memory") : HULL_OK;
}

static int run_reload(const struct command *self, int argc, char **argv)
{
	int n = command_arguments(self, argc, argv, NULL);
	auto_json json_t *ok = NULL;
	auto_close int fd = -1;
	struct err err = { 0 };

	if (n != 1)
		return n < 0 ? HULL_TROUBLE : command_usage(self);
	if (control_dial(argv[1], "hull-lcg", &fd, &err) || control_ask(fd, json_pack("{ss}", "do", "reload"), &ok, &err))
		return command_fail("%s", err.text);
	return HULL_OK;
}

#define SOCKET_HELP "SOCKET is what the gateway's configuration calls control. Exit status: 0 fine, 2 trouble."

const struct command gateway_commands[] = {
	{ "gateway status", "SOCKET [--json]", "say how a gateway, its segments and its servers are", SOCKET_HELP, run_look },
	{ "gateway counters", "SOCKET [--json]", "count what passed and what was dropped, each cause by its name", SOCKET_HELP, run_look },
	{ "gateway reload", "SOCKET", "read the gateway's configuration again; a broken one changes nothing", SOCKET_HELP, run_reload },
	{ NULL },
};
