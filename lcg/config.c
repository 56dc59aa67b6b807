/* SPDX-License-Identifier: Apache-2.0 */
#include "lcg/config.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/scope.h"

const char *const lan_kind_names[LAN_KINDS] = { [LAN_TAP] = "tap", [LAN_PACKET] = "packet", [LAN_MACVTAP] = "macvtap" };

/* ---- words */

static const char *get(struct lcg_config *c, const char *prefix, const char *name, const char *member)
{
	char key[128];
	int n = snprintf(key, sizeof key, "%s.%s.%s", prefix, name, member);

	return n < (int)sizeof key ? config_get(c->file, key) : NULL;
}

/* "PREFIX.NAME" → NAME; false for other keys, and for those with another dot. */
static bool name_of(const char *key, const char *prefix, char name[LCG_NAME])
{
	size_t len = strlen(prefix);

	if (strncmp(key, prefix, len) || key[len] != '.' || strchr(key + len + 1, '.'))
		return false;
	return snprintf(name, LCG_NAME, "%s", key + len + 1) < LCG_NAME && *name;
}

static bool is_device(const char *s)
{
	return *s && strlen(s) < IFNAMSIZ && !strpbrk(s, "/: \t") && strcmp(s, ".") && strcmp(s, "..");
}

static int take_device(const char *word, char device[IFNAMSIZ], struct err *err)
{
	if (!is_device(word))
		return err_set(err, -EINVAL, "\"%.60s\" is no name for a network device: 1 to %d characters without '/', ':' and blanks", word,
			IFNAMSIZ - 1);
	strcpy(device, word);
	return 0;
}

static bool take_number(const char *s, uint32_t max, uint32_t *n)
{
	char *end;
	unsigned long v;

	if (!*s || strspn(s, "0123456789") != strlen(s) || strlen(s) > 9)
		return false;
	v = strtoul(s, &end, 10);
	*n = (uint32_t)v;
	return v <= max;
}

/* ---- lan.NAME */

static int parse_lan(struct lan_config *lan, char *value, struct err *err)
{
	char *comma = strchr(value, ','), *colon;
	int rc;

	if (comma)
		*comma++ = 0;
	colon = strchr(value, ':');
	if (colon)
		*colon++ = 0;
	for (lan->kind = 0; lan->kind < LAN_KINDS && strcmp(value, lan_kind_names[lan->kind]); lan->kind++)
		;
	if (!colon || lan->kind == LAN_KINDS)
		return err_set(err, -EINVAL, "\"%.60s\" is none of tap:DEVICE[,bridge:BRIDGE], packet:INTERFACE, macvtap:INTERFACE", value);
	rc = take_device(colon, lan->device, err);
	if (rc || !comma)
		return rc;
	if (lan->kind != LAN_TAP || strncmp(comma, "bridge:", 7))
		return err_set(err, -EINVAL, "\"%.60s\": only a tap has something behind a comma, bridge:BRIDGE", comma);
	return take_device(comma + 7, lan->bridge, err);
}

static int check_lan(const struct lcg_config *c, const struct lan_config *lan, struct err *err)
{
	for (const struct lan_config *o = c->lan; o < lan; o++)
		if (!strcmp(o->device, lan->device))
			return err_set(err, -EEXIST, "device %s is lan.%s already", lan->device, o->name);
	return 0;
}

static int add_lan(struct lcg_config *c, const char *name, struct err *err)
{
	struct lan_config *lan = c->lan + c->lans;
	char key[LCG_NAME + 8];
	const char *uplink;
	auto_free char *value = NULL;
	int rc;

	if (c->lans == LCG_LANS)
		return err_set(err, -E2BIG, "lan.%s: more than %d LANs", name, LCG_LANS);
	snprintf(key, sizeof key, "lan.%s", name);
	value = strdup(config_get(c->file, key));
	if (!value)
		return err_set(err, -ENOMEM, "out of memory");
	*lan = (struct lan_config){ .name = "" };
	strcpy(lan->name, name);
	rc = parse_lan(lan, value, err);
	rc = rc ? rc : check_lan(c, lan, err);
	if (rc)
		return err_prefix(err, "%s", key);
	uplink = get(c, "lan", name, "uplink");
	if (uplink && take_device(uplink, lan->uplink, err))
		return err_prefix(err, "%s.uplink", key);
	c->lans++;
	return 0;
}

