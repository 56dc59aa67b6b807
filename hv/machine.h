/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine: everything one server needs, wired as its environment says. machine.c makes memory, vCPUs and chipset and runs
 * them; board.c the parts soldered to every PC's board; slots.c what sits in PCI slots.
 *
 * The device lock (machine.lock) is the one lock around every chip core, bus and back end: a vCPU takes it for the
 * length of one exit, the event loop holds it while it calls back. One lock keeps the models free of locks; what is
 * hot avoids exits instead.
 */
#pragma once
#include <pthread.h>
#include "hv/clock_real.h"
#include "hv/board.h"
#include "hv/disks.h"
#include "hv/fw/firmware.h"
#include "hv/kvm/vcpu.h"
#include "hv/life.h"
#include "hv/mgmt/mgmt.h"
#include "hv/options.h"
#include "hv/pci/chipset.h"
#include "hv/ram.h"
#include "hv/slots.h"
#include "hv/wires.h"
#include "lib/env/env.h"
#include "lib/loop.h"

struct machine {
	const struct options *options;
	struct env *env;
	struct layout layout;
	pthread_mutex_t lock;		/* the device lock; before life.gate */
	struct loop *loop;
	struct clock_real clock;
	struct kvm_vm *vm;
	struct ram ram;
	struct mem mem;
	struct bus ports, mmio;
	struct pci_host pci;
	struct chipset *chipset;
	struct fwcfg fwcfg;
	struct bus_range fwcfg_range;
	struct fw fw;
	bool fw_ready;
	struct board board;
	struct disks disks;
	struct wires wires;
	struct slots slots;
	struct mgmt mgmt;
	struct doorbell *doorbells;	/* list */
	struct kvm_chips *chips;	/* interrupt chips at power-on */
	struct vcpu_host vcpu_host;
	struct vcpu *vcpu[ENV_MAX_CPUS];
	struct life life;
	struct loop_timer *power_timer;
	struct loop_watch *signal_watch;
	int signal_fd;
	bool power_pressed;
	uint64_t start_ns;		/* CLOCK_MONOTONIC when hull-hv started */
};

/* Build it: nothing outside this process changes before everything has been checked. *machine is freed by machine_free. */
int machine_create(const struct options *options, uint64_t start_ns, struct machine **machine, struct err *err) must_check;
/* Run until the end; the exit code. Writes the counters when asked to. */
int machine_run(struct machine *m);
void machine_free(struct machine *m);
/* Loop thread. A second press powers off by force. */
void machine_press_power(struct machine *m);
