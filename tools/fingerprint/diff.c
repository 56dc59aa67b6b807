/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/fingerprint/facts.h"
#include <string.h>

struct walk {
	const struct facts *a, *b;
	size_t i, j;
};

/* The next key of the union; a side that lacks it gives NULL. False at the end. */
static bool next(struct walk *w, const struct fact **home, const struct fact **cloud)
{
	const struct fact *x = w->i < w->a->count ? &w->a->list[w->i] : NULL;
	const struct fact *y = w->j < w->b->count ? &w->b->list[w->j] : NULL;
	int order = !x ? 1 : !y ? -1 : strcmp(x->key, y->key);

	if (!x && !y)
		return false;
	*home = order <= 0 ? x : NULL;
	*cloud = order >= 0 ? y : NULL;
	w->i += order <= 0;
	w->j += order >= 0;
	return true;
}

static bool same(const struct fact *home, const struct fact *cloud)
{
	return home && cloud && !strcmp(home->value, cloud->value);
}

static void print(FILE *out, const struct fact *home, const struct fact *cloud)
{
	const char *kind = !home ? "added" : !cloud ? "removed" : same(home, cloud) ? "same" : "changed";

	fprintf(out, "%-8s %s\n", kind, home ? home->key : cloud->key);
	if (home)
		fprintf(out, "         home   %s\n", home->value);
	if (cloud && !same(home, cloud))
		fprintf(out, "         cloud  %s\n", cloud->value);
}

size_t facts_diff(const struct facts *a, const struct facts *b, FILE *out)
{
	struct walk w = {a, b, 0, 0};
	const struct fact *home, *cloud;
	size_t compared = 0, differences = 0, shown = 0;

	while (next(&w, &home, &cloud)) {
		if (fact_is_info(home ? home : cloud))
			continue;
		compared++;
		if (same(home, cloud))
			continue;
		differences++;
		print(out, home, cloud);
	}
	w = (struct walk){a, b, 0, 0};
	while (next(&w, &home, &cloud)) {
		if (!fact_is_info(home ? home : cloud))
			continue;
		if (!shown++)
			fputs("for information (measured or chosen at run time, not hardware):\n", out);
		print(out, home, cloud);
	}
	fprintf(out, "%zu facts compared, %zu differences\n", compared, differences);
	return differences;
}
