/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hull join: one end of a segment's link on a TAP device, without a server: the server end, so that a network can be tried before
 * a server moves to it; or, with --call, the gateway's end.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include "crypto/identity_folder.h"
#include "crypto/pki/ticket.h"
#include "crypto/secret.h"
#include "crypto/tls.h"
#include "lib/l2/gateway.h"
#include "lib/l2/server.h"
#include "lib/l2/tap.h"
#include "lib/link/relay.h"
#include "lib/log.h"
#include "lib/scope.h"
#include "tools/hull/hull.h"

enum { SPENT_MAX = 4096, ACCEPTED_MAX = 8 };

struct join {
	const char *dir, *nic, *segment, *listen, *tap, *call, *server, *ticket_file;
	const char *relay[L2_RELAYS], *accept[ACCEPTED_MAX];
	unsigned relays, accepts, lanes, priority;
	uint8_t mac[FRAME_MAC];
	struct identity id;
	struct pki_id self;
	struct loop *loop;
	struct tap *device;
	struct l2_server *end;
	struct l2_gateway *gateway;
	struct ticket_spent *spent;
	SSL_CTX *tls_server, *tls_client, *tls_relay;
};

static struct join *running;	/* for signals */

/* ---- whom to believe */

static bool is_accepted(const struct join *j, const struct pki_id *id)
{
	char name[16 + PKI_NAME_MAX];

	snprintf(name, sizeof name, "%s/%s", pki_role_name(id->role), id->name);
	for (unsigned i = 0; i < j->accepts; i++)
		if (!strcmp(name, j->accept[i]))
			return true;
	return false;
}

static int check_ticket(struct join *j, const struct pki_id *peer, const char *text, struct err *err)
{
	struct ticket t;
	time_t now = time(NULL);
	int rc;

	if (!text)
		return err_set(err, -EACCES, "%s/%s came without a ticket", pki_role_name(peer->role), peer->name);
	rc = ticket_verify(text, strlen(text), j->id.ca, now, &t, err);
	if (rc)
		return rc;
	if (t.caller.role != peer->role || strcmp(t.caller.name, peer->name) || t.callee.role != j->self.role ||
	    strcmp(t.callee.name, j->self.name) || strcmp(t.nic, j->nic))
		return err_set(err, -EPERM, "the ticket is for another caller, server or card");
	return ticket_spend(j->spent, &t, now, err);
}

static int is_callee(const struct pki_id *peer, const char *server, struct err *err)
{
	if (peer->role == PKI_HV && server && !strcmp(peer->name, server))
		return 0;
	return err_set(err, -EPERM, "the certificate is of %s/%s", pki_role_name(peer->role), peer->name);
}

static int authorise(void *ctx, struct link *link, const json_t *hello, struct err *err)
{
	struct join *j = ctx;
	const char *role = json_string_value(json_object_get(hello, "role")), *name = json_string_value(json_object_get(hello, "name"));
	struct pki_id peer;
	X509 *cert;
	int rc = tls_peer(link_ssl(link), time(NULL), &peer, &cert, err);

	if (rc)
		return rc;
	/* another server of the segment, which this one called: hello is its answer */
	if (!SSL_is_server(link_ssl(link)))
		return is_callee(&peer, json_string_value(json_object_get(hello, "server")), err);
	if (!role || !name || strcmp(role, pki_role_name(peer.role)) || strcmp(name, peer.name))
		return err_set(err, -EPERM, "the certificate is of %s/%s", pki_role_name(peer.role), peer.name);
	return is_accepted(j, &peer) ? 0 : check_ticket(j, &peer, json_string_value(json_object_get(hello, "ticket")), err);
}

static int check_server(void *ctx, struct link *link, const json_t *hello, struct err *err)
{
	struct join *j = ctx;
	struct pki_id peer;
	X509 *cert;
	int rc = tls_peer(link_ssl(link), time(NULL), &peer, &cert, err);

	if (!rc && (peer.role != PKI_HV || strcmp(peer.name, j->server)))
		return err_set(err, -EPERM, "it is %s/%s, not hv/%s", pki_role_name(peer.role), peer.name, j->server);
	return rc;
}

