/* SPDX-License-Identifier: Apache-2.0 */
/* The fw_cfg file "bootorder": OpenFirmware paths of the boot disks, which SeaBIOS and OVMF match against what they find. */
#pragma once
#include <stddef.h>
#include "lib/env/env.h"

#define BOOTORDER_MAX 8192

/* Lines in boot order, then "HALT" (nothing else is tried), NUL at the end. Returns the length with the NUL; 0 when the
 * environment marks no boot disk: firmware then tries all it finds. */
size_t bootorder_build(const struct env *env, char out[BOOTORDER_MAX]);
