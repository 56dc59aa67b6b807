/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/fw/buses.h"

static bool is_bridge(const struct env_pci *p)
{
	return p->kind == ENV_PCI_ROOT_PORT || p->kind == ENV_PCI_BRIDGE;
}

/* The child of parent with the lowest devfn above after, or -1. */
static int next_child(const struct env *env, int parent, int after)
{
	int best = -1, best_devfn = 256;

	for (unsigned i = 0; i < env->pci_count; i++) {
		const struct env_pci *p = &env->pci[i];
		int devfn = p->device << 3 | p->function;

		if (p->parent == parent && devfn > after && devfn < best_devfn) {
			best = (int)i;
			best_devfn = devfn;
		}
	}
	return best;
}

static void number(struct buses *buses, const struct env *env, int parent, uint8_t bus, uint8_t *last)
{
	for (int i = next_child(env, parent, -1); i >= 0;) {
		const struct env_pci *p = &env->pci[i];

		buses->of[i] = bus;
		if (is_bridge(p)) {
			++*last;
			number(buses, env, i, *last, last);
		}
		i = next_child(env, parent, p->device << 3 | p->function);
	}
}

void buses_number(struct buses *buses, const struct env *env)
{
	uint8_t last = 0;

	*buses = (struct buses){ 0 };
	number(buses, env, -1, 0, &last);
}
