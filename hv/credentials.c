/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/credentials.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include "crypto/luks/agent.h"
#include "crypto/pki/ticket.h"
#include "crypto/tls.h"
#include "lib/link/dial.h"
#include "lib/link/relay.h"
#include "lib/l2/wire.h"
#include "lib/log.h"
#include "lib/scope.h"

#define SECOND 1000000000ull
/* How long an answer may take. */
#define ANSWER_NS (150 * SECOND)

enum { SPENT_MAX = 4096, RETRY_MS = 5000, RETRY_MAX_MS = 600000, LOOK_MAX_S = 3600 };

struct credentials {
	struct credentials_config config;
	struct identity id;
	struct credentials_tls tls;
	struct ticket_spent *spent;
	struct agent *agent;		/* NULL: nothing is being asked */
	struct loop_watch *watch;
	struct loop_timer *timer;
	struct backoff pause;
	struct err why;			/* the last failure, or none */
};

/* ---- contexts */

static void drop_tls(struct credentials_tls *tls)
{
	SSL_CTX_free(tls->server);
	SSL_CTX_free(tls->client);
	SSL_CTX_free(tls->relay);
	*tls = (struct credentials_tls){ 0 };
}

static int make_tls(const struct identity *id, struct credentials_tls *tls, struct err *err)
{
	struct tls_config c = { .server = true, .alpn = WIRE_ALPN, .ca = id->ca, .crl = id->crl, .cert = id->cert, .key = id->key,
		.tickets = 2 };
	int r = tls_create(&c, &tls->server, err);

	c.server = false;
	c.tickets = 0;
	r = r ? r : tls_create(&c, &tls->client, err);
	c.alpn = RELAY_ALPN;
	r = r ? r : tls_create(&c, &tls->relay, err);
	if (r)
		drop_tls(tls);
	return r;
}

/* What the agent handed over; *id goes where it belongs, or is dropped. */
static int use(struct credentials *c, struct identity *id, struct err *err)
{
	struct credentials_tls tls = { 0 };
	int r = make_tls(id, &tls, err);

	if (r) {
		identity_drop(id);
		return r;
	}
	drop_tls(&c->tls);
	identity_drop(&c->id);
	c->tls = tls;
	c->id = *id;
	c->why = (struct err){ .code = 0 };
	backoff_reset(&c->pause);
	c->config.changed(c->config.ctx);
	return 0;
}

/* ---- asking the agent */

static bool due(const struct credentials *c)
{
	time_t now = time(NULL);

	return !c->id.cert || identity_due(&c->id, now) || identity_crl_due(&c->id, now);
}

static void stop_asking(struct credentials *c)
{
	loop_watch_remove(c->watch);
	c->watch = NULL;
	agent_free(c->agent);
	c->agent = NULL;
}

static void look_again(struct credentials *c, uint64_t in_ns)
{
	loop_timer_arm(c->timer, loop_now_ns() + in_ns);
}

/* When something may be due, an hour from now at the latest: clocks are set, and lists get old. */
static void look_when_due(struct credentials *c)
{
	time_t now = time(NULL), from = cert_from(c->id.cert), until = cert_until(c->id.cert), in = from + (until - from) / 3 * 2 - now;

	/* The source had nothing fresh. */
	if (due(c))
		in = until > now ? (until - now) / 3 : LOOK_MAX_S;
	look_again(c, (uint64_t)(in < 1 ? 1 : in > LOOK_MAX_S ? LOOK_MAX_S : in) * SECOND);
}

static void failed(struct credentials *c, const struct err *err)
{
	c->why = *err;
	if (c->id.cert)
		log_warn("the certificate of hv/%s cannot be renewed: %s", c->config.server, err->text);
	else
		log_error("no certificate for hv/%s, so its links stay down: %s", c->config.server, err->text);
	stop_asking(c);
	look_again(c, backoff_next_ns(&c->pause));
}

