/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands of `hull volume` share: their options, the key they ask for, the volume's plaintext, a line of progress. */
#pragma once
#include "crypto/keysource.h"
#include "crypto/luks/luks.h"
#include "hv/block/block.h"
#include "tools/hull/hull.h"

enum { VOLUME_ARGUMENTS = 2, VOLUME_ALSO = 8 };

struct volume_options {
	const char *argument[VOLUME_ARGUMENTS];
	int arguments;
	const char *key, *new_key, *header, *server, *name, *unlock, *nbd, *map;
	const char *also[VOLUME_ALSO];
	unsigned also_count;
	uint64_t size, sector;
	bool luks1, force, json, read_only, random_key, drop_others, verify;
};

/*
 * An option is allowed when c->arguments names it; arguments: how many without a name must be there. False after a message.
 */
bool volume_options_parse(const struct command *c, int argc, char **argv, int arguments, struct volume_options *o) must_check;
struct luks_place volume_place(const struct volume_options *o, const char *volume);
/* The key of --key (or another source); fresh: a passphrase is asked for twice, a store's key is made if it is not there. */
int volume_key_read(const struct volume_options *o, const char *source, bool fresh, struct secret *key, struct err *err) must_check;
/* Slots for keys that cannot be guessed may be cheap: those of a store, and what --random-key says. */
struct luks_cost volume_cost(const struct volume_options *o, const char *source);
/* "1.5 GiB" */
const char *volume_size_text(uint64_t bytes, char text[32]);
/* "10G", "4096". */
bool volume_size_parse(const char *text, uint64_t *size) must_check;
/* Print err and give the exit status. */
int volume_fail(const struct err *err);

/* ---- the plaintext, through hv's own layers */
struct volume_data { struct block *b; struct luks_layout *layout; };
int volume_data_open(const struct luks_place *at, const struct secret *key, bool readonly, struct volume_data *data,
	struct err *err) must_check;
void volume_data_close(struct volume_data *data);
/* len at off, multiples of the sector; blocks until it is done. */
int volume_data_move(struct volume_data *data, enum block_op op, void *buf, uint64_t off, size_t len) must_check;
int volume_data_flush(struct volume_data *data) must_check;

/* ---- progress: one line that is written over on a terminal, one a few seconds elsewhere */
struct volume_progress { const char *what; uint64_t start_ns, last_ns, first, total; bool begun; };
void volume_progress_show(struct volume_progress *p, uint64_t done, uint64_t total);
void volume_progress_end(struct volume_progress *p, uint64_t done);
/* From then on SIGINT and SIGTERM only say so: volume_interrupted. */
void volume_catch_signals(void);
bool volume_interrupted(void);

int volume_format(const struct command *c, int argc, char **argv);
int volume_info(const struct command *c, int argc, char **argv);
int volume_open(const struct command *c, int argc, char **argv);
int volume_close(const struct command *c, int argc, char **argv);
int volume_add_key(const struct command *c, int argc, char **argv);
int volume_remove_key(const struct command *c, int argc, char **argv);
int volume_rotate(const struct command *c, int argc, char **argv);
int volume_backup(const struct command *c, int argc, char **argv);
int volume_restore(const struct command *c, int argc, char **argv);
int volume_import(const struct command *c, int argc, char **argv);
int volume_export(const struct command *c, int argc, char **argv);
int volume_roll_back(const struct command *c, int argc, char **argv);
