/* SPDX-License-Identifier: Apache-2.0 */
/* Servers through a relay: they find each other by it, and one that breaks its word costs them little. */
#include "lib/ctl.h"
#include "lib/l2/gateway.h"
#include "lib/l2/server.h"
#include "lib/link/dial.h"
#include "tests/unit/csc/csc_rig.h"
#include "tests/unit/lib/l2/l2_rig.h"

static const uint8_t mac_a[6] = { 0x52, 0x54, 0, 0, 0, 1 }, mac_b[6] = { 0x52, 0x54, 0, 0, 0, 2 };
enum { TICKETS = 8 };

struct end { struct l2_server *server; SSL_CTX *in, *out, *relay; struct l2_gateway *gateway; SSL_CTX *gate_tls; unsigned frames; };
struct rig { struct csc_rig csc; struct end a, b; };

static bool on_nic(void *ctx, struct frame *f)
{
	((struct end *)ctx)->frames++;
	return true;
}

static SSL_CTX *context(struct csc_rig *r, enum pki_role role, const char *name, bool server, const char *alpn)
{
	struct identity id = csc_rig_identity(&r->pki, role, name);
	struct tls_config c = { .server = server, .alpn = alpn, .ca = id.ca, .cert = id.cert, .key = id.key };
	SSL_CTX *tls;

	CU_ASSERT_FATAL(!tls_create(&c, &tls, NULL));
	identity_drop(&id);
	return tls;
}

/* The certificate is of whom HELLO names. */
static int authorise(void *ctx, struct link *link, const json_t *hello, struct err *err)
{
	const char *role = json_string_value(json_object_get(hello, "role")), *name = json_string_value(json_object_get(hello, "name"));
	struct pki_id id;
	X509 *cert;
	int rc = tls_peer(link_ssl(link), time(NULL), &id, &cert, err);

	/* the called end's answer names no role */
	if (!rc && role && (strcmp(role, pki_role_name(id.role)) || strcmp(name, id.name)))
		rc = err_set(err, -EPERM, "it is somebody else");
	return rc;
}

static void open_end(struct rig *r, struct end *e, const char *name, const uint8_t mac[6], const char *relay)
{
	static const struct l2_server_ops ops = { .frame = on_nic };
	struct l2_server_config c = { .server = name, .nic = "net0", .segment = "office", .listen = "127.0.0.1:0", .relay = { relay },
		.authorise = authorise };

	memcpy(c.mac, mac, 6);
	c.tls_server = e->in = context(&r->csc, PKI_HV, name, true, WIRE_ALPN);
	c.tls_client = e->out = context(&r->csc, PKI_HV, name, false, WIRE_ALPN);
	c.tls_relay = e->relay = context(&r->csc, PKI_HV, name, false, RELAY_ALPN);
	CU_ASSERT_FATAL(!l2_server_create(r->csc.loop, &c, &ops, e, &e->server, NULL));
}

static void open_gate(struct rig *r, struct end *e, const char *server)
{
	static const struct l2_gateway_ops ops = { 0 };
	char address[32];
	struct l2_gateway_config c = { .gateway = "gw1", .server = server, .nic = "net0", .segment = "office", .direct = address,
		.lanes = 1 };

	snprintf(address, sizeof address, "127.0.0.1:%u", l2_server_port(e->server));
	c.tls = e->gate_tls = context(&r->csc, PKI_LCG, "gw1", false, WIRE_ALPN);
	CU_ASSERT_FATAL(!l2_gateway_create(r->csc.loop, &c, &ops, e, &e->gateway, NULL));
}

static void end_drop(struct end *e)
{
	l2_gateway_free(e->gateway);
	l2_server_free(e->server);
	SSL_CTX_free(e->in);
	SSL_CTX_free(e->out);
	SSL_CTX_free(e->relay);
	SSL_CTX_free(e->gate_tls);
}

static bool both_serve(void *ctx)
{
	struct rig *r = ctx;

	return l2_gateway_is_active(r->a.gateway) && l2_gateway_is_active(r->b.gateway);
}

/* The servers have no address of their own for each other. */
static void introduce(struct rig *r, struct end *to, const char *to_name, const char *other, const char *other_mac)
{
	json_t *tickets = json_array(), *peers;
	char text[TICKET_TEXT];

	for (int i = 0; i < TICKETS; i++) {
		csc_rig_ticket_of(&r->csc.pki, PKI_HV, to_name, other, "csc1", time(NULL), text);
		json_array_append_new(tickets, json_string(text));
	}
	peers = json_pack("{s:[{s:s s:s s:[s] s:n s:[s] s:o}]}", "peers", "server", other, "nic", "net0", "macs", other_mac, "direct",
			  "relay", csc_address(r->csc.csc), "tickets", tickets);
	check(!l2_gateway_send_peers(to->gateway, peers));
	json_decref(peers);
}

static void send_one(struct end *from, const uint8_t *to, const uint8_t *mac)
{
	uint8_t buf[FRAME_HEADROOM + 200];
	struct frame f = rig_frame(buf, to, mac, 1, 200);

	l2_server_send_frame(from->server, &f);
}

