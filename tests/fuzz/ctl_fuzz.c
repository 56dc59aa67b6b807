/* SPDX-License-Identifier: Apache-2.0 */
/* A hull-ctl/1 stream of any bytes: what is taken for a message is one, and writes back to the same message. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "lib/ctl.h"

static void look(json_t *msg)
{
	struct err err;
	const char *verb;
	json_int_t id = 0;
	json_t *ok;

	if (!json_is_object(msg))
		abort();
	if (!ctl_request(msg, &id, &verb, &err) && !verb)
		abort();
	if (!ctl_answer(msg, id, &ok, &err))
		json_decref(ok);
}

static void write_back(json_t *msg)
{
	size_t len, used;
	json_t *again;
	char *text;

	if (ctl_text(msg, &text, &len))
		return;	/* escapes can make it longer than what was read */
	if (ctl_parse(text, len, &used, &again, NULL) || used != len || !json_equal(msg, again))
		abort();
	json_decref(again);
	ctl_text_free(text, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { .text = "" };
	json_t *msg;
	size_t used;

	while (!ctl_parse(data, size, &used, &msg, &err) && used) {
		if (!msg || used > size)
			abort();
		look(msg);
		write_back(msg);
		json_decref(msg);
		data += used;
		size -= used;
	}
	if (msg || strchr(err.text, '\n'))
		abort();
	return 0;
}
