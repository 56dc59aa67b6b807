/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/rate.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/scope.h"

#define NS 1000000000ull

void rate_init(struct rate *rate, struct rate_limit limit)
{
	*rate = (struct rate){ .limit = limit, .left = (int64_t)limit.burst };
}

static void refill(struct rate *r, uint64_t now_ns)
{
	unsigned __int128 due;

	if (!r->at_ns || now_ns < r->at_ns) {
		r->at_ns = now_ns;
		return;
	}
	/* Buckets of busy links are asked more often than one unit comes in: the rest is kept. */
	due = (unsigned __int128)(now_ns - r->at_ns) * r->limit.per_s + r->rest;
	r->at_ns = now_ns;
	r->rest = (uint64_t)(due % NS);
	due /= NS;
	if (due >= (uint64_t)((int64_t)r->limit.burst - r->left)) {
		r->left = (int64_t)r->limit.burst;
		r->rest = 0;
	} else {
		r->left += (int64_t)due;
	}
}

bool rate_pass(struct rate *rate, uint64_t units, uint64_t now_ns)
{
	if (!rate->limit.per_s)
		return true;
	refill(rate, now_ns);
	if (rate->left <= 0)
		return false;
	rate->left -= (int64_t)units;
	return true;
}

/* A number with an optional K, M, G, in front of end. */
static bool number(const char *s, const char *end, bool units, uint64_t max, uint64_t *value)
{
	uint64_t v = 0;
	static const char units_of_size[] = "KMG";
	const char *unit, *p = s;

	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		v = v * 10 + (uint64_t)(*p - '0');
		if (v > max)
			return false;
	}
	if (p == s)
		return false;
	if (units && p < end && (unit = strchr(units_of_size, *p)) && *unit) {
		unsigned shift = 10u * (unsigned)(unit - units_of_size + 1);

		if (v > max >> shift)
			return false;
		v <<= shift;
		p++;
	}
	*value = v;
	return p == end && v && v <= max;
}

static bool per_second(const char *word, bool units, uint64_t *value)
{
	size_t len = word ? strlen(word) : 0;

	return len > 2 && !strcmp(word + len - 2, "/s") && number(word, word + len - 2, units, RATE_MAX, value);
}

int rate_parse_bytes(const char *text, struct rate_limit *limit, struct err *err)
{
	auto_free char *copy = strdup(text);
	char *rest = copy, *word, *value;

	if (!copy)
		return err_set(err, -ENOMEM, "out of memory");
	word = strtok_r(NULL, " \t", &rest);
	if (!per_second(word, true, &limit->per_s))
		return err_set(err, -EINVAL, "\"%.80s\" is no rate like 100M/s", word ? word : "");
	limit->burst = limit->per_s / 4 > RATE_BURST_MIN ? limit->per_s / 4 : RATE_BURST_MIN;
	word = strtok_r(NULL, " \t", &rest);
	if (!word)
		return 0;
	value = strtok_r(NULL, " \t", &rest);
	if (strcmp(word, "burst"))
		return err_set(err, -EINVAL, "\"%.80s\" is not \"burst\"", word);
	if (!value || !number(value, value + strlen(value), true, RATE_MAX, &limit->burst))
		return err_set(err, -EINVAL, "\"%.80s\" is no burst in bytes like 1M", value ? value : "");
	if (limit->burst < RATE_BURST_MIN)
		return err_set(err, -EINVAL, "\"%s\" is less than %uK: TCP would stand still", value, RATE_BURST_MIN >> 10);
	word = strtok_r(NULL, " \t", &rest);
	return word ? err_set(err, -EINVAL, "\"%.80s\" stands behind the burst", word) : 0;
}

int rate_parse_frames(const char *text, struct rate_limit *limit, struct err *err)
{
	*limit = (struct rate_limit){ 0 };
	if (!strcmp(text, "off"))
		return 0;
	if (!per_second(text, false, &limit->per_s))
		return err_set(err, -EINVAL, "\"%.80s\" is neither frames like 1000/s nor off", text);
	limit->burst = limit->per_s;
	return 0;
}
