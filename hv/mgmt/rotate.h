/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Online rotation of a volume's key: drives the encryption layer (hv/block/crypt.h) as the volume agent (crypto/luks/agent.h)
 * rewrites the volume zone by zone. An agent that dies is replaced: the zone that it was at stays frozen until the next one has
 * recovered it and says where the boundary is. When that fails again and again the frozen requests end with -EIO, and so do later
 * ones there, until a rotation is started anew. All on the loop's thread under the device lock.
 */
#pragma once
#include "crypto/secret.h"
#include "hv/block/block.h"
#include "lib/loop.h"

enum rotate_phase {
	ROTATE_STARTING,	/* no agent has said where the boundary is */
	ROTATE_RUNNING,
	ROTATE_STOPPED,		/* the rest of these are ends; a rotation started later goes on */
	ROTATE_DONE,
	ROTATE_FAILED,
};

struct rotate_state {
	enum rotate_phase phase;
	uint64_t done, total;		/* bytes under the new key; total 0: not known yet */
	uint64_t elapsed_ns, fresh;	/* since this start; bytes that it did */
	unsigned restarts;		/* agents that had to be replaced */
	uint64_t longest_ns;		/* that a zone was frozen */
	const char *text;		/* why it failed, else "" */
};

enum { ROTATE_ZONE = 4 << 20 };		/* bytes frozen at a time when a config says 0 */

struct rotate_config {
	struct loop *loop;
	struct block *crypt;		/* of block_crypt_create */
	struct block *base;		/* of block_file_open: the agent holds its locks, too, and its claim instead of us */
	const char *name;		/* of the volume, for messages */
	const char *path, *header;	/* of volume and detached header (or NULL) */
	const struct secret *key;	/* what opened the volume */
	uint64_t zone;
	/* Counts what the guest asked for; while it moves the rotation pauses as long as it works. NULL: nobody is waited for. */
	uint64_t (*load)(void *ctx);
	/* After each zone and at the end; the rotation must not be freed inside. */
	void (*event)(void *ctx, const struct rotate_state *state);
	void *ctx;
};

struct rotate;

/* Strings are copied; loop, crypt, base and key must outlive the rotation. The agent is started before this returns. */
int rotate_start(const struct rotate_config *config, struct rotate **r, struct err *err) must_check;
/* Ask for an end after the zone being rewritten; it comes as an event, ROTATE_STOPPED. */
void rotate_stop(struct rotate *r);
void rotate_read(const struct rotate *r, struct rotate_state *state);
bool rotate_ended(const struct rotate *r);
void rotate_free(struct rotate *r);		/* ends the agent; NULL is fine */
const char *rotate_phase_name(enum rotate_phase phase);
