/* SPDX-License-Identifier: Apache-2.0 */
/* hull server …: asks a running hull-hv by its control socket. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "lib/ctl.h"
#include "lib/scope.h"
#include "tools/hull/control.h"
#include "tools/hull/hull.h"
#include "tools/hull/server.h"

/* ---- the link */

static int ask(const char *path, json_t *request, json_t **ok, struct err *err)
{
	auto_close int fd = -1;
	int r = control_dial(path, "hull-hv", &fd, err);

	if (!r)
		return control_ask(fd, request, ok, err);
	json_decref(request);
	return r;
}

static int print_json(json_t *json)
{
	int rc = json_dumpf(json, stdout, JSON_INDENT(2));

	putchar('\n');
	return rc ? command_fail("out of memory") : HULL_OK;
}

/* One request; what follows the socket in argv stands in it already. Prints the answer with --json, or hands it to show. */
static int simple(const char *path, json_t *request, bool json, void (*show)(const json_t *ok))
{
	struct err err = { 0 };
	json_t *ok = NULL;
	int status = HULL_OK;

	if (ask(path, request, &ok, &err))
		return command_fail("%s", err.text);
	if (json)
		status = print_json(ok);
	else if (show)
		show(ok);
	json_decref(ok);
	return status;
}

/* ---- words for people */

static json_int_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void print_bytes(json_int_t n)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double v = (double)n;
	unsigned u = 0;

	for (; v >= 10240 && u < 4; u++)
		v /= 1024;
	printf("%.0f %s", v, units[u]);
}

static void show_status(const json_t *ok)
{
	json_int_t s = number(ok, "uptime_ms") / 1000;
	const char *kind;
	json_t *n;

	printf("server   %s\nprocess  %lld\nuptime   %lld d %02lld:%02lld:%02lld\nresets   %lld\nexits   ", text(ok, "hostname"),
		(long long)number(ok, "pid"), (long long)s / 86400, (long long)s / 3600 % 24, (long long)s / 60 % 60, (long long)s % 60,
		(long long)number(ok, "resets"));
	json_object_foreach(json_object_get(ok, "exits"), kind, n)
		printf(" %s %lld", kind, (long long)json_integer_value(n));
	printf("\ndisks    %zu\n", json_array_size(json_object_get(ok, "disks")));
}

static void show_disks(const json_t *ok)
{
	static const char *const ops[] = { "read", "write", "flush", "discard", "zero" };
	const json_t *disk;
	size_t i;

	printf("%-12s %-8s %12s %12s %8s %9s %9s %9s\n", "disk", "", "requests", "bytes", "errors", "p50 us", "p99 us", "max us");
	json_array_foreach(json_object_get(ok, "disks"), i, disk) {
		for (unsigned o = 0; o < array_len(ops); o++) {
			const json_t *m = json_object_get(disk, ops[o]);

			if (o > 1 && !number(m, "ops"))
				continue;
			printf("%-12s %-8s %12lld ", o ? "" : text(disk, "name"), ops[o], (long long)number(m, "ops"));
			printf("%12lld %8lld %9lld %9lld %9lld\n", (long long)number(m, "bytes"), (long long)number(m, "errors"),
				(long long)number(m, "p50_us"), (long long)number(m, "p99_us"), (long long)number(m, "max_us"));
		}
	}
}

static double percent(json_int_t part, json_int_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void show_volumes(const json_t *ok)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(ok, "volumes"), i, v) {
		const json_t *r = json_object_get(v, "rotation"), *s = json_object_get(v, "snapshot");

		printf("%s: %s, ", text(v, "name"), text(v, "path"));
		print_bytes(number(v, "size"));
		printf(", %s\n", json_is_true(json_object_get(v, "encrypted")) ? "encrypted" : "plain");
		if (json_is_object(r))
			printf("  rotation %s: %.1f %%%s%s\n", text(r, "phase"), percent(number(r, "done"), number(r, "total")),
				*text(r, "text") ? ": " : "", text(r, "text"));
		if (json_is_object(s)) {
			printf("  snapshot %s: ", text(s, "store"));
			print_bytes(number(s, "used"));
			printf(", %.1f %% of the volume kept%s%s\n", percent(number(s, "kept"), number(s, "clusters")),
				*text(s, "broken") ? "; broken: " : "", text(s, "broken"));
		}
	}
}

static int run_look(const struct command *self, int argc, char **argv)
{
	bool json = false, volumes = !strcmp(argv[0], "volumes"), disks = !strcmp(argv[0], "disks");
	int n = command_arguments(self, argc, argv, &json);

	if (n != 1)
		return n < 0 ? HULL_TROUBLE : command_usage(self);
	return simple(argv[1], json_pack("{ss}", "do", volumes ? "volumes" : "status"), json,
		volumes ? show_volumes : disks ? show_disks : show_status);
}

