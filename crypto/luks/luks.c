/* SPDX-License-Identifier: Apache-2.0 */
/* A volume's header in libcryptsetup's hands: locks, words about errors, costs, and which slot a key opens. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include "crypto/luks/luks_priv.h"
#include "lib/bits.h"
#include "lib/filelock.h"
#include "lib/scope.h"

/* Argon2id's least: a key of 256 random bits cannot be guessed however quick a guess is. */
const struct luks_cost luks_cost_key = { .memory_kib = 32, .iterations = 4, .threads = 1 };

/* What a hostile header may ask for: memory in KiB, memory × passes, rounds of PBKDF2. Minutes each on one core. */
#define MEMORY_MAX (4u << 20)
#define ARGON2_WORK_MAX (256ull << 20)
#define PBKDF2_MAX 500000000u

const char *luks_place_header(const struct luks_place *at)
{
	return at->header && *at->header ? at->header : at->volume;
}

/* Keeps the first error's text: later ones say less. */
static void listen(int level, const char *msg, void *ctx)
{
	struct luks_session *s = ctx;
	size_t len = strcspn(msg, "\n");

	if (level != CRYPT_LOG_ERROR || s->said[0])
		return;
	while (len && (msg[len - 1] == '.' || msg[len - 1] == ' '))
		len--;
	snprintf(s->said, sizeof s->said, "%.*s", (int)len, msg);
	for (char *c = s->said; *c; c++)
		if ((unsigned char)*c < ' ')
			*c = ' ';
}

int luks_session_fail(struct luks_session *s, int rc, struct err *err, const char *what)
{
	const char *path = luks_place_header(s->at);

	if (rc >= 0)
		rc = -EIO;
	if (rc == -ETXTBSY)
		return err_set(err, -ENOTSUP, "%s: %s: the volume needs features that this libcryptsetup lacks, or is being re-encrypted",
			path, what);
	return err_set(err, rc, "%s: %s: %s", path, what, s->said[0] ? s->said : strerror(-rc));
}

static int take_lock(struct luks_session *s, bool write, struct err *err)
{
	uint64_t header_size;
	int fd = luks_open_file(s->at->volume, write ? O_RDWR : O_RDONLY, &s->volume_size, err);
	int rc;

	if (fd < 0)
		return fd;
	s->lock_fd = fd;
	if (write && !s->at->locked) {
		rc = filelock_take(fd, s->at->volume, false, err);
		if (rc)
			return rc;
	}
	if (luks_place_header(s->at) == s->at->volume)
		return luks_probe_fd(fd, s->at->volume, &s->probe, err);
	fd = luks_open_file(s->at->header, O_RDONLY, &header_size, err);
	if (fd < 0)
		return fd;
	rc = luks_probe_fd(fd, s->at->header, &s->probe, err);
	close(fd);
	return rc;
}

int luks_session_begin(struct luks_session *s, const struct luks_place *at, bool write, struct err *err)
{
	int rc;

	*s = (struct luks_session){ .at = at, .lock_fd = -1 };
	rc = take_lock(s, write, err);
	if (rc)
		return rc;
	/*
	 * libcryptsetup's own lock on a regular file is flock, which hull-hv holds while its agent works: it would wait for
	 * ever. Hull's lock keeps others away. And keys stay out of the kernel's keyring: nothing here is activated.
	 */
	crypt_metadata_locking(NULL, 0);
	rc = crypt_init_data_device(&s->cd, luks_place_header(at), luks_place_header(at) == at->volume ? NULL : at->volume);
	if (rc)
		return luks_session_fail(s, rc, err, "cannot be opened");
	crypt_set_log_callback(s->cd, listen, s);
	crypt_volume_key_keyring(s->cd, 0);
	crypt_set_rng_type(s->cd, CRYPT_RNG_URANDOM);
	return 0;
}

static int refuse_foreign(const struct luks_session *s, struct err *err)
{
	const char *path = luks_place_header(s->at);

	if (s->probe.marks)
		return err_set(err, -EINVAL, "%s: the LUKS header is damaged and so is its second copy: "
			"bring back a backup with `hull volume restore-header`", path);
	return err_set(err, -EINVAL, "%s: is no LUKS volume: no header at its beginning", path);
}

int luks_session_open(struct luks_session *s, const struct luks_place *at, bool write, struct err *err)
{
	int rc = luks_session_begin(s, at, write, err);

	if (rc)
		return rc;
	if (!s->probe.primary_ok && !s->probe.secondary_ok)
		return refuse_foreign(s, err);
	if (write && s->probe.version == 2 && !(s->probe.primary_ok && s->probe.secondary_ok)) {
		rc = crypt_repair(s->cd, CRYPT_LUKS2, NULL);
		if (rc < 0)
			return luks_session_fail(s, rc, err, "one copy of the header is damaged and cannot be restored from the other");
	}
	rc = crypt_load(s->cd, s->probe.version == 1 ? CRYPT_LUKS1 : CRYPT_LUKS2, NULL);
	if (rc == -EINVAL && !s->said[0])
		return err_set(err, rc, "%s: the LUKS header is not valid, though its checksum is right: no LUKS program wrote it",
			luks_place_header(at));
	return rc < 0 ? luks_session_fail(s, rc, err, "the LUKS header cannot be used") : 0;
}

