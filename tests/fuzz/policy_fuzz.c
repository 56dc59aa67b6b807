/* SPDX-License-Identifier: Apache-2.0 */
/* A placement's network keys of any text: refused with one line, or printed in words that mean the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "lib/config.h"
#include "lib/l2/filter.h"

static char *text_of(const char *text, size_t len)
{
	struct err err = { .text = "" };
	struct policy *policy = NULL;
	struct config *config;
	char *out;
	int r;

	if (config_parse("fuzz", text, len, &config, &err))
		return NULL;
	r = policy_read(config, "net0", &policy, &err);
	config_free(config);
	if (r) {
		if (policy || !err.text[0] || strchr(err.text, '\n'))
			abort();
		return NULL;
	}
	out = policy_text(policy);
	policy_free(policy);
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *one = text_of((const char *)data, size), *two;

	if (!one)
		return 0;
	two = text_of(one, strlen(one));
	if (!two || strcmp(one, two))
		abort();
	free(one);
	free(two);
	return 0;
}