static int run_net(const struct command *self, int argc, char **argv)
{
	bool json = false;
	int n = command_arguments(self, argc, argv, &json);
	json_t *request;

	if (n != 1 && n != 2)
		return n < 0 ? HULL_TROUBLE : command_usage(self);
	request = n == 1 ? json_pack("{ss}", "do", "net") : json_pack("{ss ss}", "do", "net", "nic", argv[2]);
	return simple(argv[1], request, json, server_show_net);
}

static int run_net_retry(const struct command *self, int argc, char **argv)
{
	int n = command_arguments(self, argc, argv, NULL);

	if (n != 1)
		return n < 0 ? HULL_TROUBLE : command_usage(self);
	return simple(argv[1], json_pack("{ss}", "do", "net-retry"), false, NULL);
}

/* ---- rotation: an answer, then events until it ends */

struct follow { int fd; size_t len; uint8_t in[CTL_HEADER + CTL_MAX]; };

static int send_request(int fd, json_t *request, struct err *err)
{
	char *data = NULL;
	size_t len, at = 0;
	int r = request && !json_object_set_new(request, "id", json_integer(1)) ? ctl_text(request, &data, &len) : -ENOMEM;

	json_decref(request);
	while (!r && at < len) {
		ssize_t n = send(fd, data + at, len - at, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			r = -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	if (data)
		ctl_text_free(data, len);
	return r ? err_set(err, r, "request: %s", strerror(-r)) : 0;
}

static int next_message(struct follow *f, json_t **msg, struct err *err)
{
	for (;;) {
		size_t used;
		ssize_t n;
		int r = ctl_parse(f->in, f->len, &used, msg, err);

		if (r)
			return r;
		if (used) {
			f->len -= used;
			memmove(f->in, f->in + used, f->len);
			return 0;
		}
		n = recv(f->fd, f->in + f->len, sizeof f->in - f->len, 0);
		if (!n)
			return err_set(err, -EPIPE, "hull-hv closed the connection; the rotation goes on when it is started again");
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return err_set(err, -errno, "%s", strerror(errno));
		f->len += n > 0 ? (size_t)n : 0;
	}
}

static void show_progress(const json_t *s, bool terminal)
{
	json_int_t done = number(s, "done"), total = number(s, "total"), rate = number(s, "rate"), left = rate ? (total - done) / rate : 0;

	printf("%s%5.1f %%  %lld of %lld MiB", terminal ? "\r" : "", percent(done, total), (long long)done >> 20, (long long)total >> 20);
	if (rate)
		printf("  %.1f MiB/s  %lld:%02lld:%02lld left", (double)rate / 1048576, (long long)left / 3600, (long long)left / 60 % 60,
			(long long)left % 60);
	printf("%s", terminal ? "   " : "\n");
	fflush(stdout);
}

/* True at the end of the rotation; *status is then what the command ends with. */
static bool ended(const json_t *s, bool json, bool terminal, int *status)
{
	const char *phase = text(s, "phase");

	if (json) {
		json_dumpf(s, stdout, JSON_COMPACT);
		putchar('\n');
		fflush(stdout);
	} else if (number(s, "total")) {
		show_progress(s, terminal);
	}
	if (strcmp(phase, "done") && strcmp(phase, "stopped") && strcmp(phase, "failed"))
		return false;
	if (terminal && !json)
		putchar('\n');
	*status = !strcmp(phase, "done") ? HULL_OK : !strcmp(phase, "stopped") ?
		command_fail("the rotation was stopped; start it again to go on") : command_fail("%s", text(s, "text"));
	return true;
}

static int follow(const char *path, json_t *request, bool json, int *status, struct err *err)
{
	auto_free struct follow *f = calloc(1, sizeof *f);
	auto_close int fd = -1;
	bool over = false, answered = false;
	int r = f ? control_dial(path, "hull-hv", &fd, err) : err_set(err, -ENOMEM, "out of memory");

	if (r) {
		json_decref(request);
		return r;
	}
	f->fd = fd;
	r = send_request(fd, request, err);
	while (!r && !over) {
		json_t *msg = NULL, *ok = NULL;

		r = next_message(f, &msg, err);
		if (!r && json_object_get(msg, "event")) {
			over = ended(msg, json, isatty(STDOUT_FILENO), status);
		} else if (!r) {
			r = answered ? err_set(err, -EPROTO, "an answer that nobody asked for") : ctl_answer(msg, 1, &ok, err);
			answered = true;
		}
		json_decref(ok);
		json_decref(msg);
	}
	return r;
}

static int run_rotate(const struct command *self, int argc, char **argv)
{
	bool json = false;
	int n = command_arguments(self, argc, argv, &json), status = HULL_OK;
	struct err err = { 0 };

	if (n != 2)
		return n < 0 ? HULL_TROUBLE : command_usage(self);
	if (follow(argv[1], json_pack("{ss ss}", "do", "volume-rotate", "volume", argv[2]), json, &status, &err))
		return command_fail("%s", err.text);
	return status;
}

/* ---- the rest */

static int run_rotate_stop(const struct command *self, int argc, char **argv)
{
	int n = command_arguments(self, argc, argv, NULL);

	if (n != 2)
		return n < 0 ? HULL_TROUBLE : command_usage(self);
	return simple(argv[1], json_pack("{ss ss}", "do", "volume-rotate-stop", "volume", argv[2]), false, NULL);
}

static void show_created(const json_t *ok)
{
	if (!json_is_true(json_object_get(ok, "placed")))
		printf("Put the store into the placement (volume.NAME.snapshot = %s): a start without it would end the snapshot.\n",
			text(ok, "store"));
}

static void show_dropped(const json_t *ok)
{
	if (json_is_true(json_object_get(ok, "placed")))
		printf("Take volume.NAME.snapshot out of the placement, then delete the store, which is empty now.\n");
}

static int run_snapshot(const struct command *self, int argc, char **argv)
{
	bool create = !strcmp(argv[0], "create");
	int n = command_arguments(self, argc, argv, NULL);
	json_t *request;

	if (n != 2 && (n != 3 || !create))
		return n < 0 ? HULL_TROUBLE : command_usage(self);
	request = json_pack("{ss ss}", "do", create ? "snapshot-create" : "snapshot-drop", "volume", argv[2]);
	if (n == 3 && request && json_object_set_new(request, "store", json_string(argv[3]))) {
		json_decref(request);
		request = NULL;
	}
	return simple(argv[1], request, false, create ? show_created : show_dropped);
}

static int run_limit(const struct command *self, int argc, char **argv)
{
	int n = command_arguments(self, argc, argv, NULL);

	if (n != 3)
		return n < 0 ? HULL_TROUBLE : command_usage(self);
	return simple(argv[1], json_pack("{ss ss ss}", "do", "disk-limit", "disk", argv[2], "rate", argv[3]), false, NULL);
}

static int run_power(const struct command *self, int argc, char **argv)
{
	int n = command_arguments(self, argc, argv, NULL);

	if (n != 1)
		return n < 0 ? HULL_TROUBLE : command_usage(self);
	return simple(argv[1], json_pack("{ss}", "do", "power-press"), false, NULL);
}

#define SOCKET_HELP "SOCKET is what hull-hv was given with --control. Exit status: 0 fine, 2 trouble."

const struct command server_commands[] = {
	{ "server status", "SOCKET [--json]", "say how a running server is", SOCKET_HELP, run_look },
	{ "server disks", "SOCKET [--json]", "count what the server asked of its disks, and how long it took", SOCKET_HELP, run_look },
	{ "server volumes", "SOCKET [--json]", "list volumes, their rotations and snapshots", SOCKET_HELP, run_look },
	{ "server net", "SOCKET [NIC] [--json]", "show NICs, what they end in, and how their links are",
		"With NIC every counter of its link, and the other servers that it reaches directly.\n" SOCKET_HELP, run_net },
	{ "server net-retry", "SOCKET", "ask for the certificate of L2 links again",
		"After a token was refused: when a fresh one stands where the placement's lma.token says.\n" SOCKET_HELP, run_net_retry },
	{ "server rotate", "SOCKET VOLUME [--json]", "rotate a volume's key while the server runs, or join a rotation",
		"Shows progress until it ends; interrupting this command leaves the rotation running. With --json one object a line.\n"
		"Exit status: 0 done, 2 stopped or trouble.", run_rotate },
	{ "server rotate-stop", "SOCKET VOLUME", "stop a rotation; it can be gone on with", SOCKET_HELP, run_rotate_stop },
	{ "server snapshot create", "SOCKET VOLUME [STORE]", "keep the volume's present state in a store from now on",
		"STORE is a path on hull-hv's machine, by default the placement's volume.NAME.snapshot.", run_snapshot },
	{ "server snapshot drop", "SOCKET VOLUME", "stop keeping and delete the store", SOCKET_HELP, run_snapshot },
	{ "server limit", "SOCKET DISK RATE", "change a disk's rate limit",
		"RATE is as in the placement (\"200M/s 5000/s\"), or none. The disk must have been started with a rate.", run_limit },
	{ "server power", "SOCKET", "press the power button", SOCKET_HELP, run_power },
	{ NULL },
};
