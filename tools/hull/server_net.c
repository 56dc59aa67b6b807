/* SPDX-License-Identifier: Apache-2.0 */
/* What `hull server net` shows people of the answer. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "tools/hull/server.h"

static json_int_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void show_flow(const char *what, const json_t *o)
{
	printf("  %-9s %12lld frames %15lld bytes", what, (long long)number(o, "frames"), (long long)number(o, "bytes"));
	if (number(o, "drops"))
		printf(" %10lld dropped", (long long)number(o, "drops"));
	putchar('\n');
}

static double round_trip_ms(const json_t *path)
{
	const json_t *counters = json_object_get(path, "counters");

	return (double)number(counters ? counters : path, "rtt_ns") / 1e6;
}

static void show_path(const json_t *p)
{
	const char *state = !json_is_true(json_object_get(p, "open")) ? "opening" : json_is_true(json_object_get(p, "active")) ? "active" :
		!strcmp(text(p, "role"), "hv") ? "open" : json_is_false(json_object_get(p, "lan")) ? "standby, its LAN does not work" : "standby";

	printf("  %-9s %s by %s: %s", strcmp(text(p, "role"), "hv") ? "gateway" : "server", text(p, "name"), text(p, "way"), state);
	if (round_trip_ms(p) > 0)
		printf(", round trip %.2f ms", round_trip_ms(p));
	printf(", %lld lanes\n", (long long)number(p, "lanes"));
}

static void show_peer(const json_t *p)
{
	const json_t *path;
	size_t i;

	printf("  peer      %s %s:", text(p, "server"), text(p, "nic"));
	json_array_foreach(json_object_get(p, "ways"), i, path)
		printf(" %s %s", text(path, "way"), json_is_true(json_object_get(path, "open")) ? "open" : text(path, "trouble"));
	putchar('\n');
}

/* One line of the counters that moved and begin with drop_, or of all of a filter's. */
static void show_drops(const char *what, const json_t *counters, const char *prefix)
{
	bool any = false;
	const char *key;
	json_t *n;

	json_object_foreach((json_t *)counters, key, n) {
		if (strncmp(key, prefix, strlen(prefix)) || !json_integer_value(n) || !strcmp(key, "pass"))
			continue;
		printf("%s %s %lld", any ? "," : what, key + strlen(prefix), (long long)json_integer_value(n));
		any = true;
	}
	if (any)
		putchar('\n');
}

static void show_l2(const json_t *l2)
{
	const json_t *link = json_object_get(l2, "link"), *o, *counters = json_object_get(link, "counters");
	size_t i;

	printf("  segment   %s%s\n", text(l2, "segment"), json_is_object(link) ? "" : ": there is no link yet");
	json_array_foreach(json_object_get(link, "paths"), i, o)
		show_path(o);
	json_array_foreach(json_object_get(link, "relays"), i, o)
		printf("  relay     %s: %lld parked%s%s\n", text(o, "relay"), (long long)number(o, "parked"), *text(o, "trouble") ? "; " : "",
			text(o, "trouble"));
	if (number(link, "peers"))
		printf("  peers     %lld; `hull server net SOCKET NIC` shows them\n", (long long)number(link, "peers"));
	json_array_foreach(json_object_get(link, "peers"), i, o)
		show_peer(o);
	show_drops("  dropped  ", counters, "drop_");
	show_drops("  late     ", json_object_get(counters, "paths"), "drop_");
	show_drops("  refused  ", json_object_get(l2, "peer_filter"), "");
}

static void show_certificate(const json_t *c)
{
	time_t until = (time_t)number(c, "until");
	char when[40] = "";
	struct tm tm;

	if (!json_is_object(c))
		return;
	if (until && gmtime_r(&until, &tm))
		strftime(when, sizeof when, " until %F %T UTC", &tm);
	printf("certificate %s%s%s%s\n", text(c, "state"), when, *text(c, "text") ? ": " : "", text(c, "text"));
}

void server_show_net(const json_t *ok)
{
	const json_t *nic;
	size_t i;

	json_array_foreach(json_object_get(ok, "nics"), i, nic) {
		printf("%s: %s, %s, %s\n", text(nic, "name"), text(nic, "model"), text(nic, "wire"),
			json_is_true(json_object_get(nic, "carrier")) ? "cable in" : "no cable");
		show_flow("sent", json_object_get(nic, "tx"));
		show_flow("received", json_object_get(nic, "rx"));
		if (json_is_object(json_object_get(nic, "l2")))
			show_l2(json_object_get(nic, "l2"));
	}
	show_certificate(json_object_get(ok, "certificate"));
}
