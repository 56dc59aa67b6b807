/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <stdbool.h>
#include "csc/csc.h"
#include "lib/log.h"

struct csc_options {
	struct csc_config csc;
	const char *identity, *control, *lma;
	uint32_t refresh_s;
	enum log_level level;
	bool help, version;
};

/* -EINVAL: wrong usage. What it points to is argv's. */
int csc_options_read(int argc, char **argv, struct csc_options *o, struct err *err) must_check;
void csc_options_usage(void);