static int take_answer(struct credentials *c, struct err *err)
{
	const struct agent_message *m;
	auto_close int fd = -1;
	struct identity id = { 0 };
	int r = agent_receive(c->agent, false, &m, err);

	if (r)
		return r;
	fd = agent_take_fd(c->agent);
	if (m->kind == AGENT_FAILED)
		return err_set(err, m->code, "%s", m->text);
	if (m->kind != AGENT_IDENTITY)
		return err_set(err, -EPROTO, "the volume agent answers something else");
	r = agent_unpack_identity(m, fd, &id, err);
	return r ? r : use(c, &id, err);
}

static void on_answer(void *ctx, int fd, uint32_t events)
{
	struct credentials *c = ctx;
	struct err err = { .code = 0 };
	int r = take_answer(c, &err);

	if (r == -EAGAIN)
		return;
	if (r) {
		failed(c, &err);
		return;
	}
	stop_asking(c);
	look_when_due(c);
}

static bool copy(char *to, size_t size, const char *from)
{
	return !from || snprintf(to, size, "%s", from) < (int)size;
}

static int fill(struct credentials *c, struct agent_message *m, int *fd, struct err *err)
{
	const struct credentials_config *g = &c->config;

	if (snprintf(m->source, sizeof m->source, "%s%s", g->folder ? "dir:" : "lma", g->folder ?: "") >= (int)sizeof m->source ||
	    !copy(m->server, sizeof m->server, g->server) || !copy(m->lma, sizeof m->lma, g->lma) ||
	    !copy(m->lma_token, sizeof m->lma_token, g->token))
		return err_set(err, -ENAMETOOLONG, "identity: paths and addresses have %d bytes at most", AGENT_PATH - 6);
	return c->id.cert && !g->folder ? agent_pack_identity(m, &c->id, fd, err) : 0;
}

/* The answer comes to on_answer. */
static int ask(struct credentials *c, struct err *err)
{
	auto_close int fd = -1;
	int r = c->agent ? 0 : agent_start(&c->agent, err);

	r = r ? r : fill(c, agent_message(c->agent), &fd, err);
	if (r)
		return r;
	agent_lend(c->agent, fd);
	r = agent_send(c->agent, AGENT_IDENTIFY, err);
	if (r)
		return r;
	r = loop_watch_add(c->config.loop, agent_fd(c->agent), EPOLLIN, on_answer, c, &c->watch);
	return r ? err_set(err, r, "volume agent: %s", strerror(-r)) : 0;
}

static void begin(struct credentials *c)
{
	struct err err = { .code = 0 };

	if (ask(c, &err))
		failed(c, &err);
	else
		look_again(c, ANSWER_NS);
}

static void on_time(void *ctx)
{
	struct credentials *c = ctx;
	struct err err = { .code = 0 };

	if (c->watch) {
		(void)err_set(&err, -ETIMEDOUT, "the volume agent does not answer");
		failed(c, &err);
		return;
	}
	if (due(c))
		begin(c);
	else
		look_when_due(c);
}

/* ---- who calls */

static int check_ticket(struct credentials *c, const struct ticket *t, const struct pki_id *caller, const char *nic,
	struct err *err)
{
	if (t->callee.role != PKI_HV || strcmp(t->callee.name, c->config.server) || strcmp(t->nic, nic))
		return err_set(err, -EPERM, "its ticket is for %s/%s %s", pki_role_name(t->callee.role), t->callee.name, t->nic);
	if (t->caller.role != caller->role || strcmp(t->caller.name, caller->name))
		return err_set(err, -EPERM, "its ticket is that of %s/%s", pki_role_name(t->caller.role), t->caller.name);
	return ticket_spend(c->spent, t, time(NULL), err);
}

static const char *word(const json_t *hello, const char *key)
{
	return json_string_value(json_object_get(hello, key));
}