/* ---- segment.NAME */

static int find_lan(const struct lcg_config *c, const char *word, unsigned *lan, struct err *err)
{
	for (*lan = 0; *lan < c->lans; ++*lan)
		if (!strcmp(c->lan[*lan].name, word))
			return 0;
	return err_set(err, -ENOENT, "there is no LAN \"%.60s\": write lan.%.60s = …", word, word);
}

static int parse_segment(const struct lcg_config *c, struct segment_config *s, char *value, struct err *err)
{
	char *at = NULL, *word = strtok_r(value, " \t", &at), *how, *number;
	uint32_t vid = 0;
	int rc = find_lan(c, word ? word : "", &s->lan, err);

	if (rc)
		return rc;
	s->vid = FRAME_NO_VID;
	how = strtok_r(NULL, " \t", &at);
	if (!how)
		return 0;
	number = strtok_r(NULL, " \t", &at);
	if (!strcmp(how, "trunk") && !number) {
		s->trunk = true;
		return 0;
	}
	if (strcmp(how, "vlan") || !number || strtok_r(NULL, " \t", &at))
		return err_set(err, -EINVAL, "\"%.60s\": behind the LAN stands nothing (untagged), \"vlan N\" or \"trunk\"", how);
	if (!take_number(number, LCG_VID_MAX, &vid) || !vid)
		return err_set(err, -EINVAL, "vlan \"%.60s\" is not 1 to %d", number, LCG_VID_MAX);
	s->vid = (uint16_t)vid;
	return 0;
}

/* A LAN's frames belong to one segment each. */
static int check_segment(const struct lcg_config *c, const struct segment_config *s, struct err *err)
{
	for (const struct segment_config *o = c->segment; o < s; o++) {
		if (o->lan != s->lan)
			continue;
		if (o->trunk || s->trunk)
			return err_set(err, -EINVAL, "a trunk has its LAN alone, and segment.%s is on %s too", o->name, c->lan[s->lan].name);
		if (o->vid == s->vid)
			return err_set(err, -EEXIST, "segment.%s has these frames of %s already", o->name, c->lan[s->lan].name);
	}
	return 0;
}

static int read_mirror(struct lcg_config *c, struct segment_config *s, struct err *err)
{
	const char *to = get(c, "segment", s->name, "mirror");

	if (!to)
		return 0;
	s->mirror = !strncmp(to, "pcap:", 5) ? MIRROR_PCAP : !strncmp(to, "tap:", 4) ? MIRROR_TAP : MIRROR_NONE;
	s->mirror_to = s->mirror ? strchr(to, ':') + 1 : NULL;
	if (s->mirror && *s->mirror_to && (s->mirror == MIRROR_PCAP || is_device(s->mirror_to)))
		return 0;
	return err_set(err, -EINVAL, "mirror: \"%.60s\" is neither pcap:PATH nor tap:DEVICE", to);
}

static int read_suppress(struct lcg_config *c, struct segment_config *s, struct err *err)
{
	const char *word = get(c, "segment", s->name, "suppress");

	s->suppress = word && !strcmp(word, "on");
	if (!word || s->suppress || !strcmp(word, "off"))
		return 0;
	return err_set(err, -EINVAL, "suppress: \"%.60s\" is neither on nor off", word);
}

static int add_segment(struct lcg_config *c, const char *name, struct err *err)
{
	struct segment_config *s = c->segment + c->segments;
	char key[LCG_NAME + 8];
	auto_free char *value = NULL;
	int rc;

	if (c->segments == LCG_SEGMENTS)
		return err_set(err, -E2BIG, "segment.%s: more than %d segments", name, LCG_SEGMENTS);
	snprintf(key, sizeof key, "segment.%s", name);
	value = strdup(config_get(c->file, key));
	if (!value)
		return err_set(err, -ENOMEM, "out of memory");
	*s = (struct segment_config){ .name = "" };
	strcpy(s->name, name);
	rc = parse_segment(c, s, value, err);
	rc = rc ? rc : check_segment(c, s, err);
	rc = rc ? rc : read_mirror(c, s, err);
	rc = rc ? rc : read_suppress(c, s, err);
	if (rc)
		return err_prefix(err, "%s", key);
	c->segments++;
	return 0;
}

