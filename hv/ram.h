/* SPDX-License-Identifier: Apache-2.0 */
/* Guest RAM: one mapping of huge pages where the kernel has them, cut into the regions of the memory map. */
#pragma once
#include "hv/fw/layout.h"
#include "lib/env/env.h"
#include "hv/mem.h"

struct ram { void *base; uint64_t size; };

/* Map env->memory bytes, add the regions to mem. -ENOMEM with figures when this machine has too little.
 * lock: keep it all resident (mlock). Guest memory is left out of core dumps. */
int ram_create(struct ram *ram, const struct env *env, const struct layout *layout, struct mem *mem, bool lock,
	       struct err *err) must_check;
void ram_free(struct ram *ram);