/* A certificate of its own does not make it somebody else. */
static int check_caller(const struct pki_id *caller, const json_t *hello, struct err *err)
{
	const char *role = word(hello, "role"), *name = word(hello, "name");

	if (caller->role != PKI_LCG && caller->role != PKI_HV)
		return err_set(err, -EPERM, "only gateways and servers may call");
	if (!role || !name || strcmp(role, pki_role_name(caller->role)) || strcmp(name, caller->name))
		return err_set(err, -EPERM, "it says that it is %.8s/%.64s", role ?: "", name ?: "");
	return 0;
}

static int check_callee(const struct pki_id *callee, const json_t *hello, struct err *err)
{
	const char *name = word(hello, "server");

	if (callee->role != PKI_HV || !name || strcmp(name, callee->name))
		return err_set(err, -EPERM, "it answers as the server %.64s", name ?: "");
	return 0;
}

static int admit(struct credentials *c, const struct pki_id *caller, const char *nic, const json_t *hello, struct err *err)
{
	const char *text = word(hello, "ticket");
	struct ticket ticket;
	int r = check_caller(caller, hello, err);

	if (!r && !text)
		r = err_set(err, -EACCES, "it has no ticket");
	r = r ? r : ticket_verify(text, strlen(text), c->id.ca, time(NULL), &ticket, err);
	return r ? r : check_ticket(c, &ticket, caller, nic, err);
}

int credentials_admit(struct credentials *c, SSL *ssl, const char *nic, const json_t *hello, struct err *err)
{
	struct pki_id other;
	X509 *cert;
	int r = tls_peer(ssl, time(NULL), &other, &cert, err);

	if (r)
		return r;
	r = SSL_is_server(ssl) ? admit(c, &other, nic, hello, err) : check_callee(&other, hello, err);
	return r ? err_prefix(err, "%s/%s", pki_role_name(other.role), other.name) : 0;
}

/* ---- the whole */

static int check_config(const struct credentials_config *g, struct err *err)
{
	if (g->folder && g->token)
		return err_set(err, -EINVAL, "identity and lma.token: a certificate comes from one of them");
	if (!g->folder && (!g->lma || !g->token))
		return err_set(err, -EINVAL, "a NIC with l2 needs a certificate: set lma and lma.token, or identity");
	return pki_name_check(g->server, err) ? err_prefix(err, "hostname") : 0;
}

int credentials_create(const struct credentials_config *config, struct agent *agent, struct credentials **out, struct err *err)
{
	struct credentials *c = calloc(1, sizeof *c);
	int r;

	if (!c) {
		agent_free(agent);
		return err_set(err, -ENOMEM, "no memory");
	}
	c->config = *config;
	c->agent = agent;
	c->pause = (struct backoff){ .min_ms = RETRY_MS, .max_ms = RETRY_MAX_MS, .next_ms = RETRY_MS };
	r = check_config(config, err);
	if (!r && (ticket_spent_create(SPENT_MAX, &c->spent) || loop_timer_create(config->loop, on_time, c, &c->timer)))
		r = err_set(err, -ENOMEM, "no memory");
	if (r) {
		credentials_free(c);
		return r;
	}
	begin(c);
	*out = c;
	return 0;
}

void credentials_free(struct credentials *c)
{
	if (!c)
		return;
	stop_asking(c);
	loop_timer_free(c->timer);
	ticket_spent_free(c->spent);
	drop_tls(&c->tls);
	identity_drop(&c->id);
	free(c);
}

const struct credentials_tls *credentials_tls(const struct credentials *c)
{
	return &c->tls;
}

json_t *credentials_status(const struct credentials *c)
{
	time_t until = c->id.cert ? cert_until(c->id.cert) : 0;
	const char *state = !until ? "none" : time(NULL) < until ? "valid" : "expired";

	return json_pack("{ss sI ss}", "state", state, "until", (json_int_t)until, "text", c->why.text);
}
