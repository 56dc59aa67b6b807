/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/mgmt/rotate.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include "crypto/luks/agent.h"
#include "hv/block/crypt.h"
#include "hv/block/file.h"
#include "lib/log.h"
#include "lib/scope.h"

#define TRIES 6				/* agents in a row that got nowhere */
#define PAUSE_NS 250000000ull		/* before the second of them; doubles */
#define YIELD_MAX_NS 1000000000ull
#define CLAIM_TRIES 20			/* to have a device for ourselves again */
#define CLAIM_PAUSE_NS 250000000ull

struct rotate {
	struct rotate_config c;
	char *name, *path, *header;
	struct agent *agent;		/* NULL: none runs */
	struct loop_watch *watch;
	struct loop_timer *timer;	/* the next agent, or the next zone when the guest had its turn */
	struct rotate_state state;
	struct err err;
	bool begun;			/* this agent said where the boundary is */
	bool frozen;			/* a zone is; survives the agent */
	bool told;			/* the agent knows, and may have rewritten it */
	bool waiting;			/* a zone is to be frozen when the timer fires */
	bool stopping;
	unsigned tries, claim_tries;
	uint64_t start_ns, first, frozen_ns, zone_ns, load;
	uint64_t zone_off, zone_len;
};

static const char *const phase_names[] = {
	[ROTATE_STARTING] = "starting", [ROTATE_RUNNING] = "running", [ROTATE_STOPPED] = "stopped", [ROTATE_DONE] = "done",
	[ROTATE_FAILED] = "failed",
};

const char *rotate_phase_name(enum rotate_phase phase)
{
	return phase_names[phase];
}

static void tell(struct rotate *r)
{
	struct rotate_state state;

	rotate_read(r, &state);
	if (r->c.event)
		r->c.event(r->c.ctx, &state);
}

static void end_agent(struct rotate *r)
{
	uint64_t boundary;

	/* Nobody was told that the zone is frozen, so it is as it was. */
	if (r->frozen && !r->told && block_crypt_rotating(r->c.crypt, &boundary) && !block_crypt_thaw(r->c.crypt, boundary))
		r->frozen = false;
	loop_watch_remove(r->watch);
	r->watch = NULL;
	agent_free(r->agent);
	r->agent = NULL;
	r->begun = false;
	r->waiting = false;
	loop_timer_disarm(r->timer);
}

/* After the end. Whoever looks at the device in this moment (udev, blkid) holds it for that long. */
static void take_claim(struct rotate *r)
{
	struct err err = { 0 };

	if (!block_file_take_claim(r->c.base, &err))
		return;
	if (++r->claim_tries < CLAIM_TRIES)
		loop_timer_arm(r->timer, loop_now_ns() + CLAIM_PAUSE_NS);
	else
		log_warn("volume %s: its key rotation is over, but nothing keeps the device from being mounted any more: %s", r->name,
			err.text);
}

static void end(struct rotate *r, enum rotate_phase phase)
{
	struct rotate_state *s = &r->state;

	end_agent(r);
	take_claim(r);
	s->elapsed_ns = loop_now_ns() - r->start_ns;
	s->phase = phase;
	if (phase == ROTATE_DONE)
		log_info("volume %s: key rotated: %" PRIu64 " MiB in %" PRIu64 " s, no zone frozen for more than %" PRIu64 " ms", r->name,
			s->fresh >> 20, s->elapsed_ns / 1000000000, s->longest_ns / 1000000);
	else if (phase == ROTATE_STOPPED)
		log_info("volume %s: key rotation stopped at %" PRIu64 " of %" PRIu64 " MiB; start it again to go on", r->name,
			s->done >> 20, s->total >> 20);
	else
		log_error("volume %s: key rotation failed: %s%s", r->name, r->err.text,
			r->frozen ? "; requests to the part it was at end with errors until a rotation is started again" : "");
	tell(r);
}

/* ---- an agent that is no more, or of no use */

static void fail(struct rotate *r, int code, const char *text)
{
	err_set(&r->err, code, "%s", text);
	end_agent(r);
	if (r->frozen)
		block_crypt_fail_zone(r->c.crypt, -EIO);
	end(r, ROTATE_FAILED);
}