/* ---- frames */

static bool to_tap(void *ctx, struct frame *f)
{
	tap_write(((struct join *)ctx)->device, f);
	return true;
}

static void to_tap_too(void *ctx, struct frame *f)
{
	tap_write(((struct join *)ctx)->device, f);
}

static void from_tap(void *ctx, struct frame *f)
{
	struct join *j = ctx;

	if (j->end)
		l2_server_send_frame(j->end, f);
	else if (j->gateway && frame_parse(f) == FRAME_OK)
		l2_gateway_send(j->gateway, f);
}

static void on_gone(void *ctx)
{
	loop_stop(((struct join *)ctx)->loop);
}

static void on_carrier(void *ctx, bool up)
{
	log_info("join: %s", up ? "the segment is there" : "the segment is gone");
}

/* ---- starting and stopping */

static void print_status(void *ctx)
{
	struct join *j = ctx;
	const struct tap_counters *t = tap_counters(j->device);
	json_t *status = j->end ? l2_server_status(j->end) : l2_gateway_status(j->gateway);

	if (status)
		json_object_set_new(status, "tap",
				    json_pack("{s:s s:I s:I s:I s:I s:I s:I s:I}", "device", tap_name(j->device), "in_frames",
					      (json_int_t)t->in.frames, "out_frames", (json_int_t)t->out.frames, "drop_full",
					      (json_int_t)t->drop_full, "drop_down", (json_int_t)t->drop_down, "drop_refused",
					      (json_int_t)t->drop_refused, "drop_short", (json_int_t)t->drop_short, "segmented",
					      (json_int_t)t->segmented));
	json_dumpf(status, stdout, JSON_INDENT(2));
	putchar('\n');
	fflush(stdout);
	json_decref(status);
}

static volatile sig_atomic_t want_status;

static void on_signal(int number)
{
	if (number == SIGUSR1)
		want_status = 1;
	loop_stop(running->loop);
}

static int make_tls(struct join *j, bool server, const char *alpn, SSL_CTX **ctx, struct err *err)
{
	struct tls_config c = { .server = server, .alpn = alpn, .ca = j->id.ca, .crl = j->id.crl, .cert = j->id.cert, .key = j->id.key,
		.tickets = server ? 2 : 0 };

	return tls_create(&c, ctx, err);
}

static char *read_ticket(void *ctx)
{
	struct join *j = ctx;
	char line[TICKET_TEXT + 2] = "";
	auto_fclose FILE *f = fopen(j->ticket_file, "re");

	if (!f || !fgets(line, sizeof line, f))
		return NULL;
	line[strcspn(line, "\n")] = 0;
	return *line ? strdup(line) : NULL;
}

static int start_server(struct join *j, struct err *err)
{
	static const struct l2_server_ops ops = { .frame = to_tap, .carrier = on_carrier };
	struct l2_server_config c = {
		.server = j->self.name, .nic = j->nic, .segment = j->segment, .listen = j->listen, .tls_server = j->tls_server,
		.tls_client = j->tls_client, .tls_relay = j->tls_relay, .authorise = authorise,
	};

	if (j->self.role != PKI_HV)
		return err_set(err, -EINVAL, "%s: is the identity of %s/%s; a server's (hv/…) is needed, or --call", j->dir,
			       pki_role_name(j->self.role), j->self.name);
	memcpy(c.mac, j->mac, FRAME_MAC);
	memcpy(c.relay, j->relay, sizeof c.relay);
	return l2_server_create(j->loop, &c, &ops, j, &j->end, err);
}

