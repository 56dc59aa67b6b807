/* SPDX-License-Identifier: Apache-2.0 */
/* hull relay …: asks a running hull-csc by its control socket. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "lib/scope.h"
#include "tools/hull/control.h"
#include "tools/hull/hull.h"

static void free_json(json_t **o) { json_decref(*o); }

/* A list that comes in pieces, appended to status under its name. */
static int add_list(int fd, const char *what, json_t *status, struct err *err)
{
	json_t *all = json_array();
	size_t n;
	int rc = 0;

	if (!all)
		return err_set(err, -ENOMEM, "out of memory");
	do {
		json_t *ok = NULL;

		rc = control_ask(fd, json_pack("{s:s, s:I}", "do", what, "from", (json_int_t)json_array_size(all)), &ok, err);
		n = json_array_size(json_object_get(ok, what));
		if (!rc && json_array_extend(all, json_object_get(ok, what)))
			rc = err_set(err, -EPROTO, "the answer holds no list \"%s\"", what);
		json_decref(ok);
	} while (!rc && n);
	if (!rc && json_object_set(status, what, all))
		rc = err_set(err, -ENOMEM, "out of memory");
	json_decref(all);
	return rc;
}

/* ---- for people */

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static long long number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static const char *stamp(long long t, char out[32])
{
	time_t when = (time_t)t;
	struct tm tm;

	if (!gmtime_r(&when, &tm) || !strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		strcpy(out, "?");
	return out;
}

static void show(const json_t *status, const json_t *totals)
{
	const json_t *o, *counters = json_object_get(status, "counters");
	const char *name;
	char since[32];
	json_t *n;
	size_t i;

	printf("relay     csc/%s on %s, since %s\n", text(status, "name"), text(status, "listen"), stamp(number(status, "since"), since));
	printf("parked    %lld sockets of %lld servers\n", number(totals, "parked"), number(status, "servers"));
	printf("relayed   %lld pairs, %lld bytes to servers, %lld to callers\n", number(totals, "relayed"),
		number(status, "to_server_bytes"), number(status, "to_caller_bytes"));
	printf("waiting   %lld calls, %lld connections in TLS\n", number(status, "waiting"), number(status, "connections"));
	json_array_foreach(json_object_get(status, "relayed"), i, o)
		printf("pair      %s to %s of hv/%s, since %s, %lld bytes there, %lld back\n", text(o, "caller"), text(o, "nic"),
			text(o, "server"), stamp(number(o, "since"), since), number(o, "to_server_bytes"), number(o, "to_caller_bytes"));
	json_array_foreach(json_object_get(status, "parked"), i, o)
		printf("socket    %s of hv/%s, since %s\n", text(o, "nic"), text(o, "server"), stamp(number(o, "since"), since));
	json_object_foreach((json_t *)counters, name, n)
		if (json_integer_value(n))
			printf("counter   %s %lld\n", name, (long long)json_integer_value(n));
}

static int run_status(const struct command *c, int argc, char **argv)
{
	cleanup(free_json) json_t *status = NULL, *totals = NULL;
	auto_close int fd = -1;
	struct err err = { .text = "out of memory" };
	bool json = false;
	int n = command_arguments(c, argc, argv, &json);

	if (n < 0)
		return HULL_TROUBLE;
	if (n != 1)
		return command_usage(c);
	if (control_dial(argv[1], "hull-csc", &fd, &err) || control_ask(fd, json_pack("{s:s}", "do", "status"), &status, &err))
		return command_fail("%s", err.text);
	totals = json_pack("{s:O, s:O}", "parked", json_object_get(status, "parked"), "relayed", json_object_get(status, "relayed"));
	if (!totals || add_list(fd, "parked", status, &err) || add_list(fd, "relayed", status, &err))
		return command_fail("%s", err.text);
	if (!json) {
		show(status, totals);
		return HULL_OK;
	}
	if (json_dumpf(status, stdout, JSON_INDENT(2)))
		return command_fail("out of memory");
	putchar('\n');
	return HULL_OK;
}

const struct command relay_commands[] = {
	{ "relay status", "SOCKET [--json]", "what a running hull-csc has parked and relays",
		"  SOCKET           what hull-csc was given with --control\n  --json           as JSON\n", run_status },
	{ NULL },
};
