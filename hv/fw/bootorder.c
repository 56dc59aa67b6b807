/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/fw/bootorder.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "lib/err.h"

struct line { char *out; size_t pos; };

static void put(struct line *l, const char *fmt, ...) printf_like(2, 3);
static void put(struct line *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->out + l->pos, BOOTORDER_MAX - l->pos, fmt, ap);
	va_end(ap);
	bug_on(n < 0 || (size_t)n >= BOOTORDER_MAX - l->pos);
	l->pos += (size_t)n;
}

/* The environment's parents come before their children, so the depth is bounded by their number. */
static void put_node(struct line *l, const struct env *env, int i, const char *name)
{
	const struct env_pci *p = &env->pci[i];

	if (p->parent >= 0)
		put_node(l, env, p->parent, "pci-bridge");
	else
		put(l, "/pci@i0cf8");
	put(l, "/%s@%x", name, p->device);
	if (p->function)
		put(l, ",%x", p->function);
}

static void put_disk(struct line *l, const struct env *env, int i, const struct env_disk *d)
{
	if (env->pci[i].kind == ENV_PCI_AHCI) {
		put_node(l, env, i, "pci8086,2922");	/* the name by which OVMF knows AHCI; SeaBIOS takes any */
		put(l, "/drive@%x/disk@0\n", d->port);
	} else {
		put_node(l, env, i, "scsi");
		put(l, "/disk@0,0\n");
	}
}

/* The disk with the lowest boot number above after; equal numbers cannot be (the environment is checked). */
static const struct env_disk *next(const struct env *env, int after, int *controller)
{
	const struct env_disk *best = NULL;

	for (unsigned i = 0; i < env->pci_count; i++)
		for (unsigned k = 0; k < env->pci[i].disk_count; k++) {
			const struct env_disk *d = &env->pci[i].disks[k];

			if (d->boot > after && d->boot < (best ? best->boot : INT_MAX)) {
				best = d;
				*controller = (int)i;
			}
		}
	return best;
}

size_t bootorder_build(const struct env *env, char out[BOOTORDER_MAX])
{
	struct line l = { out, 0 };
	const struct env_disk *d;
	int controller = 0, after = 0;

	while (l.pos < BOOTORDER_MAX / 2 && (d = next(env, after, &controller))) {
		put_disk(&l, env, controller, d);
		after = d->boot;
	}
	if (!l.pos)
		return 0;
	put(&l, "HALT");
	return l.pos + 1;
}
