/* SPDX-License-Identifier: Apache-2.0 */
/* The price of one exit on this machine, measured for the capability report. */
#pragma once
/* Microseconds for `out` to user space and back, mean of 1,000; negative when no VM could be made. */
double kvm_bench_port_exit(void);
