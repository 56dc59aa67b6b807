/* SPDX-License-Identifier: Apache-2.0 */
/* hull-lcg's command line. */
#pragma once
#include <stdbool.h>
#include "lib/log.h"

struct lcg_options {
	const char *config;
	bool check, help, version;
	enum log_level level;
};

/* -EINVAL: wrong usage; the message says what. */
int lcg_options_read(int argc, char **argv, struct lcg_options *options, struct err *err) must_check;
void lcg_options_usage(void);
