/* SPDX-License-Identifier: Apache-2.0 */
/* hull-hv's half of the volume agent against agents that misbehave. */
#include "crypto/luks/agent.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/scope.h"
#include "tests/unit/suite.h"

/* A program that HULL_AGENT names from now on. */
static void write_agent(const char *script)
{
	static unsigned count;
	char name[32];
	const char *path;
	FILE *f;

	snprintf(name, sizeof name, "agent%u", count++);
	path = suite_tmp(name);
	f = fopen(path, "we");
	CU_ASSERT_FATAL(f != NULL);
	fprintf(f, "#!/bin/sh\nsize=%zu\n%s\n", sizeof(struct agent_message), script);
	fchmod(fileno(f), 0700);
	fclose(f);
	setenv("HULL_AGENT", path, 1);
}

static int ask(const char *script, unsigned timeout_ms, struct err *err)
{
	const struct agent_message *m;
	struct agent *a = NULL;
	int r;

	*err = (struct err){ 0 };
	write_agent(script);
	r = agent_start(&a, err);
	if (!r) {
		agent_set_timeout(a, timeout_ms);
		strcpy(agent_message(a)->volume, "v");
		strcpy(agent_message(a)->source, "file:k");
		r = agent_send(a, AGENT_OPEN, err);
		check_eq(agent_message(a)->volume[0], 0);	/* wiped */
		r = r ? r : agent_receive(a, true, &m, err);
	}
	agent_free(a);
	check(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);	/* reaped */
	unsetenv("HULL_AGENT");
	return r;
}

static void agents_that_misbehave_are_an_error(void)
{
	static const struct { const char *script; int r; const char *message; } t[] = {
		/* what hv sends may meet a closed link or not: either way it says how the agent ended */
		{ "dd bs=$size count=1 status=none <&3 >/dev/null; exit 7", -EPIPE, "the volume agent ended with status 7" },
		{ "exit 7", -EPIPE, "the volume agent ended with status 7" },
		{ "kill -9 $$", -EPIPE, "the volume agent was ended by signal 9" },
		{ "printf short >&3; cat <&3 >/dev/null", -EPROTO, NULL },
		{ "dd if=/dev/zero bs=20000 count=1 status=none >&3; cat <&3 >/dev/null", -EPROTO, NULL },
		{ "dd if=/dev/zero bs=$size count=1 status=none >&3; cat <&3 >/dev/null", -EPROTO,
		  "agent message: version 0, not 2: hull and hull-hv are not of one release" },
		{ "cat <&3 >&3; cat <&3 >/dev/null", -EPROTO, "agent message: kind 1 is no answer" },
		{ "cat <&3 >/dev/null", -ETIMEDOUT, "the volume agent does not answer within 1 s" },
	};

	for (unsigned i = 0; i < array_len(t); i++) {
		struct err err;

		check_eq(ask(t[i].script, t[i].r == -ETIMEDOUT ? 200 : 20000, &err), t[i].r);
		check(err.text[0]);
		if (t[i].message)
			check_str(err.text, t[i].message);
	}
}

static void an_agent_that_does_not_end_is_killed(void)
{
	struct err err;

	check_eq(ask("trap '' TERM; exec sleep 1000 3<&-", 200, &err), -EPIPE);
	check_str(err.text, "the volume agent closed its link");
}

static void a_program_that_is_not_there_is_named(void)
{
	struct agent *a = NULL;
	struct err err = { 0 };

	setenv("HULL_AGENT", "/nowhere/hull", 1);
	check_eq(agent_start(&a, &err), -ENOENT);
	check_str(err.text, "volume agent: /nowhere/hull: No such file or directory; the hull program opens encrypted volumes and stands "
		  "beside hull-hv");
	check(a == NULL);
	unsetenv("HULL_AGENT");
}

/* What the child has of ours: PATH, its socket, no other descriptor, no blocked signal. */
static void the_child_inherits_nothing_else(void)
{
	char script[1024], text[4096] = "";
	const char *out = suite_tmp("agent-env");
	const char *blocked;
	sigset_t set, old;
	struct err err;
	FILE *f;

	snprintf(script, sizeof script, "{ env; ls /proc/$$/fd; grep SigBlk /proc/self/status; } >%s; exit 0", out);
	setenv("HULL_TEST_SECRET", "do-not-hand-on", 1);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	check_eq(ask(script, 20000, &err), -EPIPE);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	unsetenv("HULL_TEST_SECRET");
	f = fopen(out, "re");
	CU_ASSERT_FATAL(f != NULL);
	check(fread(text, 1, sizeof text - 1, f) > 0);
	fclose(f);
	check(!strstr(text, "do-not-hand-on"));
	check(strstr(text, "PATH=") != NULL);
	check(strstr(text, "\n3\n") != NULL);
	blocked = strstr(text, "SigBlk:\t");
	check(blocked && !(strtoull(blocked + 8, NULL, 16) & 1ull << (SIGTERM - 1)));
}

static const struct test tests[] = {
	{ "agents that misbehave are an error", agents_that_misbehave_are_an_error },
	{ "an agent that does not end is killed", an_agent_that_does_not_end_is_killed },
	{ "a program that is not there is named", a_program_that_is_not_there_is_named },
	{ "the child inherits nothing else", the_child_inherits_nothing_else },
	{ NULL, NULL },
};
const struct suite suite_crypto_luks_agent_client = { tests };
