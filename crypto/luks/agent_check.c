/* SPDX-License-Identifier: Apache-2.0 */
/* What either half of the agent's link holds the other one to. */
#include <errno.h>
#include <string.h>
#include "crypto/luks/agent.h"
#include "lib/bits.h"
#include "lib/scope.h"

#define bad(...) err_set(err, -EPROTO, __VA_ARGS__)

static bool ends(const char *s, size_t size)
{
	return memchr(s, 0, size);
}

/* One line of text: it goes into a log. */
static bool is_line(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 127)
			return false;
	return true;
}

static int check_strings(const struct agent_message *m, struct err *err)
{
	const struct { const char *name, *s; size_t size; } fields[] = {
		{ "text", m->text, sizeof m->text }, { "source", m->source, sizeof m->source },
		{ "volume", m->volume, sizeof m->volume }, { "header", m->header, sizeof m->header },
		{ "name", m->name, sizeof m->name }, { "server", m->server, sizeof m->server },
		{ "lma", m->lma, sizeof m->lma }, { "lma_token", m->lma_token, sizeof m->lma_token },
		{ "unlock", m->unlock, sizeof m->unlock },
		{ "uuid", m->layout.uuid, sizeof m->layout.uuid },
	};

	for (size_t i = 0; i < array_len(fields); i++) {
		if (!ends(fields[i].s, fields[i].size))
			return bad("agent message: %s does not end", fields[i].name);
		if (!is_line(fields[i].s))
			return bad("agent message: %s holds a control character", fields[i].name);
	}
	return 0;
}

static int check_segment(const struct luks_segment *s, unsigned i, struct err *err)
{
	if (!bits_is_pow2(s->sector) || s->sector < 512 || s->sector > 4096)
		return bad("agent message: segment %u has sectors of %u bytes", i, s->sector);
	if (s->key_len != 32 && s->key_len != 64)
		return bad("agent message: segment %u has a key of %u bytes", i, s->key_len);
	if ((s->off | s->len) & (s->sector - 1) || s->off + s->len < s->off)
		return bad("agent message: segment %u has a bad place", i);
	if (s->tweak & (s->sector / 512 - 1))
		return bad("agent message: segment %u has a tweak inside a sector", i);
	return 0;
}

static int check_layout(const struct luks_layout *l, struct err *err)
{
	uint64_t at = 0;

	if (l->version != 1 && l->version != 2)
		return bad("agent message: LUKS version %u", l->version);
	if (l->segment_count < 1 || l->segment_count > array_len(l->segment))
		return bad("agent message: %u segments", l->segment_count);
	if (l->data_off & 511 || l->data_off + l->data_len < l->data_off)
		return bad("agent message: data at a bad place");
	for (unsigned i = 0; i < l->segment_count; i++) {
		const struct luks_segment *s = &l->segment[i];
		bool last = i + 1 == l->segment_count;
		int rc = check_segment(s, i, err);

		if (rc)
			return rc;
		if (s->off != at || (!s->len && !last))
			return bad("agent message: segment %u leaves a gap", i);
		at += s->len;
		if (last && s->len && l->data_len && at != l->data_len)
			return bad("agent message: segments do not fill the volume");
	}
	return 0;
}

static int check_key(const struct agent_message *m, struct err *err)
{
	if (!m->key_len || m->key_len > sizeof m->key)
		return bad("agent message: key of %u bytes", m->key_len);
	return 0;
}

static int check_request(const struct agent_message *m, struct err *err)
{
	switch (m->kind) {
	case AGENT_OPEN:
		return *m->source && *m->volume ? 0 : bad("agent message: open without volume or key source");
	case AGENT_ROTATE:
		if (!*m->volume)
			return bad("agent message: rotate without volume");
		return m->zone ? check_key(m, err) : bad("agent message: rotate with zones of 0 bytes");
	case AGENT_IDENTIFY:
		if (!*m->source || !*m->server)
			return bad("agent message: identify without source or server");
		return m->key_len ? check_key(m, err) : 0;
	case AGENT_FROZEN:
	case AGENT_STOP:
		return 0;
	default:
		return bad("agent message: kind %u is no request", m->kind);
	}
}

static int check_answer(const struct agent_message *m, struct err *err)
{
	int rc;

	switch (m->kind) {
	case AGENT_OPENED:
		rc = check_key(m, err);
		return rc ? rc : check_layout(&m->layout, err);
	case AGENT_BEGIN:
		rc = check_segment(&m->layout.segment[0], 0, err);
		if (rc)
			return rc;
		/* fall through */
	case AGENT_THAW:
		return m->boundary <= m->total ? 0 : bad("agent message: boundary beyond the volume");
	case AGENT_IDENTITY:
		return check_key(m, err);
	case AGENT_FREEZE:
		return m->len && m->off + m->len > m->off ? 0 : bad("agent message: freeze of a bad zone");
	case AGENT_DONE:
		return 0;
	case AGENT_FAILED:
		return m->code < 0 && m->code > -4096 && *m->text ? 0 : bad("agent message: failure %d without a reason", m->code);
	default:
		return bad("agent message: kind %u is no answer", m->kind);
	}
}

int agent_message_check(const struct agent_message *m, size_t len, bool from_agent, struct err *err)
{
	int rc;

	if (len != sizeof *m)
		return bad("agent message: %zu bytes, not %zu", len, sizeof *m);
	if (m->version != AGENT_VERSION)
		return bad("agent message: version %u, not %u: hull and hull-hv are not of one release", m->version, AGENT_VERSION);
	rc = check_strings(m, err);
	if (rc)
		return rc;
	return from_agent ? check_answer(m, err) : check_request(m, err);
}
