/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/block/limit.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "lib/scope.h"

#define NS 1000000000u
#define BURST (NS / 10)
#define MOST_NS (1ull << 60)	/* what a request costs at most: decades, and no overflow */

/*
 * A token bucket as a point in time: full when it lies in the past, empty when it lies BURST ahead. Each request moves it on
 * by what it costs at the bucket's rate.
 */
struct bucket { uint64_t rate, at_ns; };

struct limit {
	struct block b;
	struct clock *clock;
	struct clock_timer timer;
	struct bucket bytes, ops;
	struct block_req *waiting, **waiting_end;
	bool pumping;
};

static uint64_t cost_ns(const struct bucket *k, uint64_t amount)
{
	unsigned __int128 ns;

	if (!k->rate)
		return 0;
	ns = (unsigned __int128)amount * NS / k->rate;
	return ns < MOST_NS ? (uint64_t)ns : MOST_NS;
}

/* When the bucket holds enough for that cost: a whole burst will do for anything larger. */
static uint64_t ready_ns(const struct bucket *k, uint64_t cost)
{
	uint64_t needed = cost < BURST ? cost : BURST, slack = BURST - needed;

	return k->rate && k->at_ns > slack ? k->at_ns - slack : 0;
}

static void charge(struct bucket *k, uint64_t cost, uint64_t now)
{
	if (!k->rate)
		return;
	k->at_ns = (k->at_ns > now ? k->at_ns : now) + cost;
	if (k->at_ns > now + MOST_NS)
		k->at_ns = now + MOST_NS;
}

/* Charges for the request if its time has come (or force), else says when it will. */
static bool take(struct limit *l, const struct block_req *req, bool force, uint64_t *when)
{
	bool moves = req->op != BLOCK_DISCARD;
	uint64_t bytes, ops, now, bytes_ready, ops_ready;

	if (req->op == BLOCK_FLUSH)
		return true;
	now = clock_now(l->clock);
	bytes = cost_ns(&l->bytes, moves ? req->len : 0);
	ops = cost_ns(&l->ops, 1);
	bytes_ready = bytes ? ready_ns(&l->bytes, bytes) : 0;
	ops_ready = ready_ns(&l->ops, ops);
	*when = bytes_ready > ops_ready ? bytes_ready : ops_ready;
	if (*when > now && !force)
		return false;
	charge(&l->bytes, bytes, now);
	charge(&l->ops, ops, now);
	return true;
}

/* Requests come back in while others are passed on: the outermost call goes on with them, so that the stack stays flat. */
static void pump(struct limit *l, bool force)
{
	uint64_t when;

	if (l->pumping)
		return;
	l->pumping = true;
	while (l->waiting) {
		struct block_req *req = l->waiting;

		if (!take(l, req, force, &when)) {
			clock_arm(l->clock, &l->timer, when);
			break;
		}
		l->waiting = req->next;
		if (!l->waiting)
			l->waiting_end = &l->waiting;
		l->b.lower->ops->submit(l->b.lower, req);
	}
	l->pumping = false;
}

static void on_time(void *ctx)
{
	pump(ctx, false);
}

static void submit(struct block *b, struct block_req *req)
{
	struct limit *l = container_of(b, struct limit, b);
	bool first = !l->waiting;

	req->next = NULL;
	*l->waiting_end = req;
	l->waiting_end = &req->next;
	if (first)
		pump(l, false);
}

static void drain(struct block *b)
{
	struct limit *l = container_of(b, struct limit, b);

	do {
		pump(l, true);
		block_drain(b->lower);
	} while (l->waiting);
	clock_disarm(l->clock, &l->timer);
}

static void free_limit(struct block *b)
{
	struct limit *l = container_of(b, struct limit, b);

	clock_disarm(l->clock, &l->timer);
	block_free(b->lower);
	free(l);
}

static const struct block_ops ops = { .name = "limit", .submit = submit, .drain = drain, .free = free_limit };

void block_limit_set(struct block *b, const struct block_rate *rate)
{
	struct limit *l = container_of(b, struct limit, b);

	l->bytes = (struct bucket){ .rate = rate->bytes };
	l->ops = (struct bucket){ .rate = rate->ops };
	clock_disarm(l->clock, &l->timer);
	pump(l, false);
}

int block_limit_create(struct block *lower, const struct block_rate *rate, struct clock *clock, struct block **b)
{
	struct limit *l = calloc(1, sizeof *l);

	if (!l)
		return -ENOMEM;
	l->b = *lower;
	l->b.ops = &ops;
	l->b.lower = lower;
	l->clock = clock;
	l->timer = (struct clock_timer){ .fire = on_time, .ctx = l };
	l->waiting_end = &l->waiting;
	block_limit_set(&l->b, rate);
	*b = &l->b;
	return 0;
}

/* ---- rates in words */

static int bad_rate(const char *word, size_t len, struct err *err)
{
	return err_set(err, -EINVAL, "\"%.*s\" is no rate: 200M/s (bytes, with K, M or G) or 5000/s (operations)", (int)len, word);
}

static int parse_word(const char *word, size_t len, struct block_rate *rate, struct err *err)
{
	static const char units[] = "KMG";
	const char *unit, *p = word;
	uint64_t n = 0, *to = &rate->ops;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(n, 10u, &n) || __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
			return err_set(err, -ERANGE, "\"%.*s\" is too large a rate", (int)len, word);
	unit = *p ? strchr(units, *p) : NULL;
	if (p > word && unit) {
		if (__builtin_mul_overflow(n, 1ull << 10 * (unit - units + 1), &n))
			return err_set(err, -ERANGE, "\"%.*s\" is too large a rate", (int)len, word);
		to = &rate->bytes;
		p++;
	}
	if (p == word || p + 2 != word + len || strncmp(p, "/s", 2))
		return bad_rate(word, len, err);
	if (!n)
		return err_set(err, -EINVAL, "\"%.*s\" would stop the disk: a rate is at least 1", (int)len, word);
	if (*to)
		return err_set(err, -EINVAL, "\"%.*s\" is the second limit on %s", (int)len, word,
			       to == &rate->ops ? "operations" : "bytes");
	*to = n;
	return 0;
}

int block_rate_parse(const char *text, struct block_rate *rate, struct err *err)
{
	int r = 0;

	*rate = (struct block_rate){ 0 };
	for (const char *p = text + strspn(text, " \t"); *p && !r; p += strspn(p, " \t")) {
		size_t len = strcspn(p, " \t");

		r = parse_word(p, len, rate, err);
		p += len;
	}
	if (!r && !rate->bytes && !rate->ops)
		return bad_rate(text, strlen(text), err);
	return r;
}
