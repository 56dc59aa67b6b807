/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration file of any bytes: parsed, asked for every key, overridden. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "lib/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *config = NULL;
	struct err err = { .text = "" };
	const char *key;

	if (config_parse("fuzz", (const char *)data, size, &config, &err)) {
		if (config || !err.text[0] || strchr(err.text, '\n'))
			abort();
		return 0;
	}
	for (size_t i = 0; (key = config_key(config, i)); i++) {
		const char *value = config_get(config, key);

		if (!value || !value[0] || config_set(config, key, "x", &err))
			abort();
	}
	if (config_unknown(config, NULL))
		abort();
	config_free(config);
	return 0;
}
