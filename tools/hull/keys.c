/* SPDX-License-Identifier: Apache-2.0 */
/* hull keys: the key store from the command line. Secrets never stand in arguments: --unlock and --new say where they come from. */
#include "tools/hull/keys.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "lib/log.h"
#include "lib/scope.h"

enum { PASSPHRASE_GOOD = 8 };

static void free_store(struct keystore **ks) { keystore_close(*ks); }
static void destroy_way(struct keystore_unlock *u) { secret_destroy(&u->secret); }
#define STORE cleanup(free_store) struct keystore
#define WAY cleanup(destroy_way) struct keystore_unlock

bool keys_call_parse(const struct command *c, int argc, char **argv, unsigned allowed, int count, struct keys_call *call)
{
	struct { const char *name; unsigned bit; const char **text; bool *flag; } options[] = {
		{ "--unlock", KEYS_UNLOCK, &call->unlock, NULL }, { "--new", KEYS_NEW, &call->fresh, NULL },
		{ "--output", KEYS_OUTPUT, &call->output, NULL }, { "--json", KEYS_JSON, NULL, &call->json },
		{ "--yes", KEYS_YES, NULL, &call->yes },
	};
	bool ended = false;
	int kept = 0;

	*call = (struct keys_call){ .argv = argv };
	for (int i = 1; i < argc; i++) {
		size_t o = 0;

		if (ended || argv[i][0] != '-' || !argv[i][1]) {
			argv[++kept] = argv[i];
			continue;
		}
		ended = !strcmp(argv[i], "--");
		if (ended)
			continue;
		while (o < array_len(options) && (strcmp(argv[i], options[o].name) || !(allowed & options[o].bit)))
			o++;
		if (o == array_len(options)) {
			command_fail("%s: unknown option %s", c->words, argv[i]);
			command_usage(c);
			return false;
		}
		if (options[o].flag) {
			*options[o].flag = true;
		} else if (++i == argc) {
			command_fail("%s: %s needs a value", c->words, options[o].name);
			return false;
		} else {
			*options[o].text = argv[i];
		}
	}
	if (kept == count)
		return true;
	command_usage(c);
	return false;
}

struct keystore *keys_open(const struct keys_call *call)
{
	WAY unlock = { 0 };
	struct keystore *ks = NULL;
	struct err err;

	secret_harden();
	if (keystore_unlock_parse(call->unlock ?: "ask", false, &unlock, &err) || keystore_open(call->argv[1], &unlock, &ks, &err))
		command_fail("%s", err.text);
	return ks;
}

bool keys_confirm(const char *question)
{
	auto_fclose FILE *tty = fopen("/dev/tty", "r+e");
	char answer[16] = "";

	if (!tty) {
		command_fail("%s There is no terminal to ask on: give --yes", question);
		return false;
	}
	fprintf(tty, "%s [y/N] ", question);
	fflush(tty);
	if (fgets(answer, sizeof answer, tty) && (!strcmp(answer, "y\n") || !strcmp(answer, "yes\n")))
		return true;
	command_fail("nothing was done");
	return false;
}

/* A way to unlock that is to be set. 0, or HULL_TROUBLE after a message. */
static int read_new(const char *text, struct keystore_unlock *way)
{
	struct err err;
	size_t len;

	secret_harden();
	if (keystore_unlock_parse(text, true, way, &err))
		return command_fail("%s", err.text);
	len = way->secret.len;
	if (way->way != KEYSTORE_PASSPHRASE || !len)
		return 0;
	if (len < PASSPHRASE_GOOD)
		log_warn("the passphrase has fewer than %d characters; who gets the file can guess it", PASSPHRASE_GOOD);
	if (way->secret.data[len - 1] == '\n')
		log_warn("the passphrase of %s ends in a newline, which is part of it; typed, it would be another", text);
	return 0;
}

static int run_init(const struct command *c, int argc, char **argv)
{
	struct keys_call call;
	WAY way = { 0 };
	STORE *ks = NULL;
	struct err err;

	if (!keys_call_parse(c, argc, argv, KEYS_UNLOCK, 1, &call) || read_new(call.unlock ?: "ask", &way))
		return HULL_TROUBLE;
	return keystore_create(call.argv[1], &way, &ks, &err) ? command_fail("%s", err.text) : HULL_OK;
}

static int run_check(const struct command *c, int argc, char **argv)
{
	struct keys_call call;
	STORE *ks = NULL;
	struct err err;

	if (!keys_call_parse(c, argc, argv, KEYS_UNLOCK, 1, &call))
		return HULL_TROUBLE;
	ks = keys_open(&call);
	if (!ks)
		return HULL_TROUBLE;
	if (keystore_verify(ks, &err))
		return command_fail("%s", err.text);
	printf("%s: fine\n", call.argv[1]);
	return HULL_OK;
}

