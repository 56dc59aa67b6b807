/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encryption layer: the first bytes are a layout as a header might give it, opened or refused; the rest is requests,
 * completions out of order, failures, freezes and rotation steps, held against plain memory.
 */
#include "lib/log.h"
#include "tests/unit/hv/block/crypt_model.h"

/* Any layout: it opens within lower's size, or is refused with a message. */
static void open_any(struct rbuf *in)
{
	struct luks_layout l = { .version = 2 };
	struct fault *f = fault_create(65536);
	struct err err = { 0 };
	struct block *b;

	l.data_off = rbuf_le64(in);
	l.data_len = rbuf_le64(in);
	l.segment_count = rbuf_u8(in) % 4;
	for (unsigned i = 0; i < array_len(l.segment); i++) {
		struct luks_segment *s = &l.segment[i];

		s->off = rbuf_le64(in);
		s->len = rbuf_le64(in);
		s->tweak = rbuf_le64(in);
		s->sector = rbuf_le16(in);
		s->key_len = rbuf_u8(in);
		for (unsigned k = 0; k < sizeof s->key; k++)
			s->key[k] = (uint8_t)(k + i);
	}
	if (block_crypt_create(&f->b, &l, &b, &err)) {
		if (err.code >= 0 || !err.text[0])
			abort();
		return;
	}
	if (!b->size || b->size + l.data_off > 65536)
		abort();
	for (uint64_t o = 0; o + b->logical <= b->size; o += b->logical) {
		uint8_t sector[4096];

		if (crypt_call_now(b, BLOCK_READ, o, sector, b->logical))
			abort();
	}
	block_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rbuf in = rbuf_of(data, len);
	struct model *m;
	const char *error;

	if (rbuf_u8(&in) & 1) {
		open_any(&in);
		return 0;
	}
	m = model_create(&in);
	for (unsigned i = 0; i < 2000 && rbuf_left(&in) && !m->error[0]; i++)
		model_step(m, &in);
	error = model_finish(m);
	if (error) {
		log_error("%s", error);
		abort();
	}
	free(m);
	return 0;
}
