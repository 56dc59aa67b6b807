/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be asked of a running server: the control socket's requests (hv/mgmt/README.md), and the rotations of its volumes' keys,
 * which go on by themselves after a restart. All on the loop's thread under the device lock.
 */
#pragma once
#include "lib/control.h"
#include "hv/mgmt/rotate.h"

struct machine;
struct volume;

struct rotation {
	struct machine *m;
	struct volume *volume;
	struct rotate *rotate;		/* NULL: none since the start; an ended one stays to be read */
	uint64_t conn, told_ns;		/* who is told, and when last */
};

struct mgmt {
	struct control *control;	/* NULL: not asked for */
	struct rotation *rotation;	/* as disks.volume */
	unsigned rotations;
};

/* Needs machine.disks. mgmt_free after either, before disks_free. */
int mgmt_create(struct machine *m, struct err *err) must_check;
void mgmt_free(struct machine *m);

/* ---- rotations (mgmt.c) */
/* -EBUSY: a snapshot is open; -ENOTSUP: not encrypted, or not a file or device. One that runs is joined. */
int mgmt_rotate(struct machine *m, struct volume *v, uint64_t conn, struct err *err) must_check;
int mgmt_rotate_stop(struct machine *m, struct volume *v, struct err *err) must_check;
/* From the request to rotate until the volume has one key again, also while none works on it. */
bool mgmt_rotating(struct machine *m, const struct volume *v);
struct rotation *mgmt_rotation(struct machine *m, const struct volume *v);
json_t *mgmt_rotation_json(const struct rotation *r);	/* null when there is nothing to say */

/* ---- network (net.c): a control_verb's run */
int mgmt_net(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err) must_check;
int mgmt_net_retry(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err) must_check;

extern const struct control_verb mgmt_verbs[];		/* verbs.c; ctx: the machine */
