/* SPDX-License-Identifier: Apache-2.0 */
/* What the gateway takes out of a server's environment (MACs) and placement (keys nic.NAME.*; the others are hull-hv's). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lcg/config.h"
#include "lib/env/env.h"
#include "lib/scope.h"

static void free_env(struct env **env) { env_free(*env); }

static bool is_nic(const struct env_pci *p)
{
	return p->kind == ENV_PCI_E1000 || p->kind == ENV_PCI_VIRTIO_NET;
}

static const char *get(struct config *placement, const char *nic, const char *member)
{
	char key[128];
	int n = snprintf(key, sizeof key, "nic.%s%s%s", nic, *member ? "." : "", member);

	return n < (int)sizeof key ? config_get(placement, key) : NULL;
}

/* ---- keys nic.*: a typing error in a firewall rule must not go unseen */

static const struct env_pci *find_nic(const struct env *env, const char *name, size_t len)
{
	for (unsigned i = 0; i < env->pci_count; i++)
		if (is_nic(env->pci + i) && strlen(env->pci[i].name) == len && !strncmp(env->pci[i].name, name, len))
			return env->pci + i;
	return NULL;
}

static bool is_member(const char *s)
{
	static const char *const members[] = { "segment", "relay", "listen", "direct", "lanes", "queues", "address", "rate",
		"storm", "mss" };

	for (unsigned i = 0; i < array_len(members); i++)
		if (!strcmp(s, members[i]))
			return true;
	return !strncmp(s, "allow.", 6) && s[6] && strspn(s + 6, "0123456789") == strlen(s + 6);
}

static int check_keys(const struct env *env, struct config *placement, struct err *err)
{
	const char *key;

	for (size_t i = 0; (key = config_key(placement, i)); i++) {
		const char *dot = strncmp(key, "nic.", 4) ? NULL : strchr(key + 4, '.');

		if (strncmp(key, "nic.", 4))
			continue;
		if (!find_nic(env, key + 4, dot ? (size_t)(dot - key) - 4 : strlen(key + 4)))
			return err_set(err, -EINVAL, "%s: the environment has no such NIC", key);
		if (dot && !is_member(dot + 1))
			return err_set(err, -EINVAL, "%s: is no key of a NIC", key);
	}
	return 0;
}

/* ---- one NIC */

static int check_address(const char *what, const char *word, struct err *err)
{
	const char *colon = strrchr(word, ':');

	if (colon && colon != word && strlen(word) < 280 && strspn(colon + 1, "0123456789") == strlen(colon + 1) && colon[1] &&
	    atoi(colon + 1) > 0 && atoi(colon + 1) < 65536)
		return 0;
	return err_set(err, -EINVAL, "%s: \"%.60s\" is not HOST:PORT", what, word);
}

static int read_relays(struct lcg_config *c, struct nic_config *n, const char *value, struct err *err)
{
	unsigned i = 0;
	char *at = NULL;
	int rc = 0;

	if (!value)
		return 0;
	c->words[c->nics] = strdup(value);
	if (!c->words[c->nics])
		return err_set(err, -ENOMEM, "out of memory");
	for (char *w = strtok_r(c->words[c->nics], " \t", &at); !rc && w; w = strtok_r(NULL, " \t", &at)) {
		if (i == LCG_RELAYS)
			return err_set(err, -E2BIG, "relay: more than %d relays", LCG_RELAYS);
		rc = check_address("relay", w, err);
		n->relay[i++] = w;
	}
	return rc;
}

static int read_lanes(struct nic_config *n, const char *value, struct err *err)
{
	if (!value)
		return 0;
	if (value[1] || *value < '1' || *value > '0' + LCG_LANES)
		return err_set(err, -EINVAL, "lanes: \"%.60s\" is not 1 to %d", value, LCG_LANES);
	n->lanes = (unsigned)(*value - '0');
	return 0;
}

