/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bus numbers that firmware will give: SeaBIOS and Linux go depth first in order of device and function, each bridge
 * takes the next number. SMBIOS type 41 names buses before anybody has numbered them.
 */
#pragma once
#include "lib/env/env.h"

struct buses { uint8_t of[ENV_MAX_PCI]; };	/* the bus that env->pci[i] stands on */

void buses_number(struct buses *buses, const struct env *env);
