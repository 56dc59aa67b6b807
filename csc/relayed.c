/* SPDX-License-Identifier: Apache-2.0 */
/* A pair: a caller's socket and a parked one, spliced. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "csc/csc_priv.h"
#include "lib/log.h"

void relayed_free(struct relayed *r)
{
	struct csc *csc = r->csc;
	uint64_t to_server, to_caller;

	splice_moved(r->splice, &to_server, &to_caller);
	csc->count.to_server_bytes += to_server;
	csc->count.to_caller_bytes += to_caller;
	*r->link_ = r->next;
	if (r->next)
		r->next->link_ = r->link_;
	csc->relayed_count--;
	splice_free(r->splice);
	free(r);
}

static void on_over(void *ctx, int code)
{
	struct relayed *r = ctx;

	if (code) {
		r->csc->count.relayed_cut++;
		log_limited(LOG_INFO, "%s/%s to %s of hv/%s: cut off: %s", pki_role_name(r->caller.role), r->caller.name, r->parked.nic,
			r->parked.server, strerror(-code));
	} else {
		r->csc->count.relayed_ended++;
	}
	relayed_free(r);
}

void relayed_create(struct conn *conn, int fd)
{
	struct csc *csc = conn->csc;
	struct relayed *r = calloc(1, sizeof *r);
	struct err err;

	if (!r) {
		close(fd);	/* the parked one goes back with the connection */
		csc->count.internal++;
		return;
	}
	*r = (struct relayed){ .csc = csc, .caller = conn->id, .parked = conn->parked, .since = time(NULL) };
	strcpy(r->serial, conn->serial);
	conn->parked.fd = -1;
	if (splice_create(csc->loop, csc->pipes, fd, r->parked.fd, on_over, r, &r->splice, &err)) {
		log_limited(LOG_WARN, "%s", err.text);
		csc->count.internal++;
		free(r);
		return;
	}
	r->next = csc->relayed;
	r->link_ = &csc->relayed;
	if (r->next)
		r->next->link_ = &r->next;
	csc->relayed = r;
	csc->relayed_count++;
	csc->count.relayed++;
}
