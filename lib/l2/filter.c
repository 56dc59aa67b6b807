/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/filter.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/l2/firewall.h"
#include "lib/l2/guard.h"
#include "lib/l2/mss.h"
#include "lib/l2/policy_priv.h"
#include "lib/log.h"

enum { REPLIES_PER_S = 100 };
/* A firewall on a LAN has something to refuse all the time: a line a minute of each cause. */
#define LINE_NS 60000000000ull

static const char *const names[] = {
	[FILTER_PASS] = "pass", [FILTER_SPOOFED_MAC] = "spoofed-mac", [FILTER_SPOOFED_IP] = "spoofed-ip", [FILTER_STORM] = "storm",
	[FILTER_RATE] = "rate", [FILTER_FIREWALL] = "firewall", [FILTER_FLOOD] = "flood", [FILTER_RESERVED] = "reserved",
	[FILTER_FRAGMENT] = "fragment", [FILTER_TOO_BIG] = "too-big",
};
_Static_assert(sizeof names / sizeof names[0] == FILTER_CAUSES, "a name for each cause");
_Static_assert((int)FILTER_REPLY_MAX == (int)MSS_REPLY_MAX, "the same reply");

struct filter {
	struct policy *policy;
	struct firewall *firewall;
	struct guard guard;
	struct rate rate[2], replies;	/* rate: by enum filter_direction */
	unsigned mtu[2];		/* by the direction it limits; 0: none */
	unsigned mss4, mss6;		/* 0: not clamped */
	struct { uint64_t next_ns, held; } line[FILTER_CAUSES];	/* of the log */
	struct filter_counters counters;
};

const char *filter_cause_name(enum filter_cause cause)
{
	return (unsigned)cause < FILTER_CAUSES ? names[cause] : "unknown";
}

int filter_create(const uint8_t mac[FRAME_MAC], struct policy *policy, struct filter **filter, struct err *err)
{
	struct filter *new;

	if (mac[0] & 1) {
		policy_free(policy);
		return err_set(err, -EINVAL, "a NIC's MAC can't be a group's");
	}
	new = calloc(1, sizeof *new);
	if (!new || firewall_create(FIREWALL_CONNECTIONS, &new->firewall)) {
		free(new);
		policy_free(policy);
		return err_set(err, -ENOMEM, "out of memory");
	}
	memcpy(new->guard.mac, mac, FRAME_MAC);
	rate_init(&new->replies, (struct rate_limit){ REPLIES_PER_S, REPLIES_PER_S });
	filter_set_policy(new, policy);
	*filter = new;
	return 0;
}

void filter_free(struct filter *filter)
{
	if (!filter)
		return;
	firewall_free(filter->firewall);
	policy_free(filter->policy);
	free(filter);
}

static void set_clamp(struct filter *fi)
{
	unsigned a = fi->mtu[0], b = fi->mtu[1], mtu = a && (a < b || !b) ? a : b, mss = fi->policy->mss;

	if (mss == MSS_AUTO) {
		fi->mss4 = mtu > MSS_HEADERS4 ? mtu - MSS_HEADERS4 : 0;
		fi->mss6 = mtu > MSS_HEADERS6 ? mtu - MSS_HEADERS6 : 0;
	} else {
		fi->mss4 = fi->mss6 = mss;
	}
}

void filter_set_mtu(struct filter *filter, unsigned lan, unsigned nic)
{
	filter->mtu[FILTER_FROM_SERVER] = lan;
	filter->mtu[FILTER_TO_SERVER] = nic;
	set_clamp(filter);
}

void filter_resume(struct filter *filter)
{
	firewall_resume(filter->firewall);
}

void filter_set_policy(struct filter *filter, struct policy *policy)
{
	struct policy *old = filter->policy;

	filter->policy = policy;
	firewall_set_policy(filter->firewall, policy);
	guard_set_policy(&filter->guard, policy);
	for (unsigned i = 0; i < 2; i++)
		if (memcmp(&filter->rate[i].limit, &policy->rate, sizeof policy->rate))
			rate_init(&filter->rate[i], policy->rate);
	set_clamp(filter);
	policy_free(old);
}

static __attribute__((cold, noinline)) void tell(struct filter *fi, enum filter_direction direction, enum filter_cause cause,
	const struct frame *f, uint64_t now_ns)
{
	char nic[FRAME_MAC_TEXT], src[FRAME_MAC_TEXT], dst[FRAME_MAC_TEXT];

	if (now_ns < fi->line[cause].next_ns) {
		fi->line[cause].held++;
		return;
	}
	frame_mac_text(fi->guard.mac, nic);
	frame_mac_text(frame_src(f), src);
	frame_mac_text(frame_dst(f), dst);
	log_warn("%s of %s: dropped a frame %s the server: %s (%s to %s, type 0x%04x, IP protocol %u, %zu bytes; %llu more held back)",
		fi->policy->nic, nic, direction == FILTER_FROM_SERVER ? "from" : "to", names[cause], src, dst, f->type, f->proto,
		f->len, (unsigned long long)fi->line[cause].held);
	fi->line[cause].held = 0;
	fi->line[cause].next_ns = now_ns + LINE_NS;
}

enum filter_cause filter_pass(struct filter *filter, enum filter_direction direction, struct frame *f, uint64_t now_ns)
{
	enum filter_cause cause = guard_pass(&filter->guard, filter->policy, direction, f, now_ns);

	if (cause == FILTER_PASS)
		cause = firewall_pass(filter->firewall, direction, f, now_ns);
	if (cause == FILTER_PASS && filter->mtu[direction] && mss_exceeds(f, filter->mtu[direction]))
		cause = FILTER_TOO_BIG;
	if (cause == FILTER_PASS && !rate_pass(&filter->rate[direction], f->len, now_ns))
		cause = FILTER_RATE;
	filter->counters.cause[cause]++;
	if (__builtin_expect(cause != FILTER_PASS, 0)) {
		tell(filter, direction, cause, f, now_ns);
		return cause;
	}
	/* A guest has no say in whether the LAN looks at a checksum. */
	if (direction == FILTER_FROM_SERVER)
		f->hdr.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	filter->counters.clamped += mss_clamp(f, filter->mss4, filter->mss6);
	return FILTER_PASS;
}

size_t filter_reply(struct filter *filter, enum filter_direction direction, const struct frame *f, uint8_t buf[FILTER_REPLY_MAX],
	uint64_t now_ns)
{
	size_t len = mss_reply(f, filter->mtu[direction], buf);

	if (!len || !rate_pass(&filter->replies, 1, now_ns))
		return 0;
	filter->counters.replies++;
	return len;
}

void filter_counters(const struct filter *filter, struct filter_counters *counters)
{
	const struct conntrack_counters *c = firewall_counters(filter->firewall);

	*counters = filter->counters;
	counters->connections = c->now;
	counters->connections_max = c->most;
	counters->evicted = c->evicted;
}
