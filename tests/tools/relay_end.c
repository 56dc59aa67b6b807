/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ends of a relay, for tests. Each talks TLS with the other end through the pipe, hull-l2/1 by name; what goes through is
 * the caller's ticket and a newline, which the called end checks as hv does, then bytes that it sends back.
 *
 * relay_end park DIR RELAY SERVER NIC [COUNT]   parks COUNT sockets (1) and again for each that was called; DEAF=1: reads nothing
 *                                               after the ticket; HOLD=1: parks, and is never called
 * relay_end call DIR RELAY SERVER TICKET BYTES  calls with the ticket in that file; BYTES go there and back; PUSH=1: looks
 *                                               whether nobody takes them any more
 * relay_end sign STORE KEYFILE GATEWAY SERVER RELAY SECONDS     prints a ticket for net0, as made so many seconds from now
 * Lines on standard output: "parked", "called ROLE/NAME", "reached hv/NAME", "ok N", "stalled N", "refused CODE text".
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include "crypto/identity_folder.h"
#include "crypto/pki/policy.h"
#include "crypto/tls.h"
#include "lib/ctl.h"
#include "lib/link/link.h"
#include "lib/link/relay.h"
#include "lib/scope.h"

#define MS 1000000ull
enum { AT_ONCE = 32 };
static const char marker[] = "this line is for the other end only ";

static struct loop *loop;
static struct identity id;
static SSL_CTX *to_relay, *as_client, *as_server;
static const char *relay, *server, *nic;
static struct ticket_spent *spent;
static bool deaf, hold, push;
static struct place *places;	/* of the end that parks */
static int places_count, begun;

static void say(const char *word, int code, const char *text)
{
	printf("%s %s %s\n", word, ctl_code_name(code), text);
	fflush(stdout);
}

static void die(int code, const char *text)
{
	say("refused", code, text);
	exit(1);
}

static void make_contexts(const char *dir)
{
	struct tls_config c = { .alpn = RELAY_ALPN };
	struct err err = { .text = "" };

	if (identity_load(dir, &id, &err) || loop_create(&loop, &err))
		die(err.code, err.text);
	c.ca = id.ca;
	c.cert = id.cert;
	c.key = id.key;
	if (tls_create(&c, &to_relay, &err))
		die(err.code, err.text);
	c.alpn = "hull-l2/1";
	if (tls_create(&c, &as_client, &err))
		die(err.code, err.text);
	c.server = true;
	if (tls_create(&c, &as_server, &err) || ticket_spent_create(1000, &spent))
		die(err.code, err.text);
}

/* ---- the end that is called */

struct place { struct relay_client *client; struct loop_watch *watch; struct link *link; bool known; struct pki_id peer; };

static void park(struct place *p);

static void called_ready(void *ctx)
{
	struct place *p = ctx;
	struct err err;
	X509 *cert;

	if (tls_peer(link_ssl(p->link), time(NULL), &p->peer, &cert, &err))
		say("refused", err.code, err.text);
	else
		printf("called %s/%s\n", pki_role_name(p->peer.role), p->peer.name);
	fflush(stdout);
}

/* As hv does: the ticket is the authority's, the caller's, for us, and new. */
static int check(struct place *p, const uint8_t *text, size_t len, struct err *err)
{
	struct ticket t;
	int rc = ticket_verify((const char *)text, len, id.ca, time(NULL), &t, err);

	if (!rc && (t.caller.role != p->peer.role || strcmp(t.caller.name, p->peer.name)))
		rc = err_set(err, -EPERM, "ticket: is somebody else's");
	if (!rc && (strcmp(t.callee.name, server) || strcmp(t.nic, nic)))
		rc = err_set(err, -EPERM, "ticket: is for somebody else");
	return rc ? rc : ticket_spend(spent, &t, time(NULL), err);
}

static void over(struct place *p)
{
	link_free(p->link);
	p->link = NULL;
	p->known = false;
	park(p);
}

