/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/kvm/bench.h"
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include "lib/scope.h"

enum { PAGE = 4096, ROUNDS = 1000 };

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Real mode at 0:0, `out %al,$0x80` in a circle. */
static int prepare(int vcpu)
{
	struct kvm_sregs s;
	struct kvm_regs r = { .rflags = 2 };

	if (ioctl(vcpu, KVM_GET_SREGS, &s))
		return -1;
	s.cs.base = 0;
	s.cs.selector = 0;
	return ioctl(vcpu, KVM_SET_SREGS, &s) || ioctl(vcpu, KVM_SET_REGS, &r) ? -1 : 0;
}

static double rounds(int vcpu)
{
	double start = now_us();

	for (int i = 0; i < ROUNDS; i++) {
		if (ioctl(vcpu, KVM_RUN, 0))
			return -1;
	}
	return (now_us() - start) / ROUNDS;
}

double kvm_bench_port_exit(void)
{
	static const uint8_t code[] = { 0xe6, 0x80, 0xeb, 0xfc };
	auto_close int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	auto_close int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region m = { .memory_size = PAGE, .userspace_addr = (uintptr_t)page };
	double us = -1;

	if (page == MAP_FAILED)
		return -1;
	memcpy(page, code, sizeof code);
	if (vm >= 0 && !ioctl(vm, KVM_SET_TSS_ADDR, 0xfeffd000ul) && !ioctl(vm, KVM_SET_USER_MEMORY_REGION, &m)) {
		auto_close int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);

		if (vcpu >= 0 && !prepare(vcpu))
			us = rounds(vcpu);
	}
	munmap(page, PAGE);
	return us;
}
