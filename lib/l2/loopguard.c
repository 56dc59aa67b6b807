/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/loopguard.h"
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include "lib/bits.h"
#include "lib/l2/guard.h"

enum { ETH_TYPE_PROBE = 0x88b5, MARK = 16, HASTE_MS = 200 };
#define NS_PER_S 1000000000ull

/* A locally administered group, and the first word behind the EtherType: others experiment too. */
static const uint8_t group[FRAME_MAC] = { 0x03, 0x68, 0x75, 0x6c, 0x6c, 0x00 };
static const uint8_t magic[8] = "hulloop1";

void loopguard_init(struct loopguard *g, const uint8_t mac[FRAME_MAC], struct rate_limit storm)
{
	*g = (struct loopguard){ .shut_s = LOOPGUARD_SHUT_S };
	memcpy(g->mac, mac, FRAME_MAC);
	rate_init(&g->storm, storm);
}

bool loopguard_is_shut(const struct loopguard *g, uint64_t now_ns)
{
	return now_ns < g->shut_until_ns;
}

uint64_t loopguard_due(const struct loopguard *g)
{
	return g->probe_ns;
}

int loopguard_probe(struct loopguard *g, uint8_t buf[LOOPGUARD_FRAME], uint64_t now_ns)
{
	uint8_t mark[MARK];

	if (now_ns < g->probe_ns || loopguard_is_shut(g, now_ns))
		return 0;
	g->probe_ns = now_ns + LOOPGUARD_PROBE_S * NS_PER_S;
	if (getrandom(mark, sizeof mark, GRND_NONBLOCK) != sizeof mark)
		return -EIO;
	memset(buf, 0, LOOPGUARD_FRAME);
	memcpy(buf, group, FRAME_MAC);
	memcpy(buf + FRAME_MAC, g->mac, FRAME_MAC);
	put_be16(buf + 12, ETH_TYPE_PROBE);
	memcpy(buf + 14, magic, sizeof magic);
	memcpy(buf + 22, mark, MARK);
	/* The one before may still be on a slow way; older ones are worth nothing, so that they can't be played back. */
	memcpy(g->sent_mark[1], g->sent_mark[0], MARK);
	memcpy(g->sent_mark[0], mark, MARK);
	g->counters.probes++;
	return LOOPGUARD_FRAME;
}

static bool is_ours(const struct loopguard *g, const uint8_t *mark)
{
	static const uint8_t none[MARK];

	for (unsigned i = 0; i < 2; i++)
		if (memcmp(g->sent_mark[i], none, MARK) && !memcmp(g->sent_mark[i], mark, MARK))
			return true;
	return false;
}

static void shut(struct loopguard *g, uint64_t now_ns)
{
	/* Longer each time, until it stayed open for as long as it was shut last. */
	if (g->opened_ns && now_ns - g->opened_ns > g->shut_s * NS_PER_S)
		g->shut_s = LOOPGUARD_SHUT_S;
	else if (g->opened_ns)
		g->shut_s = g->shut_s * 2 < LOOPGUARD_SHUT_MAX_S ? g->shut_s * 2 : LOOPGUARD_SHUT_MAX_S;
	g->counters.loops++;
	g->shut_until_ns = now_ns + g->shut_s * NS_PER_S;
	g->opened_ns = g->shut_until_ns;
	g->probe_ns = g->shut_until_ns;
	memset(g->sent_mark, 0, sizeof g->sent_mark);
}

enum loopguard_verdict loopguard_input(struct loopguard *g, const struct frame *f, uint64_t now_ns)
{
	const uint8_t *p = f->data + f->body;

	if (f->type == ETH_TYPE_PROBE && f->len >= f->body + sizeof magic + MARK && !memcmp(p, magic, sizeof magic)) {
		if (!is_ours(g, p + sizeof magic))
			g->counters.foreign++;
		else if (!loopguard_is_shut(g, now_ns))
			shut(g, now_ns);
		return LOOPGUARD_PROBE;
	}
	if (loopguard_is_shut(g, now_ns)) {
		g->counters.drop_shut++;
		return LOOPGUARD_SHUT;
	}
	if (frame_is_multicast(f) && !rate_pass(&g->storm, guard_frames(f), now_ns)) {
		g->counters.drop_storm++;
		return LOOPGUARD_STORM;
	}
	return LOOPGUARD_PASS;
}

bool loopguard_output(struct loopguard *g, uint64_t now_ns)
{
	if (!loopguard_is_shut(g, now_ns))
		return true;
	g->counters.drop_shut++;
	return false;
}

void loopguard_own_mac(struct loopguard *g, uint64_t now_ns)
{
	uint64_t soon = now_ns + HASTE_MS * 1000000ull;

	g->counters.own_mac++;
	/* With forged frames nobody can make us send more than five probes a second. */
	if (!loopguard_is_shut(g, now_ns) && soon < g->probe_ns)
		g->probe_ns = soon;
}
