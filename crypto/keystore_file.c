/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's file format, docs/keystore.md: header, slots, wrapped body, checksum. The checksum tells damage from a wrong
 * passphrase; what protects against people is the body's wrap, which binds the header too. Bytes come from a file that anybody
 * may have written.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include "crypto/keystore_priv.h"
#include "lib/buf.h"
#include "lib/scope.h"

static const char magic[8] = { 'H', 'U', 'L', 'L', 'K', 'E', 'Y', 'S' };

int file_sum(const void *data, size_t len, uint8_t sum[STORE_SUM])
{
	return EVP_Digest(data, len, sum, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

static int damaged(struct err *err, const char *path, const char *what)
{
	return err_set(err, -EINVAL, "%s: the key store is damaged: %s", path, what);
}

static const char *parse_slot(struct rbuf *b, struct content *c)
{
	uint16_t number = rbuf_le16(b), way = rbuf_le16(b);
	uint32_t len = rbuf_le32(b);
	struct slot s = { .used = true, .way = way, .created_s = rbuf_le64(b) };

	s.cost.memory_kib = rbuf_le32(b);
	s.cost.iterations = rbuf_le32(b);
	s.cost.lanes = rbuf_le32(b);
	s.blob_len = rbuf_le32(b);
	rbuf_copy(b, s.salt, sizeof s.salt);
	rbuf_copy(b, s.wrapped, sizeof s.wrapped);
	if (b->failed)
		return "a slot is cut short";
	if (number >= KEYSTORE_SLOTS || c->slots[number].used)
		return "a slot's number is out of range or there twice";
	if (way >= KEYSTORE_WAYS)
		return "a slot is of no known kind";
	if (s.blob_len > TPM_BLOB_MAX || !s.blob_len != (way != KEYSTORE_TPM) || len != STORE_SLOT + s.blob_len)
		return "a slot's length is wrong";
	if (way != KEYSTORE_PASSPHRASE && (s.cost.memory_kib || s.cost.iterations || s.cost.lanes))
		return "a slot without a passphrase names a cost";
	rbuf_copy(b, s.blob, s.blob_len);
	if (b->failed)
		return "a slot is cut short";
	c->slots[number] = s;
	return NULL;
}

/* Magic, version, lengths, checksum: is this a whole file that we know? */
static int parse_frame(const char *path, const uint8_t *data, size_t len, struct file_parts *parts, struct err *err)
{
	struct rbuf b = rbuf_of(data, len);
	const uint8_t *mark = rbuf_take(&b, sizeof magic);
	uint32_t version = rbuf_le32(&b);
	uint8_t sum[STORE_SUM];
	uint64_t body;

	if (!mark || memcmp(mark, magic, sizeof magic))
		return err_set(err, -EINVAL, "%s: is no key store", path);
	if (!b.failed && version > STORE_VERSION)
		return err_set(err, -ENOTSUP, "%s: is a key store of version %u; this program knows version %d: use a newer Hull", path, version,
			STORE_VERSION);
	parts->header = rbuf_le32(&b);
	body = rbuf_le64(&b);
	if (b.failed || len < STORE_HEADER + AEAD_WRAP + STORE_SUM)
		return damaged(err, path, "it is cut short");
	if (version != STORE_VERSION)
		return damaged(err, path, "its version is 0");
	if (parts->header < STORE_HEADER || parts->header > len - STORE_SUM || body != len - STORE_SUM - parts->header || body < AEAD_WRAP)
		return damaged(err, path, "it is cut short, or its lengths are wrong");
	parts->body = (size_t)body;
	if (file_sum(data, len - STORE_SUM, sum))
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	if (memcmp(sum, data + len - STORE_SUM, STORE_SUM))
		return damaged(err, path, "bytes were changed, its checksum does not fit");
	return 0;
}

int file_parse_header(const char *path, const uint8_t *data, size_t len, struct content *c, struct file_parts *parts,
	struct err *err)
{
	int rc = parse_frame(path, data, len, parts, err);
	struct rbuf b = rbuf_of(data, rc ? 0 : parts->header);
	const char *wrong = NULL;
	uint32_t slots, zero;

	if (rc)
		return rc;
	rbuf_seek(&b, 24);
	c->generation = rbuf_le64(&b);
	c->written_s = rbuf_le64(&b);
	rbuf_copy(&b, c->id, sizeof c->id);
	slots = rbuf_le32(&b);
	zero = rbuf_le32(&b);
	if (!slots || slots > KEYSTORE_SLOTS || zero)
		return damaged(err, path, "its header is wrong");
	while (!wrong && slots--)
		wrong = parse_slot(&b, c);
	if (!wrong && rbuf_left(&b))
		wrong = "there is something behind its slots";
	if (!wrong)
		wrong = slots_check(c);
	return wrong ? damaged(err, path, wrong) : 0;
}

/* n bytes that stand for a name; NULL when out of memory. */
static char *take_name(struct rbuf *b, size_t n)
{
	const uint8_t *p = rbuf_take(b, n);

	return p ? strndup((const char *)p, n) : NULL;
}

static const char *check_entry(const struct entry *e, size_t server, size_t name, const struct content *c)
{
	const struct entry *last = c->count ? &c->entries[c->count - 1] : NULL;
	bool good_server = e->kind == ENTRY_RECORD ? !server : name_valid(e->server, server);
	bool good_name = e->kind == ENTRY_SERVER ? !name :
		e->kind == ENTRY_VOLUME ? name_valid(e->name, name) : record_name_valid(e->name, name);

	if (!good_server || !good_name)
		return "an entry's name is wrong";
	if (e->kind == ENTRY_RECORD ? e->len < AEAD_WRAP || e->len > STORE_RECORD + AEAD_WRAP : e->len != STORE_WRAPPED)
		return "an entry's length is wrong";
	if (last && entry_compare(last, e) >= 0)
		return "its entries are out of order";
	if (e->kind == ENTRY_VOLUME && (!last || strcmp(last->server, e->server)))
		return "a volume belongs to no server";
	return NULL;
}

/* NULL, or what is wrong; "" when out of memory. */
static const char *parse_entry(struct rbuf *b, struct content *c)
{
	struct entry e = { .kind = rbuf_u8(b) };
	uint8_t server = rbuf_u8(b), name = rbuf_u8(b), zero = rbuf_u8(b);
	const uint8_t *data;
	const char *wrong;

	e.len = rbuf_le32(b);
	e.created_s = rbuf_le64(b);
	e.changed_s = rbuf_le64(b);
	if (b->failed || rbuf_left(b) < (uint64_t)server + name + e.len)
		return "an entry is cut short";
	if (e.kind < ENTRY_SERVER || e.kind > ENTRY_RECORD || zero)
		return "an entry is of no known kind";
	e.server = take_name(b, server);
	e.name = take_name(b, name);
	data = rbuf_take(b, e.len);
	e.data = malloc(e.len + 1u);
	wrong = e.server && e.name && e.data ? check_entry(&e, server, name, c) : "";
	if (!wrong) {
		memcpy(e.data, data, e.len);
		wrong = entry_insert(c, &e) ? "" : NULL;
	}
	if (wrong)
		entry_clear(&e);
	return wrong;
}

static int parse_entries(const char *path, struct rbuf b, struct content *c, struct err *err)
{
	uint32_t count = rbuf_le32(&b);
	const char *wrong = b.failed ? "it is cut short" : NULL;

	while (!wrong && count--)
		wrong = parse_entry(&b, c);
	if (!wrong && rbuf_left(&b))
		wrong = "there is something behind its entries";
	if (wrong && !*wrong)
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	return wrong ? damaged(err, path, wrong) : 0;
}

int file_parse_body(const char *path, const uint8_t *data, const struct file_parts *parts, struct content *c, struct err *err)
{
	auto_free uint8_t *plain = malloc(parts->body);
	int rc;

	if (!plain)
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	rc = aead_unwrap(c->root.data, STORE_BODY_PURPOSE, data, parts->header, data + parts->header, parts->body, plain);
	if (rc == -EBADMSG)
		return -EPERM;
	if (rc)
		return err_set(err, rc, "%s: %s", path, strerror(-rc));
	return parse_entries(path, rbuf_of(plain, parts->body - AEAD_WRAP), c, err);
}

/* ---- writing */

static void put_entry(struct wbuf *b, const struct entry *e)
{
	size_t server = strlen(e->server), name = strlen(e->name);

	wbuf_u8(b, (uint8_t)e->kind);
	wbuf_u8(b, (uint8_t)server);
	wbuf_u8(b, (uint8_t)name);
	wbuf_u8(b, 0);
	wbuf_le32(b, e->len);
	wbuf_le64(b, e->created_s);
	wbuf_le64(b, e->changed_s);
	wbuf_put(b, e->server, server);
	wbuf_put(b, e->name, name);
	wbuf_put(b, e->data, e->len);
}

static void put_header(struct wbuf *b, const struct content *c, const struct file_parts *parts, unsigned slots)
{
	uint8_t head[64];

	wbuf_put(b, magic, sizeof magic);
	wbuf_le32(b, STORE_VERSION);
	wbuf_le32(b, (uint32_t)parts->header);
	wbuf_le64(b, parts->body);
	wbuf_le64(b, c->generation);
	wbuf_le64(b, c->written_s);
	wbuf_put(b, c->id, sizeof c->id);
	wbuf_le32(b, slots);
	wbuf_le32(b, 0);
	for (unsigned i = 0; i < KEYSTORE_SLOTS; i++) {
		const struct slot *s = &c->slots[i];

		if (!s->used)
			continue;
		slot_head(s, i, head);
		wbuf_put(b, head, sizeof head);
		wbuf_put(b, s->wrapped, sizeof s->wrapped);
		wbuf_put(b, s->blob, s->blob_len);
	}
}

static unsigned measure(const struct content *c, struct file_parts *parts)
{
	unsigned slots = 0;

	*parts = (struct file_parts){ .header = STORE_HEADER, .body = 4 + AEAD_WRAP };
	for (unsigned i = 0; i < KEYSTORE_SLOTS; i++)
		if (c->slots[i].used) {
			slots++;
			parts->header += STORE_SLOT + c->slots[i].blob_len;
		}
	for (size_t i = 0; i < c->count; i++)
		parts->body += STORE_ENTRY + strlen(c->entries[i].server) + strlen(c->entries[i].name) + c->entries[i].len;
	return slots;
}

int file_write(const char *path, const struct content *c, uint8_t **data, size_t *len, struct err *err)
{
	auto_free uint8_t *file = NULL, *plain = NULL;
	struct file_parts parts;
	unsigned slots = measure(c, &parts);
	size_t total = parts.header + parts.body + STORE_SUM;
	struct wbuf header, body;
	int rc;

	if (total > STORE_MAX)
		return err_set(err, -EFBIG, "%s: would have %zu bytes, a key store at most %d", path, total, STORE_MAX);
	file = malloc(total);
	plain = malloc(parts.body - AEAD_WRAP);
	if (!file || !plain)
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	header = wbuf_of(file, parts.header);
	put_header(&header, c, &parts, slots);
	body = wbuf_of(plain, parts.body - AEAD_WRAP);
	wbuf_le32(&body, (uint32_t)c->count);
	for (size_t i = 0; i < c->count; i++)
		put_entry(&body, &c->entries[i]);
	bug_on(header.failed || wbuf_left(&header) || body.failed || wbuf_left(&body));
	rc = aead_wrap(c->root.data, STORE_BODY_PURPOSE, file, parts.header, plain, body.len, file + parts.header);
	if (!rc)
		rc = file_sum(file, total - STORE_SUM, file + total - STORE_SUM);
	if (rc)
		return err_set(err, rc, "%s: %s", path, strerror(-rc));
	*data = take_ptr(file);
	*len = total;
	return 0;
}
