/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ways to unlock. Each slot wraps the root key by a key that a passphrase (Argon2id, RFC 9106), a key file (HKDF) or a TPM gives.
 * What a file says of Argon2's cost is bounded before any of it is spent.
 */
#include <argon2.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "crypto/keystore_priv.h"
#include "lib/buf.h"
#include "lib/scope.h"

#define SLOT_PURPOSE "hull key store 1: root key"
#define KEYFILE_PURPOSE "hull key store 1: key file"

static const struct keystore_cost default_cost = { .memory_kib = 256 << 10, .iterations = 6, .lanes = 4 };

static uint64_t memory_of_machine_kib(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

static const char *check_cost(const struct keystore_cost *cost)
{
	if (!cost->lanes || cost->lanes > COST_LANES_MAX)
		return "Argon2 lanes are not 1 to 16";
	if (!cost->iterations || cost->iterations > COST_ITERATIONS_MAX)
		return "Argon2 iterations are not 1 to 1048576";
	if (cost->memory_kib < 8 * cost->lanes || cost->memory_kib > COST_MEMORY_MAX)
		return "Argon2 memory is not 8 KiB a lane to 4 GiB";
	return NULL;
}

const char *slots_check(const struct content *c)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < KEYSTORE_SLOTS; i++) {
		const struct slot *s = &c->slots[i];
		const char *wrong;

		if (!s->used || s->way != KEYSTORE_PASSPHRASE)
			continue;
		wrong = check_cost(&s->cost);
		if (wrong)
			return wrong;
		total += (uint64_t)s->cost.memory_kib * s->cost.iterations;
	}
	return total > COST_TOTAL_MAX ? "its passphrases together cost more than 32 GiB of Argon2" : NULL;
}

/* Argon2's memory: huge pages where there are some, and not in core files. */
static int argon_alloc(uint8_t **memory, size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -1;
	madvise(p, len, MADV_HUGEPAGE);
	madvise(p, len, MADV_DONTDUMP);
	madvise(p, len, MADV_WIPEONFORK);
	*memory = p;
	return 0;
}

static void argon_free(uint8_t *memory, size_t len)
{
	if (memory)
		munmap(memory, len);
}

static int from_passphrase(const struct slot *s, const struct secret *passphrase, struct secret *key, struct err *err)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	argon2_context ctx = {
		.out = key->data, .outlen = (uint32_t)key->len,
		.pwd = passphrase->data, .pwdlen = (uint32_t)passphrase->len,
		.salt = (uint8_t *)s->salt, .saltlen = sizeof s->salt,
		.t_cost = s->cost.iterations, .m_cost = s->cost.memory_kib, .lanes = s->cost.lanes,
		.threads = processors >= 1 && processors < s->cost.lanes ? (uint32_t)processors : s->cost.lanes,
		.version = ARGON2_VERSION_13, .allocate_cbk = argon_alloc, .free_cbk = argon_free,
	};
	int rc;

	if (passphrase->len > STORE_PASSPHRASE_MAX)
		return err_set(err, -EINVAL, "the passphrase has %zu bytes, the most is %d; use it as a key file", passphrase->len,
			STORE_PASSPHRASE_MAX);
	if (s->cost.memory_kib > memory_of_machine_kib() / 4 * 3)
		return err_set(err, -ENOMEM, "its passphrase takes %u MiB of memory, this machine has %llu MiB", s->cost.memory_kib >> 10,
			(unsigned long long)memory_of_machine_kib() >> 10);
	rc = argon2_ctx(&ctx, Argon2_id);
	if (rc == ARGON2_OK)
		return 0;
	return err_set(err, -ENOMEM, "Argon2 with %u MiB of memory: %s", s->cost.memory_kib >> 10, argon2_error_message(rc));
}

/* What wraps the root key in this slot. */
static int slot_key(const struct slot *s, const struct keystore_unlock *unlock, struct secret *key, struct err *err)
{
	const struct secret *in = &unlock->secret;
	int rc;

	if (s->way == KEYSTORE_TPM) {
		rc = tpm_unseal(s->blob, s->blob_len, key, err);
		if (!rc && key->len != STORE_KEY) {
			secret_destroy(key);
			rc = err_set(err, -EPERM, "the TPM's secret has a wrong length");
		}
		return rc;
	}
	rc = secret_create(key, STORE_KEY);
	if (rc)
		return secret_refused(err, rc);
	if (s->way == KEYSTORE_PASSPHRASE)
		rc = from_passphrase(s, in, key, err);
	else
		rc = aead_derive(in->data, in->len, s->salt, sizeof s->salt, KEYFILE_PURPOSE, key->data, key->len);
	if (rc) {
		secret_destroy(key);
		return rc == -ENOMEM && s->way != KEYSTORE_PASSPHRASE ? err_set(err, rc, "out of memory") : rc;
	}
	return 0;
}

void slot_head(const struct slot *s, unsigned number, uint8_t head[64])
{
	struct wbuf b = wbuf_of(head, 64);

	wbuf_le16(&b, (uint16_t)number);
	wbuf_le16(&b, (uint16_t)s->way);
	wbuf_le32(&b, STORE_SLOT + s->blob_len);
	wbuf_le64(&b, s->created_s);
	wbuf_le32(&b, s->cost.memory_kib);
	wbuf_le32(&b, s->cost.iterations);
	wbuf_le32(&b, s->cost.lanes);
	wbuf_le32(&b, s->blob_len);
	wbuf_put(&b, s->salt, sizeof s->salt);
	bug_on(b.failed || b.pos != 64);
}