static size_t called_read(void *ctx, const uint8_t *data, size_t len)
{
	struct place *p = ctx;
	const uint8_t *end;
	struct err err;

	if (p->known) {
		if (!link_write(p->link, data, len))
			return len;
		link_pause(p->link, true);
		return 0;
	}
	end = memchr(data, '\n', len);
	if (!end)
		return 0;
	if (check(p, data, (size_t)(end - data), &err)) {
		say("refused", err.code, err.text);
		over(p);
		return len;
	}
	p->known = true;
	if (deaf)
		link_pause(p->link, true);
	return (size_t)(end - data) + 1;
}

static void called_writable(void *ctx)
{
	if (!deaf)
		link_pause(((struct place *)ctx)->link, false);
}

static void called_end(void *ctx)
{
	link_end(((struct place *)ctx)->link);
}

static void called_closed(void *ctx, const struct err *why)
{
	say("closed", why->code, why->text);
	over(ctx);
}

static const struct link_ops called = { called_ready, called_read, called_writable, called_end, called_closed };

/* A relay that went says nothing: TLS would answer that with an alert. */
static void on_first_byte(void *ctx, int fd, uint32_t events)
{
	struct link_config c = { .tls = as_server, .server = true, .alpn = "hull-l2/1", .idle_s = deaf ? 0 : 60 };
	struct place *p = ctx;
	struct err err;
	char byte;

	loop_watch_remove(p->watch);
	p->watch = NULL;
	if (recv(fd, &byte, 1, MSG_PEEK) <= 0) {
		say("closed", -ECONNRESET, "while parked");
		close(fd);
		park(p);
	} else if (link_create(loop, fd, &c, &called, p, &p->link, &err)) {
		die(err.code, err.text);
	}
}

static void on_parked(void *ctx, int fd, const struct err *why)
{
	struct place *p = ctx;

	p->client = NULL;
	if (hold && (why->code == -ETIMEDOUT || why->code == -ECONNRESET)) {	/* late, on a busy machine: as hv, again */
		park(p);
		return;
	}
	if (why->code)
		die(why->code, why->text);
	if (!hold && loop_watch_add(loop, fd, EPOLLIN, on_first_byte, p, &p->watch))
		die(-ENOMEM, "cannot watch a socket");
	printf("parked\n");
	fflush(stdout);
	if (begun < places_count)
		park(&places[begun++]);
}

static void park(struct place *p)
{
	struct err err;

	if (relay_park(loop, relay, to_relay, server, nic, on_parked, p, &p->client, &err))
		die(err.code, err.text);
}

/* ---- the end that calls */

struct call {
	struct relay_client *client;
	struct link *link;
	struct loop_timer *timer;
	char *ticket;
	size_t sent, got, goal, seen;
};

static char byte_at(size_t at)
{
	return marker[at % (sizeof marker - 1)];
}

static void fill(struct call *c)
{
	char piece[16384];

	while (c->sent < c->goal) {
		size_t n = c->goal - c->sent < sizeof piece ? c->goal - c->sent : sizeof piece;

		for (size_t i = 0; i < n; i++)
			piece[i] = byte_at(c->sent + i);
		if (link_write(c->link, piece, n))
			return;
		c->sent += n;
	}
}

static void call_ready(void *ctx)
{
	struct call *c = ctx;
	struct pki_id peer;
	struct err err;
	X509 *cert;

	if (tls_peer(link_ssl(c->link), time(NULL), &peer, &cert, &err))
		die(err.code, err.text);
	printf("reached %s/%s\n", pki_role_name(peer.role), peer.name);
	if (peer.role != PKI_HV || strcmp(peer.name, server))
		die(-EKEYREJECTED, "the other end is another server");
	if (link_write(c->link, c->ticket, strlen(c->ticket)) || link_write(c->link, "\n", 1))
		die(-EIO, "cannot write");
	fill(c);
}

static size_t call_read(void *ctx, const uint8_t *data, size_t len)
{
	struct call *c = ctx;

	for (size_t i = 0; i < len; i++)
		if ((char)data[i] != byte_at(c->got + i))
			die(-EBADMSG, "what came back is something else");
	c->got += len;
	if (c->got == c->goal)
		link_end(c->link);
	return len;
}

