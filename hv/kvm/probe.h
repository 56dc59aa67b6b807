/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine can and cannot do for hull-hv, in words. */
#pragma once
#include <stdbool.h>
#include <stdio.h>
#include "lib/err.h"

/* Open /dev/kvm and check its API version. The descriptor, or -errno with a message that names the module to load, the
 * CPU flag or BIOS setting that is missing, or the permission. */
int kvm_probe_open(struct err *err) must_check;
/* -EOPNOTSUPP naming the first capability that hull-hv can't do without and this KVM lacks. */
int kvm_probe_required(int fd, struct err *err) must_check;
/* The capability report of `hull-hv --probe`, as text or JSON. 0 when hull-hv can run here, else -errno. */
int kvm_probe_report(FILE *out, bool json) must_check;