void luks_session_close(struct luks_session *s)
{
	if (s->cd)
		crypt_free(s->cd);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	s->cd = NULL;
	s->lock_fd = -1;
}

bool luks_session_is2(const struct luks_session *s)
{
	const char *type = crypt_get_type(s->cd);

	return type && !strcmp(type, CRYPT_LUKS2);
}

int luks_session_json(struct luks_session *s, struct luks_json *j, struct err *err)
{
	const char *text;
	int rc = crypt_dump_json(s->cd, &text, 0);

	if (rc < 0)
		return luks_session_fail(s, rc, err, "the header cannot be read");
	rc = luks_json_parse(text, strlen(text), j, err);
	if (rc)
		return err_prefix(err, "%s", luks_place_header(s->at));
	if (*j->requirement)
		return err_set(err, -ENOTSUP, "%s: needs a feature that is not known here: \"%s\"", luks_place_header(s->at), j->requirement);
	return 0;
}

bool luks_slot_bearable(struct luks_session *s, int slot)
{
	struct crypt_pbkdf_type kdf = { 0 };

	if (crypt_keyslot_get_pbkdf(s->cd, slot, &kdf) < 0 || !kdf.type)
		return false;
	if (!strcmp(kdf.type, CRYPT_KDF_PBKDF2))
		return kdf.iterations <= PBKDF2_MAX;
	return kdf.max_memory_kb <= MEMORY_MAX && (uint64_t)kdf.max_memory_kb * kdf.iterations <= ARGON2_WORK_MAX &&
		kdf.parallel_threads <= 64;
}

int luks_session_cost(struct luks_session *s, const struct luks_cost *cost, struct err *err)
{
	bool two = luks_session_is2(s), measured = !cost || !cost->iterations;
	struct crypt_pbkdf_type kdf = {
		.type = two ? CRYPT_KDF_ARGON2ID : CRYPT_KDF_PBKDF2,
		.hash = "sha256",
		.time_ms = 2000,
		.max_memory_kb = two ? 1u << 20 : 0,
		.parallel_threads = two ? 4 : 0,
	};
	int rc;

	if (!measured) {
		kdf.flags = CRYPT_PBKDF_NO_BENCHMARK;
		kdf.time_ms = 0;
		kdf.iterations = two ? cost->iterations : cost->iterations < 1000 ? 1000 : cost->iterations;
		if (two) {
			kdf.max_memory_kb = cost->memory_kib;
			kdf.parallel_threads = cost->threads;
		}
	}
	rc = crypt_set_pbkdf_type(s->cd, &kdf);
	return rc < 0 ? luks_session_fail(s, rc, err, "this cost of a key slot is not possible") : 0;
}

/* Of the slots that are left, the one that costs least to try. */
static int cheapest(const struct luks_json *j, uint32_t slots)
{
	int best = -1;

	for (int i = 0; i < LUKS_SLOTS; i++)
		if (slots & BIT(i) && (best < 0 || (j && j->slot_work[i] < j->slot_work[best])))
			best = i;
	return best;
}

static bool active(struct luks_session *s, int slot)
{
	crypt_keyslot_info info = crypt_keyslot_status(s->cd, slot);

	return info == CRYPT_SLOT_ACTIVE || info == CRYPT_SLOT_ACTIVE_LAST || info == CRYPT_SLOT_UNBOUND;
}

int luks_session_unlock(struct luks_session *s, const struct luks_json *j, uint32_t slots, const struct secret *key,
	uint8_t *volume_key, size_t *len, int *slot, struct err *err)
{
	const char *path = luks_place_header(s->at);
	unsigned unbearable = 0, tried = 0;
	size_t room = *len;

	/* It is checked after a slot has opened, so with the right key. */
	if ((j ? j->digest_rounds : s->probe.digest_rounds) > PBKDF2_MAX)
		return err_set(err, -ENOTSUP, "%s: its volume key's digest asks for more time than is allowed: no LUKS program wrote that", path);

	for (int i; (i = cheapest(j, slots)) >= 0; slots &= ~BIT(i)) {
		int rc;

		if (!active(s, i) || (j && j->ignored[i]))
			continue;
		if (!luks_slot_bearable(s, i)) {
			unbearable++;
			continue;
		}
		*len = room;
		tried++;
		rc = crypt_volume_key_get(s->cd, i, (char *)volume_key, len, (const char *)key->data, key->len);
		if (rc >= 0) {
			*slot = i;
			return 0;
		}
		if (rc != -EPERM && rc != -ENOENT)
			return luks_session_fail(s, rc, err, "the key slot cannot be opened");
	}
	if (unbearable)
		return err_set(err, -ENOTSUP, "%s: the key opens none of %u key slots; %u more ask for more memory or time than is allowed",
			path, tried, unbearable);
	if (!tried)
		return err_set(err, -EPERM, "%s: has no key slot: its format was cut short, or its keys were erased; format it again", path);
	return err_set(err, -EPERM, "%s: the key opens none of its %u key slots: it is not the right one", path, tried);
}
