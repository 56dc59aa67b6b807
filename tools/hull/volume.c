/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of `hull volume`, and what they share. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include "crypto/keystore.h"
#include "crypto/luks/agent.h"
#include "lib/log.h"
#include "lib/scope.h"
#include "tools/hull/volume.h"

#define KEY "--key SOURCE [--header FILE] [--server S] [--name N] [--unlock WAY]"
#define SOURCES "SOURCE: file:PATH, fd:N, ask, or store:PATH with --server, --name and --unlock\n" \
	"(ask, file:PATH, fd:N, keyfile:PATH or tpm)."

static int run_agent(const struct command *c, int argc, char **argv)
{
	if (argc != 1 || fcntl(3, F_GETFD) < 0)
		return command_fail("volume agent: is started by hull-hv, not by hand");
	secret_harden();
	log_init("hull volume agent", LOG_WARN);
	return agent_serve(3);
}

const struct command volume_commands[] = {
	{ "volume format", "VOLUME " KEY " [--size SIZE] [--sector BYTES] [--luks1] [--random-key] [--force]",
		"make an encrypted volume (LUKS2)",
		SOURCES "\nA store's key is made when it is not there. --random-key: the key cannot be guessed, so its slot may be quick.\n"
		"SIZE is of the plaintext, with K, M, G or T; the header takes 16 MiB more.", volume_format },
	{ "volume info", "VOLUME [--header FILE] [--json]", "print what a volume's header says", NULL, volume_info },
	{ "volume open", "VOLUME " KEY " [--nbd SOCKET | --map NAME] [--read-only]",
		"check that a key opens a volume; serve its plaintext",
		SOURCES "\n--nbd serves the plaintext on a Unix socket until interrupted; --map makes /dev/mapper/NAME by the kernel's\n"
		"dm-crypt; without either, the key is tried and the volume described.", volume_open },
	{ "volume close", "NAME", "take away a mapping that `volume open` made", NULL, volume_close },
	{ "volume addkey", "VOLUME " KEY " --new-key SOURCE [--random-key]", "give a volume one more key", SOURCES, volume_add_key },
	{ "volume rmkey", "VOLUME SLOT [--header FILE]", "take a key away from a volume",
		"SLOT is a number of `hull volume info`. The last slot stays.", volume_remove_key },
	{ "volume rotate", "VOLUME " KEY " [--also SOURCE]… [--drop-others]",
		"encrypt a volume anew under a fresh volume key", SOURCES "\n"
		"Goes on where an earlier run was stopped or killed. --also: another key of the volume that shall open it afterwards too.\n"
		"--drop-others: keys that are not given open it no longer.", volume_rotate },
	{ "volume backup-header", "VOLUME FILE [--header FILE]", "save a volume's header with its key slots", NULL, volume_backup },
	{ "volume restore-header", "VOLUME FILE [--header FILE]", "bring a saved header back", NULL, volume_restore },
	{ "volume import", "SOURCE VOLUME " KEY " [--verify]", "copy a plain disk into an encrypted volume",
		SOURCES "\nGoes on where an earlier run was stopped or killed.", volume_import },
	{ "volume export", "VOLUME TARGET " KEY " [--verify] [--force]", "copy an encrypted volume's plaintext into a file or disk",
		SOURCES, volume_export },
	{ "volume roll-back", "VOLUME STORE", "bring a volume back to a snapshot",
		"STORE is the snapshot's (`hull server snapshot create`), and deleted at the end. Everything is verified before the first\n"
		"write. Goes on where an earlier run was stopped or killed.", volume_roll_back },
	{ "volume agent", "", NULL, NULL, run_agent },
	{ NULL },
};

int volume_fail(const struct err *err)
{
	return command_fail("%s", err->text);
}

const char *volume_size_text(uint64_t bytes, char text[32])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double n = (double)bytes;
	unsigned i = 0;

	while (n >= 1024 && i + 1 < array_len(units)) {
		n /= 1024;
		i++;
	}
	snprintf(text, 32, i && n < 100 && bytes % (1ull << (10 * i)) ? "%.1f %s" : "%.0f %s", n, units[i]);
	return text;
}

bool volume_size_parse(const char *text, uint64_t *size)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;

	errno = 0;
	*size = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || errno)
		return false;
	unit = *end ? strchr(units, *end) : NULL;
	if (!unit)
		return !*end;
	for (long i = 0; i <= unit - units; i++)
		if (__builtin_mul_overflow(*size, 1024ull, size))
			return false;
	return !end[1];
}

/* ---- options */

enum kind { FLAG, TEXT, SIZE, LIST };

static const struct option { const char *name; enum kind kind; size_t at; } options[] = {
	{ "--key", TEXT, offsetof(struct volume_options, key) },
	{ "--new-key", TEXT, offsetof(struct volume_options, new_key) },
	{ "--also", LIST, offsetof(struct volume_options, also) },
	{ "--header", TEXT, offsetof(struct volume_options, header) },
	{ "--server", TEXT, offsetof(struct volume_options, server) },
	{ "--name", TEXT, offsetof(struct volume_options, name) },
	{ "--unlock", TEXT, offsetof(struct volume_options, unlock) },
	{ "--nbd", TEXT, offsetof(struct volume_options, nbd) },
	{ "--map", TEXT, offsetof(struct volume_options, map) },
	{ "--size", SIZE, offsetof(struct volume_options, size) },
	{ "--sector", SIZE, offsetof(struct volume_options, sector) },
	{ "--luks1", FLAG, offsetof(struct volume_options, luks1) },
	{ "--force", FLAG, offsetof(struct volume_options, force) },
	{ "--json", FLAG, offsetof(struct volume_options, json) },
	{ "--read-only", FLAG, offsetof(struct volume_options, read_only) },
	{ "--random-key", FLAG, offsetof(struct volume_options, random_key) },
	{ "--drop-others", FLAG, offsetof(struct volume_options, drop_others) },
	{ "--verify", FLAG, offsetof(struct volume_options, verify) },
};