static void try_again(struct rotate *r, int code, const char *text)
{
	uint64_t boundary;
	bool touched = r->begun || block_crypt_rotating(r->c.crypt, &boundary);

	if (r->stopping && !r->frozen) {
		end(r, ROTATE_STOPPED);
		return;
	}
	/* Nothing was begun: what an agent refuses, the next one refuses too. */
	if (!touched && code != -EPIPE) {
		fail(r, code, text);
		return;
	}
	if (++r->tries >= TRIES) {
		fail(r, code, text);
		return;
	}
	log_warn("volume %s: key rotation: %s; another agent goes on", r->name, text);
	end_agent(r);
	r->state.restarts++;
	r->state.phase = ROTATE_STARTING;
	loop_timer_arm(r->timer, loop_now_ns() + (r->tries > 1 ? PAUSE_NS << (r->tries - 2) : 0));
}

static void send(struct rotate *r, enum agent_kind kind)
{
	struct err err = { 0 };
	int rc = agent_send(r->agent, kind, &err);

	/* A dead agent is noticed where messages are received; doing it here too would free it under the caller. */
	if (rc && rc != -EPIPE)
		log_limited(LOG_WARN, "volume %s: key rotation: %s", r->name, err.text);
}

/* ---- zones */

static void on_zone_empty(void *ctx)
{
	struct rotate *r = ctx;

	r->told = true;
	send(r, AGENT_FROZEN);
}

static void freeze(struct rotate *r)
{
	int rc;

	r->waiting = false;
	if (r->stopping) {
		send(r, AGENT_STOP);
		return;
	}
	r->frozen = true;
	r->told = false;
	r->frozen_ns = loop_now_ns();
	rc = block_crypt_freeze(r->c.crypt, r->zone_off, r->zone_len, on_zone_empty, r);
	if (rc) {
		r->frozen = rc == -EBUSY;
		fail(r, -EPROTO, "the agent asked for a zone that is none");
	}
}

/* Our share of the medium and the processor is half when the guest wants them. */
static uint64_t pause_ns(struct rotate *r)
{
	uint64_t load = r->c.load ? r->c.load(r->c.ctx) : 0;
	bool busy = load != r->load;

	r->load = load;
	return !busy ? 0 : r->zone_ns < YIELD_MAX_NS ? r->zone_ns : YIELD_MAX_NS;
}

static void on_freeze(struct rotate *r, const struct agent_message *m)
{
	uint64_t pause = pause_ns(r), boundary;

	if (!block_crypt_rotating(r->c.crypt, &boundary) || r->frozen || m->off != boundary) {
		fail(r, -EPROTO, "the agent asked for a zone out of turn");
		return;
	}
	r->zone_off = m->off;
	r->zone_len = m->len;
	if (!pause || r->stopping) {
		freeze(r);
		return;
	}
	r->waiting = true;
	loop_timer_arm(r->timer, loop_now_ns() + pause);
}

/* False: the agent's boundary is not possible. */
static bool thaw(struct rotate *r, uint64_t boundary, uint64_t total)
{
	uint64_t at;

	if (!r->frozen || block_crypt_thaw(r->c.crypt, boundary))
		return false;
	r->frozen = false;
	r->zone_ns = loop_now_ns() - r->frozen_ns;
	if (r->zone_ns > r->state.longest_ns)
		r->state.longest_ns = r->zone_ns;
	if (!block_crypt_rotating(r->c.crypt, &at))
		return false;
	if (at > r->state.done)
		r->tries = 0;
	r->state.done = at;
	r->state.total = total;
	return true;
}

static void on_thaw(struct rotate *r, const struct agent_message *m)
{
	if (thaw(r, m->boundary, m->total))
		tell(r);
	else
		fail(r, -EPROTO, "the agent names a boundary that cannot be");
}

/* ---- begin and end */