static bool way_open(void *ctx)
{
	struct rig *r = ctx;
	json_t *status = l2_server_status(r->a.server), *peer = json_array_get(json_object_get(status, "peers"), 0);
	bool open = json_is_true(json_object_get(json_array_get(json_object_get(peer, "ways"), 0), "open"));

	json_decref(status);
	return open;
}

static bool b_has(void *ctx)
{
	struct rig *r = ctx;

	if (!r->b.frames)
		send_one(&r->a, mac_b, mac_a);
	return r->b.frames;
}

static bool a_has(void *ctx)
{
	struct rig *r = ctx;

	if (!r->a.frames)
		send_one(&r->b, mac_a, mac_b);
	return r->a.frames;
}

static void test_peers(void)
{
	struct csc_config c = csc_rig_config();
	struct l2_gateway_counters counters;
	struct rig r = { 0 };

	csc_rig_setup(&r.csc, &c);
	open_end(&r, &r.a, "dc-a", mac_a, NULL);
	open_end(&r, &r.b, "dc-b", mac_b, csc_address(r.csc.csc));
	open_gate(&r, &r.a, "dc-a");
	open_gate(&r, &r.b, "dc-b");
	CU_ASSERT_FATAL(loop_until(r.csc.loop, both_serve, &r));
	introduce(&r, &r.b, "dc-b", "dc-a", "52:54:00:00:00:01");
	introduce(&r, &r.a, "dc-a", "dc-b", "52:54:00:00:00:02");
	check_or_return(loop_until(r.csc.loop, way_open, &r));
	check(loop_until(r.csc.loop, b_has, &r));
	check(loop_until(r.csc.loop, a_has, &r));
	check_eq(csc_counters(r.csc.csc)->calls, 1);
	l2_gateway_counters(r.a.gateway, &counters);
	check_eq(counters.paths.in.frames, 0);
	end_drop(&r.a);
	end_drop(&r.b);
	(void)csc_rig_drop(&r.csc);
}

/* ---- relays that break their word */

struct liar { struct loop *loop; SSL_CTX *tls; int fd; struct loop_watch *watch; bool garbage; unsigned parks; };
struct lie { struct liar *liar; struct link *link; };

static size_t lie_read(void *ctx, const uint8_t *data, size_t len)
{
	struct lie *lie = ctx;
	json_t *answer = json_pack("{s:i s:{}}", "id", 1, "ok");
	char *text;
	size_t size;

	CU_ASSERT_FATAL(!ctl_text(answer, &text, &size));
	json_decref(answer);
	lie->liar->parks++;
	CU_ASSERT_FATAL(!link_write(lie->link, text, size));
	ctl_text_free(text, size);
	link_end(lie->link);
	return len;
}

static void lie_closed(void *ctx, const struct err *why)
{
	struct lie *lie = ctx;
	int fd = link_take_fd(lie->link);

	if (fd >= 0 && lie->liar->garbage)
		(void)!send(fd, "what?", 5, MSG_NOSIGNAL);	/* our end may be gone by now */
	if (fd >= 0)
		close(fd);
	link_free(lie->link);
	free(lie);
}

static void liar_accept(void *ctx, int listener, uint32_t events)
{
	static const struct link_ops ops = { .read = lie_read, .closed = lie_closed };
	struct liar *l = ctx;
	struct link_config config = { .tls = l->tls, .server = true, .alpn = RELAY_ALPN };
	struct lie *lie = calloc(1, sizeof *lie);

	CU_ASSERT_FATAL(lie != NULL);
	lie->liar = l;
	CU_ASSERT_FATAL(!link_create(l->loop, accept(listener, NULL, NULL), &config, &ops, lie, &lie->link, NULL));
}

/* It parks what comes, and ends it, or calls it with what is no TLS, at once. */
static void lies(bool garbage)
{
	struct csc_config c = csc_rig_config();
	struct liar liar = { .garbage = garbage };
	char address[32];
	uint16_t port;
	struct rig r = { 0 };

	csc_rig_setup(&r.csc, &c);
	liar.loop = r.csc.loop;
	liar.tls = context(&r.csc, PKI_CSC, "csc2", true, RELAY_ALPN);
	CU_ASSERT_FATAL(!dial_listen("127.0.0.1:0", &liar.fd, &port, NULL));
	CU_ASSERT_FATAL(!loop_watch_add(r.csc.loop, liar.fd, 1, liar_accept, &liar, &liar.watch));
	snprintf(address, sizeof address, "127.0.0.1:%u", port);
	open_end(&r, &r.a, "dc-a", mac_a, address);
	rig_run_ms(r.csc.loop, 1500);
	if (liar.parks > 40)
		suite_note("%u connections were parked in 1.5 s", liar.parks);
	check(liar.parks > 1 && liar.parks <= 40);
	end_drop(&r.a);
	rig_run_ms(r.csc.loop, 50);	/* the liar's links end */
	loop_watch_remove(liar.watch);
	close(liar.fd);
	SSL_CTX_free(liar.tls);
	(void)csc_rig_drop(&r.csc);
}

static void test_ends(void) { lies(false); }
static void test_garbage(void) { lies(true); }

static const struct test tests[] = {
	{ "servers among themselves, by a relay", test_peers },
	{ "a relay that ends what it parked", test_ends },
	{ "a relay that says garbage to what it parked", test_garbage },
	{ NULL },
};
const struct suite suite_lib_l2_relay = { tests };