/* ---- server.NAME.environment, server.NAME.placement */

static int add_server(struct lcg_config *c, const char *key, struct err *err)
{
	size_t len = strlen(key) - strlen("server..environment");
	const char *placement;
	char name[PKI_NAME_MAX + 1];

	if (!len || len >= sizeof name)
		return err_set(err, -EINVAL, "%s: a server's name has 1 to %d characters", key, PKI_NAME_MAX);
	snprintf(name, sizeof name, "%.*s", (int)len, key + strlen("server."));
	placement = get(c, "server", name, "placement");
	if (!placement)
		return err_set(err, -EINVAL, "%s: needs server.%s.placement = FILE, too", key, name);
	return lcg_config_add_server(c, name, config_get(c->file, key), placement, err);
}

static bool has_ending(const char *s, const char *ending)
{
	size_t len = strlen(s), n = strlen(ending);

	return len > n && !strcmp(s + len - n, ending);
}

/* ---- all of it */

static int read_scalars(struct lcg_config *c, struct err *err)
{
	const char *priority = config_get(c->file, "priority");

	c->name = config_get(c->file, "name");
	c->identity = config_get(c->file, "identity");
	c->lma = config_get(c->file, "lma");
	c->control = config_get(c->file, "control");
	c->priority = LCG_PRIORITY;
	if (c->name && pki_name_check(c->name, err))
		return err_prefix(err, "name");
	if (!c->identity)
		return err_set(err, -EINVAL, "identity is missing: the folder that `hull pki enrol` wrote");
	if (priority && !take_number(priority, LCG_PRIORITY_MAX, &c->priority))
		return err_set(err, -EINVAL, "priority: \"%.60s\" is not 0 to %d", priority, LCG_PRIORITY_MAX);
	return 0;
}

static int read_each(struct lcg_config *c, const char *prefix, int (*add)(struct lcg_config *c, const char *name, struct err *err),
	struct err *err)
{
	char name[LCG_NAME];
	const char *key;
	int rc = 0;

	for (size_t i = 0; !rc && (key = config_key(c->file, i)); i++)
		if (name_of(key, prefix, name))
			rc = add(c, name, err);
	return rc;
}

static int read_servers(struct lcg_config *c, struct err *err)
{
	const char *key;
	int rc = 0;

	for (size_t i = 0; !rc && (key = config_key(c->file, i)); i++)
		if (!strncmp(key, "server.", 7) && has_ending(key, ".environment"))
			rc = add_server(c, key, err);
	return rc;
}

static int read_all(struct lcg_config *c, struct err *err)
{
	const char *unknown;
	unsigned line;
	int rc = read_scalars(c, err);

	rc = rc ? rc : read_each(c, "lan", add_lan, err);
	rc = rc ? rc : read_each(c, "segment", add_segment, err);
	rc = rc ? rc : read_servers(c, err);
	if (rc)
		return rc;
	unknown = config_unknown(c->file, &line);
	if (unknown)
		return err_set(err, -EINVAL, "line %u: %s is no key of a gateway, or belongs to nothing here", line, unknown);
	if (!c->segments)
		return err_set(err, -EINVAL, "has no segment: write lan.NAME = … and segment.NAME = LAN");
	return 0;
}

int lcg_config_read(const char *path, struct lcg_config **config, struct err *err)
{
	struct lcg_config *c = calloc(1, sizeof *c);
	int rc;

	*config = NULL;
	if (!c)
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	rc = config_read(path, &c->file, err);
	if (!rc && read_all(c, err))
		rc = err_prefix(err, "%s", path);
	if (rc)
		lcg_config_free(c);
	else
		*config = c;
	return rc;
}

void lcg_config_free(struct lcg_config *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < c->nics; i++) {
		policy_free(c->nic[i].policy);
		free(c->words[i]);
	}
	for (unsigned i = 0; i < c->placements; i++)
		config_free(c->placement[i]);
	config_free(c->file);
	free(c);
}
