/* SPDX-License-Identifier: Apache-2.0 */
/* The sample server: an ES-R240 with one EPYC, 1 GiB, an AHCI disk and one onboard e1000. tests/golden/smbios/ was read from it. */
#pragma once
#include "lib/env/env.h"

/* Fills *env; strings are static. */
void sample_env(struct env *env);
