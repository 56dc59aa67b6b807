/* SPDX-License-Identifier: Apache-2.0 */
/* CPUID as the environment describes the CPU (Intel SDM vol. 2A, AMD APM vol. 3 appendix E), cut to what KVM can do here. */
#pragma once
#include "hv/kvm/vm.h"
#include "lib/env/env.h"

/* Build vCPU index's leaves and give them to KVM. */
int kvm_cpuid_apply(const struct kvm_vm *vm, const struct env *env, unsigned index, int vcpu_fd, struct err *err) must_check;
/* Log, once, the features that the environment names and this machine can't show: the guest will see a difference. */
void kvm_cpuid_report_missing(const struct kvm_vm *vm, const struct env *env);
