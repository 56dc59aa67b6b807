/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The volume agent: a short-lived child process that gets keys and reads LUKS headers for hull-hv, and enrols for its
 * certificate, so that the hypervisor itself parses no header, runs no Argon2id and opens no link for keys. It is
 * `hull volume agent`, which stands beside hull-hv. Client half: agent_client.c (hv); server half: agent_serve.c (tools/hull).
 * They talk over a SOCK_SEQPACKET pair, one struct agent_message each way at a time; both halves check every field.
 *
 * The agent ends when the socket closes, and is killed when the thread that started it ends (PR_SET_PDEATHSIG goes by threads,
 * not processes). It may be writing a zone then, and the kernel drops hull-hv's locks before it kills the agent: so hull-hv lends
 * the volume's locked descriptor, and the volume stays locked until both have ended.
 */
#pragma once
#include <sys/types.h>
#include "crypto/identity.h"
#include "crypto/luks/layout.h"
#include "crypto/secret.h"

enum agent_kind {
	/* hv → agent */
	AGENT_OPEN = 1,		/* source, volume, header, name, server, lma, lma_token, unlock → AGENT_OPENED or AGENT_FAILED */
	AGENT_ROTATE,		/* volume, header, key, zone, boundary (not 0: one was begun, begin no other) → AGENT_BEGIN,
				   (AGENT_FREEZE, AGENT_THAW)…, AGENT_DONE or AGENT_FAILED */
	AGENT_FROZEN,		/* answer to AGENT_BEGIN and AGENT_FREEZE: go on */
	AGENT_STOP,		/* instead of AGENT_FROZEN: leave it there */
	/* agent → hv */
	AGENT_OPENED,		/* layout, key: what opened the volume */
	AGENT_BEGIN,		/* layout.segment[0]: the new key; boundary, total */
	AGENT_FREEZE,		/* off, len */
	AGENT_THAW,		/* boundary, total */
	AGENT_DONE,
	AGENT_FAILED,		/* code, text */
	/* hv → agent: source ("lma" or "dir:PATH"), server, lma, lma_token; with key and descriptor: that identity, renewed when due */
	AGENT_IDENTIFY,
	/* agent → hv: key and descriptor (agent_unpack_identity) */
	AGENT_IDENTITY,
};

enum { AGENT_FD = 3 };
enum { AGENT_VERSION = 2, AGENT_TEXT = 480, AGENT_PATH = 1024, AGENT_NAME = 64, AGENT_KEY = 512 };

struct agent_message {
	uint32_t version, kind;
	int32_t code;
	char text[AGENT_TEXT];
	char source[AGENT_PATH];	/* crypto/keysource.h */
	char volume[AGENT_PATH], header[AGENT_PATH];	/* header "": in the volume */
	char name[AGENT_NAME], server[AGENT_NAME];	/* of the volume; of the server it belongs to */
	char lma[AGENT_PATH], lma_token[AGENT_PATH];
	char unlock[AGENT_PATH];	/* how a key store's root is unlocked; "": ask */
	uint64_t zone, off, len, boundary, total;
	uint32_t key_len;
	uint8_t key[AGENT_KEY];
	struct luks_layout layout;
};

/*
 * Is m, of which len bytes came, a message that this side may send? Says which field is wrong: -EPROTO. Both halves ask before they
 * look at anything else. What a kind does not use is not looked at, strings excepted: they all end.
 */
int agent_message_check(const struct agent_message *m, size_t len, bool from_agent, struct err *err) must_check;

/*
 * An identity on its way, either way: the private key in the message, certificate, authority and revocation list (DER, each
 * behind its length in 4 little-endian bytes; 0: there is none) in a sealed memory file that goes with it. *fd is the caller's.
 */
int agent_pack_identity(struct agent_message *m, const struct identity *id, int *fd, struct err *err) must_check;
/* -EPROTO: it is not whole, or its key is not its certificate's. *id only when 0. */
int agent_unpack_identity(const struct agent_message *m, int fd, struct identity *id, struct err *err) must_check;

/* ---- client (hv). Messages stand in secret memory; calls are for the loop's thread. */
struct agent;
/*
 * Starts `hull volume agent`, which stands beside this program (HULL_AGENT names another one), with the socket as its descriptor
 * AGENT_FD and an environment of its own: PATH, TERM and HULL_TPM_TCTI. It inherits what was opened without close-on-exec (fd:N),
 * AGENT_FD excepted.
 */
int agent_start(struct agent **agent, struct err *err) must_check;	/* on a thread that lives as long as the process */
/* The next request carries fd (-1: nothing), whose locks the agent then holds too, until another one comes or it ends. */
void agent_lend(struct agent *agent, int fd);
/* How long agent_receive waits; 120 s to begin with: Argon2id on a slow machine, a passphrase typed, a link. */
void agent_set_timeout(struct agent *agent, unsigned ms);
int agent_fd(const struct agent *agent);		/* readable when a message is there; non-blocking */
struct agent_message *agent_message(struct agent *agent);	/* the one to fill in, zeroed by each agent_send */
int agent_send(struct agent *agent, enum agent_kind kind, struct err *err) must_check;
/*
 * The next message, checked; valid until the next call. wait: until it is there (-ETIMEDOUT). -EAGAIN: none yet; -EPIPE: the agent
 * ended, with the words why; -EPROTO: it says what it may not. What AGENT_FAILED says is not an error here.
 */
int agent_receive(struct agent *agent, bool wait, const struct agent_message **msg, struct err *err) must_check;
int agent_take_fd(struct agent *agent);	/* what came with that message, the caller's then; -1: nothing */
void agent_free(struct agent *agent);	/* closes, reaps the child (kills it after 2 s), wipes; NULL is fine */

/* ---- server. Serves fd until it closes; the exit status. */
int agent_serve(int fd);
