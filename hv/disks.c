/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/disks.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "crypto/luks/agent.h"
#include "hv/block/limit.h"
#include "hv/block/map.h"
#include "hv/block/meter.h"
#include "hv/machine.h"
#include "lib/scope.h"

/* ---- what the placement says */

static unsigned count_disks(const struct env *env)
{
	unsigned n = 0;

	for (unsigned i = 0; i < env->pci_count; i++)
		n += env->pci[i].disk_count;
	return n;
}

static int read_placement(struct machine *m, struct err *err)
{
	struct disks *s = &m->disks;
	int r = placement_init(&s->placement, m->options->placement, err);

	if (r)
		return r;
	s->disk = calloc(count_disks(m->env) + 1, sizeof *s->disk);
	if (!s->disk)
		return err_set(err, -ENOMEM, "no memory");
	for (unsigned i = 0; i < m->env->pci_count; i++) {
		for (unsigned d = 0; d < m->env->pci[i].disk_count && !r; d++) {
			const struct env_disk *env = &m->env->pci[i].disks[d];

			if (env->medium == ENV_CD)
				continue;
			s->disk[s->disks++].env = env;
			r = placement_add(&s->placement, m->options->placement, env->name, err);
		}
	}
	return r;
}

/* ---- volumes */

/* A disk that the volume is a part of, for messages. */
static const char *user_of(const struct placement *p, unsigned volume)
{
	for (unsigned i = 0; i < p->disks; i++)
		for (unsigned j = 0; j < p->disk[i].parts; j++)
			if (p->disk[i].part[j].volume == volume)
				return p->disk[i].name;
	return "";
}

static int open_volumes(struct machine *m, struct err *err)
{
	struct disks *s = &m->disks;
	const struct placement *p = &s->placement;
	struct volume_context c = { .placement = p, .server = m->env->hostname, .loop = m->loop, .spare_fd = -1 };
	int r = 0;

	s->volume = calloc(p->volumes + 1, sizeof *s->volume);
	if (!s->volume)
		return err_set(err, -ENOMEM, "no memory");
	if (p->keyed || wires_secret(m))
		secret_harden();
	while (s->volumes < p->volumes && !r) {
		unsigned i = s->volumes++;

		r = volume_open(&s->volume[i], &p->volume[i], &c, err);
		if (r)
			err_prefix(err, "disk %s", user_of(p, i));
	}
	s->agent = c.agent;	/* it may have enrolled, and wires need to know as whom */
	if (c.spare_fd >= 0)
		close(c.spare_fd);
	return r;
}

/* ---- chains */

static uint64_t end_of(const struct placement_part *part, const struct disks *s)
{
	return part->len ? part->off + part->len : s->volume[part->volume].handle.size;
}

/* Two disks, or a disk twice, on the same bytes would destroy each other's data. */
static int check_overlap(const struct disks *s, unsigned disk, unsigned part, struct err *err)
{
	const struct placement *p = &s->placement;
	const struct placement_part *a = &p->disk[disk].part[part];

	for (unsigned i = 0; i <= disk; i++) {
		unsigned parts = i == disk ? part : p->disk[i].parts;

		for (unsigned j = 0; j < parts; j++) {
			const struct placement_part *b = &p->disk[i].part[j];

			if (a->volume == b->volume && a->off < end_of(b, s) && b->off < end_of(a, s))
				return err_set(err, -EINVAL, "disk %s: its part %u of volume %s overlaps with part %u of disk %s",
					       p->disk[disk].name, part + 1, p->volume[a->volume].name, j + 1, p->disk[i].name);
		}
	}
	return 0;
}

static int build_map(struct disks *s, unsigned i, struct block **b, struct err *err)
{
	const struct placement_disk *d = &s->placement.disk[i];
	auto_free struct block_slice *slice = calloc(d->parts, sizeof *slice);
	int r = slice ? 0 : err_set(err, -ENOMEM, "no memory");

	for (unsigned j = 0; j < d->parts && !r; j++) {
		const struct placement_part *part = &d->part[j];

		slice[j] = (struct block_slice){ &s->volume[part->volume].handle, part->off, part->len };
		r = check_overlap(s, i, j, err);
	}
	if (r)
		return r;
	*b = slice[0].lower;
	if (d->parts == 1 && !slice[0].off && !slice[0].len)
		return 0;
	r = block_map_create(slice, d->parts, b, err);
	return r ? err_prefix(err, "disk %s", d->name) : 0;
}

static int check_fit(const struct disks *s, unsigned i, const struct block *b, struct err *err)
{
	const struct env_disk *d = s->disk[i].env;
	const struct placement_disk *p = &s->placement.disk[i];
	const struct volume *v = &s->volume[p->part[0].volume];

	if (b->size < d->size && p->parts > 1)
		return err_set(err, -EINVAL, "disk %s: its parts are too short: together they have %" PRIu64 " bytes, the environment says %"
			       PRIu64, d->name, b->size, d->size);
	if (b->size < d->size)
		return err_set(err, -EINVAL, "disk %s: %s is too short: it has %" PRIu64 " bytes%s, the environment says %" PRIu64, d->name,
			       v->path, b->size, v->crypt ? " of plaintext" : "", d->size);
	if (b->logical > d->logical)
		return err_set(err, -EINVAL, "disk %s: its volume serves sectors of %u bytes, the environment says %u: use another volume",
			       d->name, b->logical, d->logical);
	return 0;
}

static int build_chain(struct machine *m, unsigned i, struct err *err)
{
	struct disks *s = &m->disks;
	const struct block_rate *rate = &s->placement.disk[i].rate;
	struct disk *d = &s->disk[i];
	int r = build_map(s, i, &d->chain, err);

	r = r ? r : check_fit(s, i, d->chain, err);
	if (r)
		return r;
	if (rate->bytes || rate->ops) {
		r = block_limit_create(d->chain, rate, &m->clock.clock, &d->limit);
		d->chain = r ? d->chain : d->limit;
	}
	if (!r) {
		r = block_meter_create(d->chain, &m->clock.clock, &d->meter);
		d->chain = r ? d->chain : d->meter;
	}
	return r ? err_set(err, r, "disk %s: %s", d->env->name, strerror(-r)) : 0;
}

/* ---- the whole */

int disks_create(struct machine *m, struct err *err)
{
	int r = read_placement(m, err);

	r = r ? r : open_volumes(m, err);
	for (unsigned i = 0; i < m->disks.disks && !r; i++)
		r = build_chain(m, i, err);
	return r;
}

void disks_free(struct machine *m)
{
	struct disks *s = &m->disks;

	for (unsigned i = s->disks; i-- > 0;)
		block_free(s->disk[i].chain);
	for (unsigned i = s->volumes; i-- > 0;)
		volume_free(&s->volume[i]);
	agent_free(s->agent);
	free(s->disk);
	free(s->volume);
	placement_free(&s->placement);
	*s = (struct disks){ 0 };
}

struct block *disks_find(const struct machine *m, const char *name)
{
	for (unsigned i = 0; i < m->disks.disks; i++)
		if (!strcmp(m->disks.disk[i].env->name, name))
			return m->disks.disk[i].chain;
	return NULL;
}

struct volume *disks_volume(struct machine *m, const char *name)
{
	for (unsigned i = 0; i < m->disks.volumes; i++)
		if (!strcmp(m->disks.volume[i].name, name))
			return &m->disks.volume[i];
	return NULL;
}
