/* SPDX-License-Identifier: Apache-2.0 */
/* Nonces of used tickets: a hash table, open addressing. Nonces are the authority's random bytes: they are their own hash. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/pki/ticket.h"

enum { ROOM_MIN = 64 };

struct used { uint8_t nonce[TICKET_NONCE]; time_t until; };	/* until 0: free */

struct ticket_spent {
	struct used *used;
	size_t room, count;	/* room: a power of two */
	unsigned max;
	time_t first;		/* the earliest until; nothing can be forgotten before */
	time_t latest;		/* that was told: the clock may be set back, what was forgotten stays over */
};

int ticket_spent_create(unsigned max, struct ticket_spent **out)
{
	struct ticket_spent *s = calloc(1, sizeof *s);

	*out = s;
	if (!s)
		return -ENOMEM;
	s->max = max;
	return 0;
}

void ticket_spent_free(struct ticket_spent *s)
{
	if (!s)
		return;
	free(s->used);
	free(s);
}

/* Its place, or the free one where it would be. There is always a free one. */
static struct used *find(struct used *used, size_t room, const uint8_t nonce[TICKET_NONCE])
{
	size_t at;

	memcpy(&at, nonce, sizeof at);
	for (at &= room - 1; used[at].until; at = (at + 1) & (room - 1))
		if (!memcmp(used[at].nonce, nonce, TICKET_NONCE))
			break;
	return &used[at];
}

static bool is_over(time_t until, time_t now)
{
	return now >= until + TICKET_SKEW_S;
}

/* Forget what is over; room for one more. */
static int rebuild(struct ticket_spent *s, time_t now)
{
	size_t live = 0, room = ROOM_MIN;
	struct used *used;

	for (size_t i = 0; i < s->room; i++)
		live += s->used[i].until && !is_over(s->used[i].until, now);
	if (live >= s->max)
		return -ENOSPC;
	while (room < 2 * (live + 1))
		room *= 2;
	used = calloc(room, sizeof *used);
	if (!used)
		return -ENOMEM;
	s->first = 0;
	for (size_t i = 0; i < s->room; i++) {
		const struct used *u = &s->used[i];

		if (!u->until || is_over(u->until, now))
			continue;
		*find(used, room, u->nonce) = *u;
		if (!s->first || u->until < s->first)
			s->first = u->until;
	}
	free(s->used);
	s->used = used;
	s->room = room;
	s->count = live;
	return 0;
}

static int make_room(struct ticket_spent *s, time_t now)
{
	if (s->count < s->max && s->count + 1 <= s->room / 4 * 3)
		return 0;
	/* a full list is gone through again only when that can help */
	if (s->count >= s->max && s->first && !is_over(s->first, now))
		return -ENOSPC;
	return rebuild(s, now);
}

int ticket_spend(struct ticket_spent *s, const struct ticket *t, time_t now, struct err *err)
{
	struct used *u;
	int rc;

	if (now > s->latest)
		s->latest = now;
	if (is_over(t->until, s->latest))
		return err_set(err, -EKEYEXPIRED, "ticket: has expired by the clock as it was");
	if (s->room && find(s->used, s->room, t->nonce)->until)
		return err_set(err, -EEXIST, "ticket: was used already");
	rc = make_room(s, s->latest);
	if (rc)
		return err_set(err, rc, rc == -ENOSPC ? "ticket: more than %u were used in the last minutes" : "ticket: out of memory",
			s->max);
	u = find(s->used, s->room, t->nonce);
	memcpy(u->nonce, t->nonce, sizeof u->nonce);
	u->until = t->until;
	s->count++;
	if (!s->first || t->until < s->first)
		s->first = t->until;
	return 0;
}
