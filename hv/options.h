/* SPDX-License-Identifier: Apache-2.0 */
/* hull-hv's command line. docs/man/hull-hv.1 describes each option; the placement file and the options fill one struct config. */
#pragma once
#include <stdbool.h>
#include "lib/config.h"
#include "lib/log.h"

struct options {
	const char *env;		/* .dtb */
	struct config *placement;	/* keys disk.NAME, nic.NAME, console.comN; owned */
	const char *firmware;		/* NULL: the firmware's usual place */
	const char *kernel, *initrd, *append;
	const char *stats;		/* JSON counters at the end */
	const char *debug_log;		/* firmware's debug output: a file, "-": standard error, NULL: off */
	unsigned power_timeout_s;	/* from the power button to a forced power off */
	bool memory_lock, no_reboot, probe, json, help, version;
	enum log_level log_level;
};

/* Strings point into argv. -EINVAL with a message; 0 otherwise. options_free after either. */
int options_parse(struct options *o, int argc, char **argv, struct err *err) must_check;
void options_free(struct options *o);
void options_usage(void);