static void call_writable(void *ctx)
{
	fill(ctx);
}

static void call_end(void *ctx)
{
	struct call *c = ctx;

	if (c->got != c->goal)
		die(-EPIPE, "the other end has ended");
}

static void call_closed(void *ctx, const struct err *why)
{
	struct call *c = ctx;

	if (why->code)
		die(why->code, why->text);
	printf("ok %zu\n", c->got);
	exit(0);
}

static const struct link_ops calling = { call_ready, call_read, call_writable, call_end, call_closed };

/* Nothing moved since the last look. */
static void on_look(void *ctx)
{
	struct call *c = ctx;

	if (c->sent && c->sent == c->seen) {
		printf("stalled %zu\n", c->sent);
		fflush(stdout);
		return;
	}
	c->seen = c->sent;
	loop_timer_arm(c->timer, loop_now_ns() + 500 * MS);
}

static void on_called(void *ctx, int fd, const struct err *why)
{
	struct link_config config = { .tls = as_client, .alpn = "hull-l2/1" };
	struct call *c = ctx;
	struct err err;

	c->client = NULL;
	if (why->code)
		die(why->code, why->text);
	if (link_create(loop, fd, &config, &calling, c, &c->link, &err) || loop_timer_create(loop, on_look, c, &c->timer))
		die(err.code, err.text);
	if (push)
		loop_timer_arm(c->timer, loop_now_ns() + 500 * MS);
}

static char *read_ticket(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = calloc(1, TICKET_TEXT + 2);

	if (!f || !fgets(text, TICKET_TEXT + 2, f))
		die(-ENOENT, path);
	fclose(f);
	text[strcspn(text, "\n")] = 0;
	return text;
}

/* ---- what hull-lma would never sign: tickets of other times */

static int sign(char **argv)
{
	struct keystore_unlock unlock = { 0 };
	struct ticket t = { .caller.role = PKI_LCG, .callee.role = PKI_HV, .nic = "net0" };
	char text[TICKET_TEXT], way[4096];
	struct keystore *ks = NULL;
	struct ca *ca = NULL;
	struct err err = { .text = "" };

	snprintf(way, sizeof way, "keyfile:%s", argv[3]);
	snprintf(t.caller.name, sizeof t.caller.name, "%s", argv[4]);
	snprintf(t.callee.name, sizeof t.callee.name, "%s", argv[5]);
	snprintf(t.relay, sizeof t.relay, "%s", argv[6]);
	if (keystore_unlock_parse(way, false, &unlock, &err) || keystore_open(argv[2], &unlock, &ks, &err) || ca_open(ks, &ca, &err) ||
	    policy_ticket(ca, &t.caller, &t, TICKET_LIFE_S, time(NULL) + atol(argv[7]), text, &err))
		die(err.code, err.text);
	puts(text);
	ca_free(ca);
	keystore_close(ks);
	secret_destroy(&unlock.secret);
	return 0;
}

/* ---- */

int main(int argc, char **argv)
{
	static struct call call;
	struct rlimit limit;
	struct err err;

	if (argc < 6)
		return 2;
	if (!strcmp(argv[1], "sign"))
		return argc == 8 ? sign(argv) : 2;
	signal(SIGPIPE, SIG_IGN);
	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	deaf = getenv("DEAF");
	hold = getenv("HOLD");
	push = getenv("PUSH");
	make_contexts(argv[2]);
	relay = argv[3];
	server = argv[4];
	if (!strcmp(argv[1], "park")) {
		nic = argv[5];
		places_count = argc > 6 ? atoi(argv[6]) : 1;
		places = calloc((size_t)places_count, sizeof *places);
		while (begun < places_count && begun < AT_ONCE)
			park(&places[begun++]);
	} else {
		call.ticket = read_ticket(argv[5]);
		call.goal = argc > 6 ? strtoul(argv[6], NULL, 10) : 100;
		if (relay_call(loop, relay, to_relay, call.ticket, on_called, &call, &call.client, &err))
			die(err.code, err.text);
	}
	return loop_run(loop) ? 1 : 0;
}
