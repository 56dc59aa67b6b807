/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket's peer: any bytes, in pieces (the first byte says how long), answers read or not. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/control_priv.h"

static int do_any(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err)
{
	if (json_object_get(request, "fail"))
		return err_set(err, -22, "as asked");
	*ok = json_object();
	control_event(ctx, conn, json_pack("{ss}", "event", "x"));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct control_verb verbs[] = { { "any", do_any }, { NULL, NULL } };
	struct control c = { .verbs = verbs, .fd = -1 };
	int sv[2];

	c.ctx = &c;
	if (size < 2 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv))
		return 0;
	if (control_conn_add(&c, sv[0]))
		abort();
	for (size_t at = 1; at < size && c.conn[0];) {
		size_t n = (data[0] & 0x7f) + 1u;
		ssize_t put = write(sv[1], data + at, n < size - at ? n : size - at);
		char sink[4096];

		if (put <= 0)
			break;
		at += (size_t)put;
		control_conn_read(c.conn[0]);
		while (data[0] & 0x80 && read(sv[1], sink, sizeof sink) > 0)
			;
	}
	if (c.conn[0])
		control_conn_free(c.conn[0]);
	close(sv[1]);
	return 0;
}
