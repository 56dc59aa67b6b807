/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <stdbool.h>
#include "lib/log.h"
#include "lma/service.h"

struct lma_options {
	struct service_config service;
	const char *unlock;
	char audit[4096];		/* where service.audit points to when it was not given */
	enum log_level level;
	bool help, version;
};

/* -EINVAL: wrong usage. What it points to is argv's. */
int lma_options_read(int argc, char **argv, struct lma_options *o, struct err *err) must_check;
void lma_options_usage(void);
