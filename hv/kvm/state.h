/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's registers, all of them: kept after creation, put back at reset. */
#pragma once
#include "hv/kvm/vcpu.h"

int vcpu_state_save(int fd, const struct kvm_caps *caps, struct vcpu_state **state, struct err *err) must_check;
void vcpu_state_restore(int fd, const struct vcpu_state *state);
void vcpu_state_free(struct vcpu_state *state);
int vcpu_state_set_boot(int fd, const struct vcpu_boot *boot, struct err *err) must_check;
