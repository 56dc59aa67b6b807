/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/wires.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/luks/agent.h"
#include "hv/machine.h"
#include "hv/net/l2.h"
#include "hv/net/null.h"
#include "hv/net/socket.h"
#include "hv/net/tap.h"
#include "lib/link/link.h"
#include "lib/scope.h"

/* ---- keys */

/* nic.NAME or nic.NAME.KEY; marks it as known. */
static const char *get(struct machine *m, const struct env_pci *nic, const char *key)
{
	char full[96];

	snprintf(full, sizeof full, "nic.%s%s%s", nic->name, *key ? "." : "", key);
	return config_get(m->options->placement, full);
}

static bool is_nic(const struct env_pci *pci)
{
	return pci->kind == ENV_PCI_E1000 || pci->kind == ENV_PCI_VIRTIO_NET;
}

static bool is_l2(struct machine *m, const struct env_pci *nic)
{
	const char *wire = get(m, nic, "");

	return wire && !strcmp(wire, "l2");
}

bool wires_secret(struct machine *m)
{
	bool secret = false;

	for (unsigned i = 0; i < m->env->pci_count; i++)
		secret |= is_nic(&m->env->pci[i]) && is_l2(m, &m->env->pci[i]);
	return secret;
}

/* ---- the L2 link */

static int authorise(void *ctx, const char *nic, struct link *link, const json_t *hello, struct err *err)
{
	struct machine *m = ctx;

	return credentials_admit(m->wires.credentials, link_ssl(link), nic, hello, err);
}

/* HOST:PORT [HOST:PORT]…; the words live as long as the wires. */
static int read_relays(struct machine *m, const struct env_pci *nic, struct net_l2_config *c, struct err *err)
{
	const char *value = get(m, nic, "relay");
	char *words, *at = NULL;
	unsigned n = 0;
	size_t i;

	if (!value)
		return 0;
	for (i = 0; i < array_len(m->wires.words) && m->wires.words[i]; i++)
		;
	words = i < array_len(m->wires.words) ? strdup(value) : NULL;
	if (!words)
		return err_set(err, -ENOMEM, "no memory");
	m->wires.words[i] = words;
	for (char *word = strtok_r(words, " \t", &at); word; word = strtok_r(NULL, " \t", &at)) {
		if (n == NET_L2_RELAYS)
			return err_set(err, -E2BIG, "relay: more than %d", NET_L2_RELAYS);
		if (!strrchr(word, ':'))
			return err_set(err, -EINVAL, "relay: \"%.100s\" is no HOST:PORT", word);
		c->relay[n++] = word;
	}
	return 0;
}

static int read_carrier(struct machine *m, const struct env_pci *nic, struct net_l2_config *c, struct err *err)
{
	const char *value = get(m, nic, "carrier");

	c->carrier = value && !strcmp(value, "up");
	if (value && !c->carrier && strcmp(value, "follow"))
		return err_set(err, -EINVAL, "carrier: \"%.40s\" is not follow or up", value);
	return 0;
}

static int read_l2(struct machine *m, const struct env_pci *nic, struct net_l2_config *c, struct err *err)
{
	static const char *const of_gateways[] = { "lanes" };
	const char *segment = get(m, nic, "segment");
	int r = read_relays(m, nic, c, err);

	r = r ? r : read_carrier(m, nic, c, err);
	if (r)
		return r;
	for (size_t i = 0; i < array_len(of_gateways); i++)
		(void)get(m, nic, of_gateways[i]);
	*c = (struct net_l2_config){ .server = m->env->hostname, .nic = nic->name, .segment = segment ?: nic->segment,
		.relay = { c->relay[0], c->relay[1], c->relay[2], c->relay[3] }, .listen = get(m, nic, "listen"),
		.advertise = get(m, nic, "direct"), .carrier = c->carrier, .authorise = authorise, .ctx = m };
	memcpy(c->mac, nic->mac, sizeof c->mac);
	if (!*c->segment)
		return err_set(err, -EINVAL, "l2 needs a segment: set nic.%s.segment", nic->name);
	if (!c->relay[0] && !c->listen)
		return err_set(err, -EINVAL, "l2 needs a way in: set nic.%s.relay or nic.%s.listen", nic->name, nic->name);
	return 0;
}

static int open_l2(struct machine *m, const struct env_pci *nic, struct net_port **wire, struct err *err)
{
	struct net_l2_config c = { 0 };
	struct policy *policy;
	int r = read_l2(m, nic, &c, err);

	r = r ? r : policy_read(m->options->placement, nic->name, &policy, err);
	return r ? r : net_l2_create(&c, policy, m->loop, wire, err);
}

/* A certificate is there, or a fresh one. */
static void on_credentials(void *ctx)
{
	struct machine *m = ctx;
	const struct credentials_tls *tls = credentials_tls(m->wires.credentials);

	for (unsigned i = 0; i < m->slots.count; i++) {
		struct net_port *wire = m->slots.slot[i].wire;
		struct err err = { .code = 0 };

		if (wire && net_l2_is(wire) && net_l2_start(wire, tls->server, tls->client, tls->relay, &err))
			log_error("nic.%s: %s", m->slots.slot[i].env->name, err.text);
	}
}

/* ---- any wire */

int wires_open(struct machine *m, const struct env_pci *nic, struct net_port **port, struct err *err)
{
	const char *wire = get(m, nic, "");
	int r;

	if (!wire || !strcmp(wire, "down") || !strcmp(wire, "up"))
		r = net_null_create(wire && !strcmp(wire, "up"), port);
	else if (!strcmp(wire, "l2"))
		r = open_l2(m, nic, port, err);
	else if (!strncmp(wire, "tap:", 4))
		r = net_tap_open(wire + 4, -1, m->loop, port, err);
	else if (!strncmp(wire, "socket:", 7))
		r = net_socket_open(wire + 7, false, m->loop, port, err);
	else if (!strncmp(wire, "listen:", 7))
		r = net_socket_open(wire + 7, true, m->loop, port, err);
	else
		r = err_set(err, -EINVAL, "\"%s\" is no wire: l2, tap:DEVICE, socket:ADDRESS, listen:ADDRESS, up or down", wire);
	if (r && !err->code)
		err_set(err, r, "%s", strerror(-r));
	return r ? err_prefix(err, "nic.%s", nic->name) : 0;
}

int wires_create(struct machine *m, struct err *err)
{
	struct agent *agent = take_ptr(m->disks.agent);
	struct config *p = m->options->placement;
	struct credentials_config c = { .loop = m->loop, .server = m->env->hostname, .lma = config_get(p, "lma"),
		.token = config_get(p, "lma.token"), .folder = NULL, .changed = on_credentials, .ctx = m };

	if (!wires_secret(m)) {
		agent_free(agent);
		return 0;
	}
	c.folder = config_get(p, "identity");
	return credentials_create(&c, agent, &m->wires.credentials, err);
}

void wires_free(struct machine *m)
{
	credentials_free(m->wires.credentials);
	for (size_t i = 0; i < array_len(m->wires.words); i++)
		free(m->wires.words[i]);
	m->wires = (struct wires){ .credentials = NULL };
}
