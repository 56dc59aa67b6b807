/* SPDX-License-Identifier: Apache-2.0 */
/* A copy of a LUKS2 header, and its JSON: what Hull itself reads of them. The first byte says which. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/luks/luks_priv.h"

static void probe(const uint8_t *data, size_t size)
{
	struct luks_probe p = { 0 };

	for (uint64_t at = 0; at <= 32768; at += 16384)
		if (luks_probe_copy(data, size, at, &p) && (p.version != 2 || p.label[sizeof p.label - 1] || p.uuid[sizeof p.uuid - 1]))
			abort();
}

static void json(const uint8_t *data, size_t size)
{
	struct err err = { .text = "" };
	struct luks_json j;

	if (luks_json_parse((const char *)data, size, &j, &err)) {
		if (!err.text[0] || strchr(err.text, '\n'))
			abort();
		return;
	}
	if (!j.segment_count || j.segment_count > 3 || !memchr(j.requirement, 0, sizeof j.requirement))
		abort();
	for (int digest = -1; digest < 40; digest++)
		if (luks_json_slots_of(&j, digest) & ~j.slots)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] == '{')
		json(data, size);
	else
		probe(data + 1, size - 1);
	return 0;
}