/* The word stands in the command's usage: "--key" is not in "--key-file". */
static bool names(const struct command *c, const char *name)
{
	size_t len = strlen(name);

	for (const char *s = c->arguments; (s = strstr(s, name)); s += len)
		if ((s == c->arguments || strchr(" [", s[-1])) && (!s[len] || strchr(" ]", s[len])))
			return true;
	return false;
}

static const struct option *find(const struct command *c, const char *name)
{
	for (size_t i = 0; i < array_len(options); i++)
		if (!strcmp(options[i].name, name) && names(c, name))
			return &options[i];
	return NULL;
}

static bool set(const struct command *c, const struct option *option, const char *value, struct volume_options *o)
{
	void *to = (char *)o + option->at;

	switch (option->kind) {
	case FLAG:
		*(bool *)to = true;
		return true;
	case TEXT:
		*(const char **)to = value;
		return true;
	case SIZE:
		if (volume_size_parse(value, to))
			return true;
		command_fail("%s: %s %s: is no size; a number of bytes, with K, M, G or T", c->words, option->name, value);
		return false;
	case LIST:
		if (o->also_count == VOLUME_ALSO) {
			command_fail("%s: %s: at most %d times", c->words, option->name, VOLUME_ALSO);
			return false;
		}
		o->also[o->also_count++] = value;
	}
	return true;
}

bool volume_options_parse(const struct command *c, int argc, char **argv, int arguments, struct volume_options *o)
{
	bool words = true;

	*o = (struct volume_options){ 0 };
	for (int i = 1; i < argc; i++) {
		const struct option *option = words && argv[i][0] == '-' && argv[i][1] ? find(c, argv[i]) : NULL;

		if (words && !strcmp(argv[i], "--")) {
			words = false;
		} else if (option && option->kind != FLAG && i + 1 == argc) {
			command_fail("%s: %s needs a value", c->words, argv[i]);
			command_usage(c);
			return false;
		} else if (option) {
			if (!set(c, option, option->kind == FLAG ? NULL : argv[++i], o))
				return false;
		} else if (words && argv[i][0] == '-' && argv[i][1]) {
			command_fail("%s: unknown option %s", c->words, argv[i]);
			command_usage(c);
			return false;
		} else if (o->arguments == arguments) {
			command_usage(c);
			return false;
		} else {
			o->argument[o->arguments++] = argv[i];
		}
	}
	if (o->arguments != arguments) {
		command_usage(c);
		return false;
	}
	if (!o->key && names(c, "--key")) {
		command_fail("%s: needs a --key", c->words);
		return false;
	}
	return true;
}

struct luks_place volume_place(const struct volume_options *o, const char *volume)
{
	return (struct luks_place){ .volume = volume, .header = o->header };
}

/* ---- keys */

static void free_unlock(struct keystore_unlock *u) { secret_destroy(&u->secret); }
static void free_store(struct keystore **ks) { keystore_close(*ks); }

/* Make the key in the store, and the server's if need be, before any header is written under it. */
static int make_in_store(const struct volume_options *o, const char *path, struct secret *key, struct err *err)
{
	cleanup(free_unlock) struct keystore_unlock unlock = { 0 };
	cleanup(free_store) struct keystore *ks = NULL;
	int rc = keystore_unlock_parse(o->unlock ? o->unlock : "ask", false, &unlock, err);

	if (!rc)
		rc = keystore_open(path, &unlock, &ks, err);
	if (rc)
		return rc;
	rc = keystore_volume_key(ks, o->server, o->name, key, err);
	if (rc != -ENOENT)
		return rc;
	rc = keystore_begin(ks, err);
	if (rc)
		return rc;
	rc = keystore_server_add(ks, o->server, err);
	if (!rc || rc == -EEXIST)
		rc = keystore_volume_add(ks, o->server, o->name, err);
	if (!rc)
		rc = keystore_commit(ks, err);
	else
		keystore_abort(ks);
	/* somebody was quicker: it is the same key for both */
	if (rc && rc != -EEXIST)
		return rc;
	return keystore_volume_key(ks, o->server, o->name, key, err);
}

int volume_key_read(const struct volume_options *o, const char *source, bool fresh, struct secret *key, struct err *err)
{
	const struct keysource from = { .source = source, .server = o->server, .name = o->name, .unlock = o->unlock };
	bool store = !strncmp(source, "store:", 6);
	int rc;

	*key = (struct secret){ 0 };
	if (store && (!o->server || !o->name))
		return err_set(err, -EINVAL, "%s: a key store needs --server and --name", source);
	if (!strcmp(source, "lma"))
		return err_set(err, -EINVAL, "lma: only hull-hv asks a management application for keys");
	if (fresh && store)
		return make_in_store(o, source + 6, key, err);
	rc = fresh ? keysource_passphrase(source, "New passphrase", true, key, err) : keysource_read(&from, key, err);
	if (!rc && (!key->len || key->len > 512)) {
		rc = err_set(err, -EINVAL, "%s: a key of %zu bytes; 1 to 512 are allowed", source, key->len);
		secret_destroy(key);
	}
	return rc;
}

struct luks_cost volume_cost(const struct volume_options *o, const char *source)
{
	return o->random_key || !strncmp(source, "store:", 6) ? luks_cost_key : (struct luks_cost){ 0 };
}
