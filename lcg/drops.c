/* SPDX-License-Identifier: Apache-2.0 */
#include "lcg/drops.h"
#include <stdio.h>
#include "lib/log.h"
#include "lib/scope.h"

void drops_add(struct drops *d, const char *name, uint64_t n, bool said)
{
	bug_on(d->count == DROP_CAUSES);
	d->cause[d->count++] = (struct drop_cause){ name, n, said };
}

uint64_t drops_sum(const struct drops *d)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < d->count; i++)
		sum += d->cause[i].n;
	return sum;
}

json_t *drops_json(const struct drops *d)
{
	json_t *o = json_object();

	for (unsigned i = 0; o && i < d->count; i++)
		json_object_set_new(o, d->cause[i].name, json_integer((json_int_t)d->cause[i].n));
	return o;
}

void drops_put(const struct drops *d, json_t *o)
{
	char name[48];

	for (unsigned i = 0; i < d->count; i++) {
		snprintf(name, sizeof name, "drop_%s", d->cause[i].name);
		json_object_set_new(o, name, json_integer((json_int_t)d->cause[i].n));
	}
}

void drops_tell(struct drops_told *told, const struct drops *d, const char *who, uint64_t now_ns)
{
	for (unsigned i = 0; i < d->count; i++) {
		const struct drop_cause *c = d->cause + i;

		/* another mirror, say, begins at 0 */
		if (c->n < told->n[i])
			told->n[i] = 0;
		if (c->said || c->n == told->n[i] || now_ns < told->next_ns[i])
			continue;
		log_warn("%s: %llu frames were dropped: %s", who, (unsigned long long)(c->n - told->n[i]), c->name);
		told->n[i] = c->n;
		told->next_ns[i] = now_ns + DROPS_LINE_S * 1000000000ull;
	}
}
