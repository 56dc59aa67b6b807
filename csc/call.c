/* SPDX-License-Identifier: Apache-2.0 */
/* A call: its ticket, then a parked socket of whom it is for, which it may wait for. A ticket is used up by being shown. */
#include <errno.h>
#include <string.h>
#include "csc/csc_priv.h"
#include "lib/log.h"

/* ---- tickets */

static int check_ticket(struct conn *conn, const json_t *field, struct ticket *t, struct err *err)
{
	struct csc *csc = conn->csc;
	time_t now = time(NULL);
	int rc;

	if (!json_is_string(field))
		return err_set(err, -EINVAL, "call: needs \"ticket\"");
	rc = ticket_verify(json_string_value(field), json_string_length(field), csc->ca, now, t, err);
	if (rc)
		return rc;
	if (t->callee.role != PKI_HV)
		return err_set(err, -EBADMSG, "ticket: is not for a server");
	if (t->caller.role != conn->id.role || strcmp(t->caller.name, conn->id.name))
		return err_set(err, -EPERM, "ticket: is somebody else's");
	if (t->relay[0] && strcmp(t->relay, csc->id.name))
		return err_set(err, -EPERM, "ticket: is for another relay, this one is %s", csc->id.name);
	if (csc->relayed_count >= csc->config.relayed)
		return err_set(err, -ENOSPC, "call: this relay is full");
	rc = ticket_spend(csc->spent, t, now, err);
	return rc == -ENOSPC ? err_set(err, -EAGAIN, "call: too many tickets were used in the last minutes") : rc;
}

static uint64_t *counter(struct csc *csc, int rc)
{
	switch (-rc) {
	case EINVAL: return &csc->count.bad_message;
	case EBADMSG: case EKEYREJECTED: return &csc->count.ticket_bad;
	case EKEYEXPIRED: return &csc->count.ticket_expired;
	case EPERM: return &csc->count.ticket_foreign;
	case EEXIST: return &csc->count.ticket_used;
	case EAGAIN: return &csc->count.ticket_full;
	case ENOSPC: return &csc->count.call_full;
	default: return &csc->count.internal;
	}
}

/* ---- waiting */

static bool take(struct conn *conn)
{
	if (!parking_take(conn->csc->parking, conn->server, conn->nic, &conn->parked))
		return true;
	conn->parked.fd = -1;
	return false;
}

static void begin_wait(struct conn *conn)
{
	struct csc *csc = conn->csc;

	conn->state = CONN_WAITING;
	conn->wait_next = NULL;
	conn->wait_link = csc->waiting_end;
	*csc->waiting_end = conn;
	csc->waiting_end = &conn->wait_next;
	csc->waiting_count++;
	csc_conn_arm(conn, csc->config.wait_s);
}

void call_unwait(struct conn *conn)
{
	struct csc *csc = conn->csc;

	*conn->wait_link = conn->wait_next;
	if (conn->wait_next)
		conn->wait_next->wait_link = conn->wait_link;
	else
		csc->waiting_end = conn->wait_link;
	csc->waiting_count--;
	conn->state = CONN_NEW;
}

void call_give_up(struct conn *conn)
{
	char text[160];

	call_unwait(conn);
	conn->csc->count.nobody++;
	snprintf(text, sizeof text, "call: nobody is parked for %s of hv/%s", conn->nic, conn->server);
	log_limited(LOG_INFO, "%s (%s/%s): %s", link_peer(conn->link), pki_role_name(conn->id.role), conn->id.name, text);
	csc_conn_leave(conn, CONN_REFUSED, -ENOENT, text);
}

/* Whoever came first for it; leaving may end a connection and change the list, so it is begun anew then. */
void call_serve(struct csc *csc)
{
	struct conn *conn = csc->waiting;

	while (conn) {
		if (!take(conn)) {
			conn = conn->wait_next;
			continue;
		}
		call_unwait(conn);
		csc_conn_leave(conn, CONN_CALLS, 0, NULL);
		conn = csc->waiting;
	}
}

void call_begin(struct conn *conn, const json_t *request)
{
	struct err err = { .text = "" };
	struct ticket t;
	int rc = check_ticket(conn, json_object_get(request, "ticket"), &t, &err);

	conn->csc->count.calls++;
	if (rc) {
		++*counter(conn->csc, rc);
		log_limited(LOG_INFO, "%s (%s/%s): %s", link_peer(conn->link), pki_role_name(conn->id.role), conn->id.name, err.text);
		csc_conn_leave(conn, CONN_REFUSED, rc, err.text);
		return;
	}
	strcpy(conn->server, t.callee.name);
	strcpy(conn->nic, t.nic);
	if (take(conn))
		csc_conn_leave(conn, CONN_CALLS, 0, NULL);
	else
		begin_wait(conn);
}