static void on_begin(struct rotate *r, const struct agent_message *m)
{
	struct err err = { 0 };
	uint64_t at = 0;
	int rc = 0;

	if (m->total != r->c.crypt->size)
		rc = err_set(&err, -EPROTO, "the agent rotates %" PRIu64 " bytes, the volume has %" PRIu64, m->total, r->c.crypt->size);
	else if (!block_crypt_rotating(r->c.crypt, &at))
		rc = block_crypt_rotate_begin(r->c.crypt, &m->layout.segment[0], &err);
	if (!rc && !block_crypt_rotating(r->c.crypt, &at))
		rc = err_set(&err, -EPROTO, "the volume has no second key");
	if (!rc && r->frozen && !thaw(r, m->boundary, m->total))
		rc = err_set(&err, -EPROTO, "the recovered boundary %" PRIu64 " is not in the frozen zone", m->boundary);
	if (!rc && !block_crypt_rotating(r->c.crypt, &at))
		rc = err_set(&err, -EPROTO, "the volume has no second key");
	if (!rc && m->boundary != at)
		rc = err_set(&err, -EPROTO, "%" PRIu64 " bytes are under the new key, the agent says %" PRIu64, at, m->boundary);
	if (rc) {
		fail(r, rc, err.text);
		return;
	}
	if (!r->state.total) {
		r->first = at;
		log_info("volume %s: key rotation %s at %" PRIu64 " of %" PRIu64 " MiB", r->name, at ? "goes on" : "begins", at >> 20,
			m->total >> 20);
	}
	r->begun = true;
	r->state.done = at;
	r->state.total = m->total;
	r->state.phase = ROTATE_RUNNING;
	tell(r);
	send(r, r->stopping ? AGENT_STOP : AGENT_FROZEN);
}

static void on_finished(struct rotate *r)
{
	if (r->frozen || block_crypt_rotate_end(r->c.crypt))
		fail(r, -EPROTO, "the agent says it is done before the end");
	else
		end(r, ROTATE_DONE);
}

/* ---- the agent's messages */

static void on_message(struct rotate *r, const struct agent_message *m)
{
	switch (m->kind) {
	case AGENT_BEGIN:
		if (!r->begun)
			on_begin(r, m);
		else
			fail(r, -EPROTO, "the agent began twice");
		break;
	case AGENT_FREEZE:
		on_freeze(r, m);
		break;
	case AGENT_THAW:
		on_thaw(r, m);
		break;
	case AGENT_DONE:
		on_finished(r);
		break;
	case AGENT_FAILED:
		if (r->stopping && m->code == -EINTR && !r->frozen)
			end(r, ROTATE_STOPPED);
		else
			try_again(r, m->code, m->text);
		break;
	default:
		fail(r, -EPROTO, "the agent said what it was not asked");
	}
}

static void on_readable(void *ctx, int fd, uint32_t events)
{
	struct rotate *r = ctx;

	while (r->agent) {
		const struct agent_message *m;
		struct err err = { 0 };
		int rc = agent_receive(r->agent, false, &m, &err);

		if (rc == -EAGAIN)
			return;
		if (rc)
			try_again(r, -EPIPE, err.text[0] ? err.text : "the agent ended");
		else
			on_message(r, m);
	}
}

static int start_agent(struct rotate *r, struct err *err)
{
	struct agent_message *m;
	uint64_t at;
	int rc = agent_start(&r->agent, err);

	if (rc)
		return rc;
	/* libcryptsetup opens a device exclusively while it rotates. */
	block_file_release_claim(r->c.base);
	agent_lend(r->agent, block_file_fd(r->c.base));
	m = agent_message(r->agent);
	snprintf(m->volume, sizeof m->volume, "%s", r->path);
	snprintf(m->header, sizeof m->header, "%s", r->header ? r->header : "");
	snprintf(m->name, sizeof m->name, "%s", r->name);
	m->zone = r->c.zone;
	/* Another rotation must not be begun when this one ended behind our back. */
	if (block_crypt_rotating(r->c.crypt, &at))
		m->boundary = at ? at : 1;
	m->key_len = (uint32_t)r->c.key->len;
	memcpy(m->key, r->c.key->data, r->c.key->len);
	rc = agent_send(r->agent, AGENT_ROTATE, err);
	if (!rc) {
		rc = loop_watch_add(r->c.loop, agent_fd(r->agent), EPOLLIN, on_readable, r, &r->watch);
		if (rc)
			err_set(err, rc, "the agent cannot be watched: %s", strerror(-rc));
	}
	if (rc) {
		agent_free(r->agent);
		r->agent = NULL;
	}
	return rc;
}

