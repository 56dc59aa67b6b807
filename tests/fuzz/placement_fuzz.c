/* SPDX-License-Identifier: Apache-2.0 */
/* A placement of any bytes, asked for two disks. What is accepted must keep the promises of placement.h. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "hv/placement.h"

static void must(int c)
{
	if (!c)
		abort();
}

static void check_disk(const struct placement *p, const struct placement_disk *d)
{
	must(d->parts > 0);
	for (unsigned i = 0; i < d->parts; i++) {
		const struct placement_part *part = &d->part[i];

		must(part->volume < p->volumes && (part->off | part->len) % 512 == 0 && part->off + part->len >= part->off);
		must(part->len || !part->off);
	}
}

static void check_placement(const struct placement *p)
{
	for (unsigned i = 0; i < p->volumes; i++) {
		const struct placement_volume *v = &p->volume[i];

		must(v->name[0] && memchr(v->name, 0, sizeof v->name) && v->path[0]);
		must(!v->key || p->keyed);
		must(!v->header || v->key);
		for (unsigned j = 0; j < i; j++)
			must(strcmp(v->name, p->volume[j].name));
	}
	for (unsigned i = 0; i < p->disks; i++)
		check_disk(p, &p->disk[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *config = NULL;
	struct err err = { .text = "" };
	struct placement p;
	int r;

	if (config_parse("fuzz", (const char *)data, size, &config, &err))
		return 0;
	r = placement_init(&p, config, &err);
	if (!r)
		r = placement_add(&p, config, "sda", &err);
	if (!r)
		r = placement_add(&p, config, "sdb", &err);
	if (r)
		must(r < 0 && err.text[0] && !strchr(err.text, '\n'));
	else
		check_placement(&p);
	placement_free(&p);
	config_free(config);
	return 0;
}
