/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/control.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/control_priv.h"
#include "lib/bits.h"
#include "lib/scope.h"
#include "tests/unit/suite.h"

static uint64_t asked_by;

static int do_echo(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err)
{
	asked_by = conn;
	*ok = json_pack("{s:O}", "said", json_object_get(request, "say"));
	return 0;
}

static int do_refuse(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err)
{
	return err_set(err, -EBUSY, "not now");
}

static int do_long(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err)
{
	char text[60000];

	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = 0;
	*ok = json_pack("{ss}", "text", text);
	return 0;
}

static const struct control_verb verbs[] = { { "echo", do_echo }, { "refuse", do_refuse }, { "long", do_long }, { NULL, NULL } };

/* A control socket without a listener, and the peer's end of its one connection. */
static struct control_conn *pair(struct control *c, int *peer)
{
	int sv[2];

	*c = (struct control){ .verbs = verbs, .fd = -1 };
	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv) && !control_conn_add(c, sv[0]));
	*peer = sv[1];
	return c->conn[0];
}

static void put(int fd, const char *text)
{
	uint8_t head[4];

	put_be32(head, (uint32_t)strlen(text));
	check(write(fd, head, 4) == 4 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static void expect(int fd, const char *text)
{
	char have[4096];
	ssize_t n = read(fd, have, sizeof have - 1);

	check_or_return(n > 4);
	have[n] = 0;
	check_str(have + 4, text);
}

static void requests_are_answered(void)
{
	struct control c;
	int peer;
	struct control_conn *conn = pair(&c, &peer);

	put(peer, "{\"id\":7,\"do\":\"echo\",\"say\":[1]}");
	control_conn_read(conn);
	expect(peer, "{\"id\":7,\"ok\":{\"said\":[1]}}");
	check_eq(asked_by, conn->id);
	put(peer, "{\"id\":8,\"do\":\"refuse\"}");
	control_conn_read(conn);
	expect(peer, "{\"id\":8,\"error\":{\"code\":\"EBUSY\",\"text\":\"not now\"}}");
	put(peer, "{\"id\":9,\"do\":\"dance\"}");
	control_conn_read(conn);
	expect(peer, "{\"id\":9,\"error\":{\"code\":\"ENOSYS\",\"text\":\"\\\"dance\\\": no such request here\"}}");
	control_event(&c, conn->id, json_pack("{ss}", "event", "x"));
	expect(peer, "{\"event\":\"x\"}");
	control_event(&c, conn->id + 1, json_pack("{ss}", "event", "x"));
	check(read(peer, &(char){ 0 }, 1) < 0);
	close(peer);
	control_conn_read(conn);
	check(!c.conn[0]);
}

static void requests_may_come_in_pieces_and_in_heaps(void)
{
	static const char text[] = "\0\0\0\x1a{\"id\":1,\"do\":\"echo\"}      ";
	struct control c;
	int peer;
	struct control_conn *conn = pair(&c, &peer);

	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 30; i++) {
			check(write(peer, text + i, 1) == 1);
			control_conn_read(conn);
		}
		check(read(peer, &(char[64]){ 0 }, 64) > 4);
	}
	for (unsigned i = 0; i < 3; i++)
		check(write(peer, text, 30) == 30);
	control_conn_read(conn);
	check_eq(read(peer, &(char[256]){ 0 }, 256), 3 * (4 + strlen("{\"id\":1,\"ok\":{}}")));
	control_conn_free(conn);
	close(peer);
}

static void breaks(const char *text, size_t len)
{
	struct control c;
	int peer;
	struct control_conn *conn = pair(&c, &peer);

	check(write(peer, text, len) == (ssize_t)len);
	control_conn_read(conn);
	check(!c.conn[0]);
	check_eq(read(peer, &(char){ 0 }, 1), 0);
	close(peer);
}

static void peers_that_break_the_rules_are_dropped(void)
{
	breaks("\0\0\0\0", 4);
	breaks("\xff\xff\xff\xff", 4);
	breaks("\0\0\0\2[]", 6);
	breaks("\0\0\0\2{}", 6);
	breaks("\0\0\0\x0e{\"id\":1,\"do\":}", 18);
}

static void a_peer_that_does_not_read_is_dropped(void)
{
	struct control c;
	int peer;
	struct control_conn *conn = pair(&c, &peer);
	unsigned n = 0;

	while (c.conn[0] && n++ < 200) {
		put(peer, "{\"id\":1,\"do\":\"long\"}");
		control_conn_read(conn);
	}
	check(!c.conn[0]);
	check(n > CONTROL_OUT / 61000);
	close(peer);
}

static void only_so_many_connections(void)
{
	struct control c = { .verbs = verbs, .fd = -1 };
	int sv[2];

	for (unsigned i = 0; i <= CONTROL_CONNS; i++) {
		check_or_return(!socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
		check_eq(control_conn_add(&c, sv[0]), i < CONTROL_CONNS ? 0 : -ENOBUFS);
		close(sv[1]);
	}
	for (unsigned i = 0; i < CONTROL_CONNS; i++)
		control_conn_free(c.conn[i]);
}

static void stop(void *ctx)
{
	loop_stop(ctx);
}

static void the_socket_itself(void)
{
	const char *path = suite_tmp("control.sock");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct control *c = NULL, *other = NULL;
	struct err err = { 0 };
	struct loop *loop;
	struct stat st;
	int fd;

	check_or_return(!loop_create(&loop, &err) && !control_create(loop, path, verbs, NULL, &c, &err));
	check(!stat(path, &st) && (st.st_mode & 0777) == 0600);
	check_eq(control_create(loop, path, verbs, NULL, &other, &err), -EBUSY);
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	check(!connect(fd, (struct sockaddr *)&addr, sizeof addr));
	put(fd, "{\"id\":1,\"do\":\"echo\"}");
	for (unsigned i = 0; i < 3; i++) {
		check_or_return(!loop_post(loop, stop, loop) && !loop_run(loop));
	}
	expect(fd, "{\"id\":1,\"ok\":{}}");
	close(fd);
	control_free(c);
	check(stat(path, &st) && errno == ENOENT);

	/* what a killed server leaves behind */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	check(!bind(fd, (struct sockaddr *)&addr, sizeof addr));
	close(fd);
	check_eq(control_create(loop, path, verbs, NULL, &c, &err), 0);
	control_free(c);
	fd = creat(path, 0600);
	close(fd);
	check_eq(control_create(loop, path, verbs, NULL, &c, &err), -EEXIST);
	check(strstr(err.text, "no socket") != NULL);
	check(!stat(path, &st));
	unlink(path);
	check_eq(control_create(loop, "", verbs, NULL, &c, &err), -ENAMETOOLONG);
	loop_free(loop);
}

static const struct test tests[] = {
	{ "requests are answered", requests_are_answered },
	{ "requests may come in pieces and in heaps", requests_may_come_in_pieces_and_in_heaps },
	{ "peers that break the rules are dropped", peers_that_break_the_rules_are_dropped },
	{ "a peer that does not read is dropped", a_peer_that_does_not_read_is_dropped },
	{ "only so many connections", only_so_many_connections },
	{ "the socket itself", the_socket_itself },
	{ NULL, NULL },
};
const struct suite suite_lib_control = { tests };