static int start_gateway(struct join *j, struct err *err)
{
	static const struct l2_gateway_ops ops = { .frame = to_tap_too, .active = on_carrier };
	struct l2_gateway_config c = {
		.gateway = j->self.name, .server = j->server, .nic = j->nic, .segment = j->segment, .direct = j->call, .lanes = j->lanes,
		.priority = j->priority, .tls = j->tls_client, .tls_relay = j->tls_relay, .authorise = check_server,
		.ticket = j->ticket_file ? read_ticket : NULL,
	};

	memcpy(c.relay, j->relay, sizeof c.relay);
	return l2_gateway_create(j->loop, &c, &ops, j, &j->gateway, err);
}

static int start(struct join *j, struct err *err)
{
	static const struct tap_ops ops = { .frame = from_tap, .gone = on_gone };
	int rc = identity_load(j->dir, &j->id, err);

	if (rc || (rc = cert_id(j->id.cert, &j->self, err)) || (rc = loop_create(&j->loop, err)) ||
	    (rc = make_tls(j, true, WIRE_ALPN, &j->tls_server, err)) || (rc = make_tls(j, false, WIRE_ALPN, &j->tls_client, err)) ||
	    (rc = make_tls(j, false, RELAY_ALPN, &j->tls_relay, err)))
		return rc;
	if (ticket_spent_create(SPENT_MAX, &j->spent))
		return err_set(err, -ENOMEM, "out of memory");
	rc = tap_open(j->loop, j->tap, &ops, j, &j->device, err);
	if (!rc)
		rc = j->server ? start_gateway(j, err) : start_server(j, err);
	return rc;
}

static void stop(struct join *j)
{
	l2_server_free(j->end);
	l2_gateway_free(j->gateway);
	tap_free(j->device);
	loop_free(j->loop);
	ticket_spent_free(j->spent);
	SSL_CTX_free(j->tls_server);
	SSL_CTX_free(j->tls_client);
	SSL_CTX_free(j->tls_relay);
	identity_drop(&j->id);
}

static int run(struct join *j)
{
	struct sigaction act = { .sa_handler = on_signal };
	struct err err;

	log_init("hull join", LOG_INFO);
	secret_harden();
	if (start(j, &err))
		return command_fail("join: %s", err.text);
	running = j;
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGUSR1, &act, NULL);
	if (j->end && j->listen)
		log_info("join: listens on port %u", l2_server_port(j->end));
	do {
		want_status = 0;
		if (loop_run(j->loop))
			return command_fail("join: the event loop failed");
		if (want_status)
			print_status(j);
	} while (want_status);
	print_status(j);
	return HULL_OK;
}

/* ---- options */

enum { O_IDENTITY = 256, O_NIC, O_SEGMENT, O_RELAY, O_LISTEN, O_TAP, O_MAC, O_ACCEPT, O_CALL, O_SERVER, O_LANES, O_PRIORITY,
	O_TICKET };

static const struct option options[] = {
	{ "identity", required_argument, NULL, O_IDENTITY }, { "nic", required_argument, NULL, O_NIC },
	{ "segment", required_argument, NULL, O_SEGMENT }, { "relay", required_argument, NULL, O_RELAY },
	{ "listen", required_argument, NULL, O_LISTEN }, { "tap", required_argument, NULL, O_TAP },
	{ "mac", required_argument, NULL, O_MAC }, { "accept", required_argument, NULL, O_ACCEPT },
	{ "call", required_argument, NULL, O_CALL }, { "server", required_argument, NULL, O_SERVER },
	{ "lanes", required_argument, NULL, O_LANES }, { "priority", required_argument, NULL, O_PRIORITY },
	{ "ticket", required_argument, NULL, O_TICKET }, { NULL },
};

static bool number(const char *what, unsigned max, unsigned *out)
{
	char *end;
	unsigned long n = strtoul(optarg, &end, 10);

	*out = (unsigned)n;
	if (*end || end == optarg || *optarg == '-' || n > max) {
		command_fail("join: --%s: \"%s\" is no number up to %u", what, optarg, max);
		return false;
	}
	return true;
}

