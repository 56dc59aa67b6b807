/* SPDX-License-Identifier: Apache-2.0 */
/* Rotations that do not begin. tests/system/rotate.sh has those that do. */
#include "hv/mgmt/rotate.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hv/block/snapshot.h"
#include "hv/machine.h"
#include "lib/scope.h"
#include "tests/unit/hv/block/crypt_rig.h"
#include "tests/unit/suite.h"

enum { SIZE = 1 << 20 };

static struct secret key;

/* An encrypted volume in memory, snapshot layer included. */
static struct block *open_crypt(struct block **snapshot)
{
	struct luks_layout l = { .version = 2, .data_len = SIZE, .segment_count = 1, .segment = { crypt_segment(512, 64) } };
	struct block *b = NULL;
	struct err err = { 0 };

	CU_ASSERT_FATAL(!block_snapshot_create(&fault_create(SIZE)->b, NULL, snapshot));
	CU_ASSERT_FATAL(!block_crypt_create(*snapshot, &l, &b, &err));
	CU_ASSERT_FATAL(!secret_copy(&key, l.segment[0].key, 64));
	return b;
}

static void note_empty(void *ctx)
{
	*(bool *)ctx = true;
}

/* What an earlier rotation left frozen goes on failing when the next one cannot even start: nobody would thaw it. */
static void a_start_that_fails_leaves_no_request_waiting(void)
{
	struct rotate_config c = { .name = "v", .path = "/nowhere", .key = &key };
	struct luks_segment fresh = crypt_segment(512, 64);
	struct rotate *r = NULL;
	uint8_t data[512] = { 0 };
	struct err err = { 0 };
	struct block *snapshot;
	bool empty = false;

	c.crypt = open_crypt(&snapshot);
	c.base = snapshot;	/* not of block_file_open: there is no claim to let go of */
	check_eq(loop_create(&c.loop, &err), 0);
	check_eq(block_crypt_rotate_begin(c.crypt, &fresh, &err), 0);
	check_eq(block_crypt_freeze(c.crypt, 0, 4096, note_empty, &empty), 0);
	block_crypt_fail_zone(c.crypt, -EIO);
	check_eq(crypt_call_now(c.crypt, BLOCK_WRITE, 0, data, 512), -EIO);
	setenv("HULL_AGENT", "/nonexistent/agent", 1);
	check(rotate_start(&c, &r, &err) < 0);
	unsetenv("HULL_AGENT");
	check_eq(crypt_call_now(c.crypt, BLOCK_WRITE, 0, data, 512), -EIO);
	block_free(c.crypt);
	loop_free(c.loop);
	secret_destroy(&key);
}

static int snapshot_create(struct machine *m, const char *store, struct err *err)
{
	json_t *request = json_pack("{ss ss}", "volume", "v", "store", store), *ok = NULL;
	const struct control_verb *v = mgmt_verbs;
	int r;

	while (strcmp(v->name, "snapshot-create"))
		v++;
	r = v->run(m, 1, request, &ok, err);
	json_decref(request);
	json_decref(ok);
	return r;
}

/* An agent that has said nothing yet will rewrite the volume below the snapshot's back. */
static void no_snapshot_from_the_moment_a_rotation_is_asked_for(void)
{
	const char *agent = suite_tmp("silent-agent"), *store;
	struct placement_volume placed = { .name = "v" };
	struct err err = { 0 };
	struct rotation rotation;
	struct machine *m = calloc(1, sizeof *m);
	struct volume v = { .name = "v", .path = "/nowhere" };
	FILE *f = fopen(agent, "w");
	bool written = f && fprintf(f, "#!/bin/sh\nexec cat <&3 >/dev/null\n") > 0;

	check(f && !fclose(f) && written && !chmod(agent, 0700));
	setenv("HULL_AGENT", agent, 1);
	v.crypt = open_crypt(&v.snapshot);
	v.base = v.snapshot->lower;
	check_eq(secret_copy(&v.key, key.data, key.len), 0);
	check_eq(loop_create(&m->loop, &err), 0);
	m->disks.volume = &v;
	m->disks.volumes = 1;
	m->disks.placement.volume = &placed;
	rotation = (struct rotation){ .m = m, .volume = &v };
	m->mgmt.rotation = &rotation;
	m->mgmt.rotations = 1;
	check_eq(mgmt_rotate(m, &v, 0, &err), 0);
	store = suite_tmp("early-store");
	check_eq(snapshot_create(m, store, &err), -EBUSY);
	rotate_free(rotation.rotate);
	rotation.rotate = NULL;
	check_eq(snapshot_create(m, store, &err), 0);
	check_eq(mgmt_rotate(m, &v, 0, &err), -EBUSY);
	unsetenv("HULL_AGENT");
	unlink(agent);
	unlink(store);
	block_free(v.crypt);
	secret_destroy(&v.key);
	secret_destroy(&key);
	loop_free(m->loop);
	free(m);
}

static const struct test tests[] = {
	{ "a start that fails leaves no request waiting", a_start_that_fails_leaves_no_request_waiting },
	{ "no snapshot from the moment a rotation is asked for", no_snapshot_from_the_moment_a_rotation_is_asked_for },
	{ NULL, NULL },
};
const struct suite suite_hv_mgmt_rotate = { tests };