static int read_nic(struct lcg_config *c, struct nic_config *n, struct config *placement, struct err *err)
{
	int rc = read_relays(c, n, get(placement, n->nic, "relay"), err);

	n->direct = get(placement, n->nic, "direct");
	if (!rc && n->direct)
		rc = check_address("direct", n->direct, err);
	if (!rc)
		rc = read_lanes(n, get(placement, n->nic, "lanes"), err);
	if (!rc && !n->relay[0] && !n->direct)
		rc = err_set(err, -EINVAL, "no way leads to it: write nic.%s.relay = HOST:PORT or nic.%s.direct = HOST:PORT", n->nic, n->nic);
	if (rc)
		return err_prefix(err, "nic.%s", n->nic);
	return policy_read(placement, n->nic, &n->policy, err);
}

static int check_mac(const struct lcg_config *c, const struct nic_config *n, struct err *err)
{
	for (const struct nic_config *o = c->nic; o < n; o++) {
		if (o->segment == n->segment && !memcmp(o->mac, n->mac, FRAME_MAC))
			return err_set(err, -EEXIST, "nic %s has the MAC of nic %s of %s in segment %s", n->nic, o->nic, o->server,
				c->segment[n->segment].name);
		if (!strcmp(o->server, n->server) && !strcmp(o->nic, n->nic))
			return err_set(err, -EEXIST, "nic %s of %s stands here twice", n->nic, n->server);
	}
	return 0;
}

/* Segments that this gateway does not have belong to others. */
static bool find_segment(const struct lcg_config *c, const char *name, unsigned *segment)
{
	for (*segment = 0; *segment < c->segments; ++*segment)
		if (!strcmp(c->segment[*segment].name, name))
			return true;
	return false;
}

static int add_nic(struct lcg_config *c, const char *server, const struct env_pci *p, struct config *placement, struct err *err)
{
	const char *end = get(placement, p->name, ""), *segment = get(placement, p->name, "segment");
	struct nic_config *n = c->nic + c->nics;
	unsigned which;
	int rc;

	if (!end || strcmp(end, "l2") || !find_segment(c, segment ? segment : p->segment, &which))
		return 0;
	if (c->nics == LCG_NICS)
		return err_set(err, -E2BIG, "more than %d NICs", LCG_NICS);
	*n = (struct nic_config){ .segment = which };
	snprintf(n->server, sizeof n->server, "%s", server);
	snprintf(n->nic, sizeof n->nic, "%s", p->name);
	memcpy(n->mac, p->mac, FRAME_MAC);
	rc = read_nic(c, n, placement, err);
	rc = rc ? rc : check_mac(c, n, err);
	if (rc) {
		policy_free(n->policy);
		free(c->words[c->nics]);
		c->words[c->nics] = NULL;
		return rc;
	}
	c->nics++;
	return 0;
}

/* ---- one server */

static int add_nics(struct lcg_config *c, const char *name, const struct env *env, struct config *placement, struct err *err)
{
	unsigned before = c->nics;
	int rc = check_keys(env, placement, err);

	for (unsigned i = 0; !rc && i < env->pci_count; i++)
		if (is_nic(env->pci + i))
			rc = add_nic(c, name, env->pci + i, placement, err);
	if (!rc && c->nics == before)
		rc = err_set(err, -ENOENT, "none of the NICs is `l2` in a segment of this gateway");
	return rc;
}

int lcg_config_add_server(struct lcg_config *c, const char *name, const char *environment, const char *placement, struct err *err)
{
	cleanup(free_env) struct env *env = NULL;
	int rc = env_load(environment, &env, err);

	if (rc)
		return err_prefix(err, "server.%s.environment", name);
	if (*env->hostname && strcasecmp(env->hostname, name))
		return err_set(err, -EINVAL, "server.%s.environment: %s is the environment of %s", name, environment, env->hostname);
	if (c->placements == LCG_NICS)
		return err_set(err, -E2BIG, "more than %d servers", LCG_NICS);
	rc = config_read(placement, &c->placement[c->placements], err);
	if (rc)
		return err_prefix(err, "server.%s.placement", name);
	/* names in certificates may have capitals, keys here have not */
	rc = add_nics(c, *env->hostname ? env->hostname : name, env, c->placement[c->placements++], err);
	return rc ? err_prefix(err, "server.%s.placement: %s", name, placement) : 0;
}