static bool append(const char *what, const char **list, unsigned *count, unsigned room)
{
	if (*count >= room) {
		command_fail("join: --%s: %u are the most", what, room);
		return false;
	}
	list[(*count)++] = optarg;
	return true;
}

static bool take(struct join *j, int option)
{
	switch (option) {
	case O_IDENTITY: j->dir = optarg; return true;
	case O_NIC: j->nic = optarg; return true;
	case O_SEGMENT: j->segment = optarg; return true;
	case O_LISTEN: j->listen = optarg; return true;
	case O_TAP: j->tap = optarg; return true;
	case O_CALL: j->call = optarg; return true;
	case O_SERVER: j->server = optarg; return true;
	case O_TICKET: j->ticket_file = optarg; return true;
	case O_RELAY: return append("relay", j->relay, &j->relays, L2_RELAYS);
	case O_ACCEPT: return append("accept", j->accept, &j->accepts, ACCEPTED_MAX);
	case O_LANES: return number("lanes", PATH_LANES, &j->lanes);
	case O_PRIORITY: return number("priority", 1000000, &j->priority);
	case O_MAC:
		if (!frame_mac_parse(optarg, j->mac) && !(j->mac[0] & 1))
			return true;
		command_fail("join: --mac: \"%s\" is no MAC address of a card", optarg);
		return false;
	default: return false;
	}
}

static bool check(const struct join *j)
{
	static const uint8_t none[FRAME_MAC];
	const char *missing = !j->dir ? "--identity" : !j->tap ? "--tap" : !j->segment ? "--segment" : !j->nic ? "--nic" :
		!j->server && !memcmp(j->mac, none, FRAME_MAC) ? "--mac" :
		j->call && !j->server ? "--server" :
		!j->relays && !(j->server ? j->call : j->listen) ? (j->server ? "--call or --relay" : "--listen or --relay") : NULL;

	if (missing)
		command_fail("join: %s is needed", missing);
	else if (j->server && j->relays && !j->ticket_file)
		command_fail("join: --relay takes --ticket here");
	else
		return true;
	return false;
}

static int run_join(const struct command *self, int argc, char **argv)
{
	struct join j = { 0 };
	int option, status;

	optind = 1;
	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
		if (!take(&j, option))
			return command_usage(self);
	if (optind < argc || !check(&j))
		return command_usage(self);
	if (!j.lanes)
		j.lanes = 2;
	status = run(&j);
	stop(&j);
	return status;
}

const struct command join_commands[] = {
	{ "join", "--identity DIR --nic NAME --segment NAME --tap DEVICE --mac MAC --listen ADDRESS:PORT|--relay HOST:PORT …",
		"take a server's place in its segment, on a TAP device",
		"  --identity DIR       who this is: a folder that hull pki enrol wrote, of hv/NAME\n"
		"  --nic NAME           the card's name in the placement\n"
		"  --segment NAME       the segment that it belongs to\n"
		"  --tap DEVICE         a TAP device: ip tuntap add dev DEVICE mode tap vnet_hdr\n"
		"  --mac MAC            the card's address; give the TAP device the same\n"
		"  --listen HOST:PORT   take direct connections\n"
		"  --relay HOST:PORT    park at this relay; up to 4 times\n"
		"  --accept ROLE/NAME   who may come without a ticket (lcg/gw1); up to 8 times\n"
		"As the gateway's end, with an identity of lcg/NAME:\n"
		"  --server NAME        call this server\n"
		"  --call HOST:PORT     directly, or by --relay\n"
		"  --ticket FILE        its first line is read anew for each connection\n"
		"  --lanes N            connections; default 2\n"
		"  --priority N         against other gateways; default 0\n"
		"It runs until SIGINT or SIGTERM. SIGUSR1 prints its status, JSON, as does the end.",
		run_join },
	{ NULL },
};