static void on_timer(void *ctx)
{
	struct rotate *r = ctx;
	struct err err = { 0 };
	int rc;

	if (rotate_ended(r)) {
		take_claim(r);
		return;
	}
	if (r->agent) {
		if (r->waiting)
			freeze(r);
		return;
	}
	rc = start_agent(r, &err);
	if (rc)
		try_again(r, -EPIPE, err.text);
}

/* ---- the interface */

static int check(const struct rotate_config *c, struct err *err)
{
	const struct agent_message *m = NULL;

	if (strlen(c->path) >= sizeof m->volume || (c->header && strlen(c->header) >= sizeof m->header))
		return err_set(err, -ENAMETOOLONG, "volume %s: its path is too long", c->name);
	if (strlen(c->name) >= sizeof m->name)
		return err_set(err, -ENAMETOOLONG, "volume %s: its name is too long", c->name);
	if (!c->key->len || c->key->len > sizeof m->key)
		return err_set(err, -EINVAL, "volume %s: a key of %zu bytes cannot be handed to the agent", c->name, c->key->len);
	return 0;
}

int rotate_start(const struct rotate_config *config, struct rotate **out, struct err *err)
{
	struct rotate *r;
	int rc = check(config, err);

	if (rc)
		return rc;
	r = calloc(1, sizeof *r);
	if (!r)
		return err_set(err, -ENOMEM, "out of memory");
	r->c = *config;
	r->c.zone = config->zone ? config->zone : ROTATE_ZONE;
	r->name = strdup(config->name);
	r->path = strdup(config->path);
	r->header = config->header ? strdup(config->header) : NULL;
	r->start_ns = loop_now_ns();
	r->load = config->load ? config->load(config->ctx) : 0;
	/* What an earlier rotation that failed has left frozen is recovered by this one. */
	r->frozen = r->told = block_crypt_zone_frozen(config->crypt);
	if (r->frozen)
		block_crypt_fail_zone(config->crypt, 0);
	r->frozen_ns = r->start_ns;
	if (!r->name || !r->path || (config->header && !r->header) ||
	    loop_timer_create(config->loop, on_timer, r, &r->timer))
		rc = err_set(err, -ENOMEM, "out of memory");
	rc = rc ? rc : start_agent(r, err);
	if (rc) {
		block_crypt_fail_zone(config->crypt, -EIO);	/* as it was: nobody will thaw it */
		rotate_free(r);
	} else {
		*out = r;
	}
	return rc;
}

void rotate_stop(struct rotate *r)
{
	if (rotate_ended(r) || r->stopping)
		return;
	r->stopping = true;
	if (r->waiting) {
		loop_timer_disarm(r->timer);
		freeze(r);
	} else if (!r->agent && !r->frozen) {
		end(r, ROTATE_STOPPED);
	}
}

void rotate_read(const struct rotate *r, struct rotate_state *state)
{
	*state = r->state;
	if (!rotate_ended(r))
		state->elapsed_ns = loop_now_ns() - r->start_ns;
	state->fresh = r->state.done > r->first ? r->state.done - r->first : 0;
	state->text = r->err.text;
}

bool rotate_ended(const struct rotate *r)
{
	return r->state.phase >= ROTATE_STOPPED;
}

void rotate_free(struct rotate *r)
{
	struct err err = { 0 };

	if (!r)
		return;
	end_agent(r);
	if (block_file_take_claim(r->c.base, &err))
		log_warn("volume %s: %s", r->name ? r->name : "", err.text);
	loop_timer_free(r->timer);
	free(r->name);
	free(r->path);
	free(r->header);
	free(r);
}