enum { SLOT_AAD = STORE_ID + 64 + TPM_BLOB_MAX };

/* Without the number: nobody gains by moving a slot, and a rotation may. */
static size_t bind(const struct slot *s, const uint8_t id[STORE_ID], uint8_t aad[SLOT_AAD])
{
	memcpy(aad, id, STORE_ID);
	slot_head(s, 0, aad + STORE_ID);
	memcpy(aad + STORE_ID + 64, s->blob, s->blob_len);
	return STORE_ID + 64 + s->blob_len;
}

static int check_fresh(const struct keystore_unlock *unlock, struct err *err)
{
	if (unlock->way == KEYSTORE_PASSPHRASE && !unlock->secret.len)
		return err_set(err, -EINVAL, "the passphrase is empty");
	if (unlock->way == KEYSTORE_FILE && unlock->secret.len < STORE_KEYFILE_MIN)
		return err_set(err, -EINVAL, "the key file has %zu bytes, it takes at least %d random ones: "
			"head -c 64 /dev/urandom", unlock->secret.len, STORE_KEYFILE_MIN);
	return 0;
}

static int seal(struct slot *s, struct err *err)
{
	cleanup(secret_destroy) struct secret secret = { 0 };
	size_t len = 0;
	int rc = secret_create(&secret, STORE_KEY);

	if (rc)
		return secret_refused(err, rc);
	secret_random(secret.data, secret.len);
	rc = tpm_seal(&secret, s->blob, &len, err);
	s->blob_len = (uint32_t)len;
	return rc;
}

int slot_fill(struct slot *s, const uint8_t id[STORE_ID], const struct keystore_unlock *unlock, const struct secret *root,
	struct err *err)
{
	cleanup(secret_destroy) struct secret key = { 0 };
	uint8_t aad[SLOT_AAD];
	const char *wrong;
	int rc = check_fresh(unlock, err);

	if (rc)
		return rc;
	*s = (struct slot){ .used = true, .way = unlock->way, .created_s = (uint64_t)time(NULL) };
	if (s->way == KEYSTORE_PASSPHRASE) {
		s->cost = unlock->cost.memory_kib ? unlock->cost : default_cost;
		wrong = check_cost(&s->cost);
		if (wrong)
			return err_set(err, -EINVAL, "%s", wrong);
	}
	if (s->way == KEYSTORE_TPM)
		rc = seal(s, err);
	secret_random(s->salt, sizeof s->salt);
	if (!rc)
		rc = slot_key(s, unlock, &key, err);
	if (rc)
		return rc;
	rc = aead_wrap(key.data, SLOT_PURPOSE, aad, bind(s, id, aad), root->data, root->len, s->wrapped);
	return rc ? err_set(err, rc, "a way to unlock cannot be made: %s", strerror(-rc)) : 0;
}

static int slot_open(const struct slot *s, const struct content *c, const struct keystore_unlock *unlock, struct secret *root,
	struct err *err)
{
	cleanup(secret_destroy) struct secret key = { 0 };
	uint8_t aad[SLOT_AAD];
	int rc = slot_key(s, unlock, &key, err);

	if (rc)
		return rc;
	rc = secret_create(root, STORE_KEY);
	if (!rc)
		rc = aead_unwrap(key.data, SLOT_PURPOSE, aad, bind(s, c->id, aad), s->wrapped, sizeof s->wrapped, root->data);
	if (!rc)
		return 0;
	secret_destroy(root);
	if (rc == -EBADMSG)
		return -EPERM;
	return secret_refused(err, rc);
}

/* "a passphrase, a TPM": the ways that the store has. */
static const char *list_ways(const struct content *c, char *text, size_t room)
{
	static const char *const names[KEYSTORE_WAYS] = { "a passphrase", "a key file", "a TPM" };
	size_t n = 0;

	text[0] = 0;
	for (unsigned way = 0; way < KEYSTORE_WAYS; way++)
		for (unsigned i = 0; i < KEYSTORE_SLOTS; i++)
			if (c->slots[i].used && c->slots[i].way == way) {
				n += (size_t)snprintf(text + n, room - n, "%s%s", n ? ", " : "", names[way]);
				break;
			}
	return text;
}

int slots_open(const char *path, struct content *c, const struct keystore_unlock *unlock, struct err *err)
{
	static const char *const wrong[KEYSTORE_WAYS] = { "the passphrase is wrong", "the key file is not the right one", NULL };
	bool tried = false;
	char ways[64];

	for (unsigned i = 0; i < KEYSTORE_SLOTS; i++) {
		const struct slot *s = &c->slots[i];
		int rc;

		if (!s->used || s->way != unlock->way)
			continue;
		tried = true;
		rc = slot_open(s, c, unlock, &c->root, err);
		if (!rc)
			return 0;
		if (rc != -EPERM) {
			err_prefix(err, "%s", path);
			return rc;
		}
	}
	if (!tried)
		return err_set(err, -EPERM, "%s: cannot be unlocked this way; it takes %s", path, list_ways(c, ways, sizeof ways));
	if (unlock->way == KEYSTORE_TPM) {
		err_prefix(err, "%s", path);
		return -EPERM;
	}
	return err_set(err, -EPERM, "%s: %s", path, wrong[unlock->way]);
}
