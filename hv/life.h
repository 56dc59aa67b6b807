/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a machine: running, reset, power off. Anyone may ask; the event loop's thread carries it out, with every vCPU
 * standing between two instructions. A vCPU that asked executes nothing more before it is done.
 */
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include "hv/kvm/vcpu.h"
#include "lib/loop.h"

enum life_end {		/* also hull-hv's exit codes, see its man page */
	LIFE_POWERED_OFF = 0,	/* by the guest */
	LIFE_FAILED = 3,	/* KVM or the firmware could not go on */
	LIFE_FORCED_OFF = 4,	/* the operator did not wait for the guest */
	LIFE_NO_REBOOT = 5,	/* the guest asked for a reset and --no-reboot was given */
};

struct life_ops {
	void (*reset)(void *ctx);	/* put devices and vCPUs back to power-on; under the device lock, vCPUs stand still */
	void *ctx;
};

struct life {
	struct loop *loop;
	pthread_mutex_t *device_lock;
	struct vcpu **vcpu;
	unsigned count;
	struct life_ops ops;
	bool no_reboot;
	/* below: under gate, which is taken after the device lock */
	pthread_mutex_t gate;
	pthread_cond_t changed;
	enum { LIFE_RUN, LIFE_HOLD, LIFE_END } want;
	unsigned standing;		/* vCPUs in life_paused or ended */
	bool reset_asked, end_asked;
	enum life_end end;
	uint64_t resets;
};

void life_init(struct life *l, struct loop *loop, pthread_mutex_t *device_lock, struct vcpu **vcpu, unsigned count,
	       const struct life_ops *ops);
/* Any thread, with or without the device lock. The first end wins. */
void life_ask_reset(struct life *l);
void life_ask_end(struct life *l, enum life_end end);
/* struct vcpu_host.paused */
bool life_paused(struct life *l);
/* Join the vCPUs; without the device lock, after the loop has stopped. */
enum life_end life_join(struct life *l);
