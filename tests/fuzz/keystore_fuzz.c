/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key store files from people. First byte 'H': the rest is a file as it is. Anything else: a file made of a good one by the
 * ops that follow, sealed and summed with a root key that is known, so that the parsers behind the wraps are reached:
 * its low bits say which parts are forged again (1: the body is built of ops; 2: bytes of the header change;
 * 4: the checksum stays wrong; 8: the body's wrap stays wrong).
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"
#include "tests/unit/crypto/keystore_forge.h"

static void must(int c)
{
	if (!c)
		abort();
}

static const uint8_t root[STORE_KEY] = { 42 };

static int count_entry(void *ctx, const struct keystore_entry *e)
{
	must((e->record != NULL) != (e->server != NULL));
	++*(size_t *)ctx;
	return 0;
}

/* What was taken for good is worked with, written again and read again. */
static void use(struct content *c)
{
	struct keystore ks = { .path = (char *)"store", .now = c, .lock = -1 };
	struct content *again = NULL;
	struct err err = { .text = "" };
	uint8_t *file = NULL;
	size_t n = 0, len;

	keystore_walk(&ks, count_entry, &n);
	must(n == c->count);
	for (size_t i = 0; i < c->count; i++) {
		struct entry *e = &c->entries[i];
		struct secret s = { 0 };

		must(entry_find(c, e->kind, e->server, e->name) == e);
		if (e->kind == ENTRY_VOLUME && !keystore_volume_key(&ks, e->server, e->name, &s, &err))
			must(s.len == STORE_KEY);
		if (e->kind == ENTRY_RECORD && !keystore_record_get(&ks, e->name, &s, &err))
			must(s.len <= STORE_RECORD);
		secret_destroy(&s);
	}
	(void)!keystore_verify(&ks, &err);
	must(!slots_check(c));
	must(!file_write("store", c, &file, &len, &err));
	must(!forge_parse(file, len, root, &again, &err) && again->count == n);
	content_free(again);
	free(file);
}

static void parse(const uint8_t *file, size_t len)
{
	struct err err = { .text = "" };
	struct content *c;
	int rc = forge_parse(file, len, root, &c, &err);

	must(!rc == (c != NULL));
	must(!rc || rc == -EINVAL || rc == -ENOTSUP || rc == -EPERM);
	must(!rc || rc == -EPERM || err.text[0]);
	if (c)
		use(c);
	content_free(c);
}

static const char *const names[] = { "", "a", "b", "web01", "a/b", "pki/ca.key", "x y", "a//b" };
#define NAME(i) names[(i) % (sizeof names / sizeof names[0])]

/* One entry of four bytes of input: kind and names, length, some bits of what is in it. */
static void put_entry(struct wbuf *b, const uint8_t *op)
{
	const char *server = NAME(op[1] & 15), *name = NAME(op[1] >> 4);
	uint32_t len = op[2] < 8 ? op[2] * 20u : op[2] == 8 ? ~0u : STORE_WRAPPED;
	size_t room = len > 200 ? 0 : len;

	wbuf_u8(b, op[0] & 7);
	wbuf_u8(b, op[0] & 0x80 ? op[3] : (uint8_t)strlen(server));
	wbuf_u8(b, (uint8_t)strlen(name));
	wbuf_u8(b, op[0] & 0x40 ? op[3] : 0);
	wbuf_le32(b, len);
	wbuf_le64(b, op[3]);
	wbuf_le64(b, (uint64_t)op[3] << 56);
	wbuf_put(b, server, strlen(server));
	wbuf_put(b, name, strlen(name));
	wbuf_zero(b, room);
}

static void forge(uint8_t how, const uint8_t *data, size_t size)
{
	static uint8_t header[STORE_HEADER + 3 * STORE_SLOT + 64], plain[4096];
	struct content good = { .generation = 1, .slots = {
		[0] = { .used = true, .way = KEYSTORE_FILE },
		[3] = { .used = true, .way = KEYSTORE_PASSPHRASE, .cost = { 8, 1, 1 } },
		[5] = { .used = true, .way = KEYSTORE_TPM, .blob_len = 64 },
	}, .root = { (uint8_t *)root, STORE_KEY } };
	struct wbuf body = wbuf_of(plain, sizeof plain);
	struct err err;
	uint8_t *file, *forged;
	uint32_t count = 0;
	size_t len;

	must(!file_write("store", &good, &file, &len, &err));
	memcpy(header, file, sizeof header);
	free(file);
	for (; how & 2 && size >= 3 && data[0] != 0xff; data += 3, size -= 3)
		put_le16(header + 24 + data[0] * 2u % (sizeof header - 26), (uint16_t)(data[1] | data[2] << 8));
	wbuf_le32(&body, 0);
	for (; how & 1 && size >= 4 && wbuf_left(&body) > 512; data += 4, size -= 4, count++)
		put_entry(&body, data);
	put_le32(plain, size ? data[0] & 3 ? count : data[0] : count);
	forged = forge_file(header, sizeof header, plain, body.pos, root, &len);
	if (how & 8 && size) {
		forged[sizeof header + data[0] % (len - sizeof header - STORE_SUM)] ^= 1;
		forge_sum(forged, len);
	}
	if (how & 4)
		forged[len - 1] ^= 1;
	parse(forged, len);
	free(forged);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] == 'H')
		parse(data, size);
	else
		forge(data[0], data + 1, size - 1);
	return 0;
}