static int run_slot_add(const struct command *c, int argc, char **argv)
{
	struct keys_call call;
	WAY way = { 0 };
	STORE *ks = NULL;
	struct err err;

	if (!keys_call_parse(c, argc, argv, KEYS_UNLOCK | KEYS_NEW, 1, &call))
		return HULL_TROUBLE;
	ks = keys_open(&call);
	/* Before the store is locked: people type slowly. */
	if (!ks || read_new(call.fresh ?: "ask", &way))
		return HULL_TROUBLE;
	if (keystore_begin(ks, &err) || keystore_slot_add(ks, &way, &err) || keystore_commit(ks, &err))
		return command_fail("%s", err.text);
	return HULL_OK;
}

static int run_slot_remove(const struct command *c, int argc, char **argv)
{
	struct keys_call call;
	STORE *ks = NULL;
	struct err err;
	unsigned slot;
	char more;

	if (!keys_call_parse(c, argc, argv, KEYS_UNLOCK, 2, &call))
		return HULL_TROUBLE;
	if (sscanf(call.argv[2], "%3u%c", &slot, &more) != 1)
		return command_fail("%s: \"%s\" is no slot's number; `hull keys slot list` shows them", c->words, call.argv[2]);
	ks = keys_open(&call);
	if (!ks)
		return HULL_TROUBLE;
	if (keystore_begin(ks, &err) || keystore_slot_remove(ks, slot, &err) || keystore_commit(ks, &err))
		return command_fail("%s", err.text);
	return HULL_OK;
}

/* The way that opened it is the one that stays; a passphrase or key file is read once for both. */
static int run_rotate(const struct command *c, int argc, char **argv)
{
	struct keys_call call;
	WAY way = { 0 };
	STORE *ks = NULL;
	struct err err;
	unsigned dropped;

	if (!keys_call_parse(c, argc, argv, KEYS_UNLOCK, 1, &call))
		return HULL_TROUBLE;
	secret_harden();
	if (keystore_unlock_parse(call.unlock ?: "ask", false, &way, &err) || keystore_open(call.argv[1], &way, &ks, &err) ||
	    keystore_begin(ks, &err) || keystore_rotate_root(ks, &way, &dropped, &err) || keystore_commit(ks, &err))
		return command_fail("%s", err.text);
	if (dropped)
		printf("%u other %s to unlock %s dropped: add them again with `hull keys slot add`\n", dropped, dropped == 1 ? "way" : "ways",
			dropped == 1 ? "was" : "were");
	return HULL_OK;
}

#define WAYS "WAY: ask (the default), file:PATH or fd:N: a passphrase; keyfile:PATH; tpm.\n"
#define UNLOCK "  --unlock WAY  how the store is unlocked\n" WAYS

const struct command keys_commands[] = {
	{ "keys init", "STORE [--unlock WAY]", "make a key store", "  --unlock WAY  how it is to be unlocked\n" WAYS, run_init },
	{ "keys list", "STORE [--unlock WAY] [--json]", "list servers, volumes and records", UNLOCK "  --json  as JSON\n", keys_run_list },
	{ "keys check", "STORE [--unlock WAY]", "open every key that is there", UNLOCK, run_check },
	{ "keys server add", "STORE SERVER [--unlock WAY]", "make a server's key", UNLOCK, keys_run_server_add },
	{ "keys server remove", "STORE SERVER [--unlock WAY] [--yes]", "forget a server's key and all its volumes', for good",
		UNLOCK "  --yes  do not ask\n", keys_run_server_remove },
	{ "keys volume add", "STORE SERVER VOLUME [--unlock WAY]", "make a volume's key", UNLOCK, keys_run_volume_add },
	{ "keys volume remove", "STORE SERVER VOLUME [--unlock WAY] [--yes]", "forget a volume's key, for good",
		UNLOCK "  --yes  do not ask\n", keys_run_volume_remove },
	{ "keys export", "STORE SERVER VOLUME --output FILE [--unlock WAY] [--yes]", "write a volume's key to a file, for an emergency",
		UNLOCK "  --output FILE  a new file, mode 0600, for cryptsetup --key-file\n  --yes  do not ask\n", keys_run_export },
	{ "keys slot list", "STORE [--unlock WAY] [--json]", "list the ways to unlock", UNLOCK "  --json  as JSON\n", keys_run_slots },
	{ "keys slot add", "STORE [--new WAY] [--unlock WAY]", "add a way to unlock",
		UNLOCK "  --new WAY  the way to add\n", run_slot_add },
	{ "keys slot remove", "STORE SLOT [--unlock WAY]", "remove a way to unlock, by its number; the last one stays", UNLOCK,
		run_slot_remove },
	{ "keys rotate-root", "STORE [--unlock WAY]", "a fresh root key; other ways to unlock are dropped", UNLOCK, run_rotate },
	{ NULL },
};
