/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/ctl.h"
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "lib/bits.h"
#include "tests/unit/suite.h"

static size_t frame(uint8_t *buf, const char *text)
{
	put_be32(buf, (uint32_t)strlen(text));
	memcpy(buf + CTL_HEADER, text, strlen(text));
	return CTL_HEADER + strlen(text);
}

static void refuse(const char *text, const char *why)
{
	uint8_t buf[512];
	size_t used, len = frame(buf, text);
	struct err err;
	json_t *msg;

	check_eq(ctl_parse(buf, len, &used, &msg, &err), -EINVAL);
	check_str(err.text, why);
	check(!msg && !used);
}

static void takes_one_message_at_a_time(void)
{
	uint8_t buf[512];
	size_t used, a = frame(buf, "{\"id\":1,\"do\":\"ping\"}"), b = frame(buf + a, "{\"event\":\"x\"}");
	json_t *msg;

	for (size_t len = 0; len < a; len++) {
		check_eq(ctl_parse(buf, len, &used, &msg, NULL), 0);
		check(!msg && !used);
	}
	check_eq(ctl_parse(buf, a + b, &used, &msg, NULL), 0);
	check_eq(used, a);
	check_str(json_string_value(json_object_get(msg, "do")), "ping");
	json_decref(msg);
	check_eq(ctl_parse(buf + a, b, &used, &msg, NULL), 0);
	check_eq(used, b);
	json_decref(msg);
}

static void refuses_lengths(void)
{
	static const uint8_t none[4], big[4] = { 0, 1, 0, 1 }, max[4] = { 0, 1, 0, 0 };
	struct err err;
	size_t used;
	json_t *msg;

	check_eq(ctl_parse(none, 4, &used, &msg, &err), -EINVAL);
	check_str(err.text, "message: length 0 is not 1 to 65536");
	check_eq(ctl_parse(big, 4, &used, &msg, &err), -EINVAL);
	check_str(err.text, "message: length 65537 is not 1 to 65536");
	check_eq(ctl_parse(max, 4, &used, &msg, &err), 0);
	check(!msg);
}

static void refuses_what_is_no_message(void)
{
	refuse("[1]", "message: is not an object");
	refuse("{\"a\":1,\"a\":2}", "message: byte 10: a key stands twice");
	refuse("{} {}", "message: byte 4: bytes after its end");
	refuse("{\"a\":", "message: byte 5: ends too early");
	refuse("{\"secret\":hunter2}", "message: byte 16: not JSON");
	refuse("{\"a\":\"\xff\"}", "message: byte 6: not UTF-8");
	refuse("{\"a\":\"\\u0000\"}", "message: byte 13: a NUL in a string");
	refuse("{\"a\":99999999999999999999}", "message: byte 25: a number is too large");
	refuse("7", "message: byte 1: not JSON");
}

static void refuses_depth(void)
{
	uint8_t buf[128];
	char text[64];
	size_t used;
	json_t *msg;

	/* 15 arrays in the object are 16 deep; brackets in strings don't count */
	strcpy(text, "{\"[[[[\\\"\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}");
	check_eq(ctl_parse(buf, frame(buf, text), &used, &msg, NULL), 0);
	check(msg != NULL);
	json_decref(msg);
	refuse("{\"a\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}", "message: nested deeper than 16");
}

static void writes_what_it_reads(void)
{
	json_t *msg = json_pack("{s:i, s:s}", "id", 7, "do", "grüße"), *back;
	size_t len, used;
	char *text;

	check_eq(ctl_text(msg, &text, &len), 0);
	check_eq(get_be32(text), len - CTL_HEADER);
	check_eq(ctl_parse(text, len, &used, &back, NULL), 0);
	check_eq(used, len);
	check(json_equal(msg, back));
	ctl_text_free(text, len);
	json_decref(back);
	json_decref(msg);
}

static void refuses_to_write_too_much(void)
{
	static char big[CTL_MAX];
	json_t *msg;
	size_t len;
	char *text;

	memset(big, 'x', sizeof big - 1);
	msg = json_pack("{s:s}", "a", big);
	check_eq(ctl_text(msg, &text, &len), -EMSGSIZE);
	check(!text);
	json_decref(msg);
	big[CTL_MAX - strlen("{\"a\":\"\"}")] = 0;
	msg = json_pack("{s:s}", "a", big);
	check_eq(ctl_text(msg, &text, &len), 0);
	check_eq(len, CTL_HEADER + CTL_MAX);
	ctl_text_free(text, len);
	json_decref(msg);
}

static void names_codes(void)
{
	check_str(ctl_code_name(EPERM), "EPERM");
	check_str(ctl_code_name(-EPERM), "EPERM");
	check_str(ctl_code_name(ENOTTY), "EIO");
	check_eq(ctl_code_value("EKEYREVOKED"), EKEYREVOKED);
	check_eq(ctl_code_value("ENONSENSE"), EIO);
}

static void reads_requests(void)
{
	json_t *msg = json_pack("{s:i, s:s}", "id", 7, "do", "ping");
	const char *verb;
	struct err err;
	json_int_t id;

	check_eq(ctl_request(msg, &id, &verb, &err), 0);
	check_eq(id, 7);
	check_str(verb, "ping");
	json_object_set_new(msg, "do", json_integer(1));
	check_eq(ctl_request(msg, &id, &verb, &err), -EINVAL);
	check_str(err.text, "request: \"do\" is no string");
	json_object_set_new(msg, "id", json_string("7"));
	check_eq(ctl_request(msg, &id, &verb, &err), -EINVAL);
	check_str(err.text, "request: \"id\" is no integer");
	json_decref(msg);
}

static void reads_answers(void)
{
	json_t *fine = ctl_ok(7, json_pack("{s:i}", "n", 1)), *bad = ctl_error(7, -ENOENT, "no such thing"), *none = ctl_ok(7, NULL), *ok;
	struct err err;

	check_eq(ctl_answer(fine, 7, &ok, &err), 0);
	check_eq(json_integer_value(json_object_get(ok, "n")), 1);
	json_decref(ok);
	check_eq(ctl_answer(none, 7, &ok, &err), 0);
	json_decref(ok);
	check_eq(ctl_answer(fine, 8, &ok, &err), -EPROTO);
	check_str(err.text, "answer: is not to this request");
	check_eq(ctl_answer(bad, 7, &ok, &err), -ENOENT);
	check_str(err.text, "no such thing");
	json_object_set_new(bad, "ok", json_object());
	check_eq(ctl_answer(bad, 7, &ok, &err), -EPROTO);
	check_str(err.text, "answer: holds neither \"ok\" nor \"error\"");
	check(!ok);
	json_decref(fine);
	json_decref(bad);
	json_decref(none);
}

struct peer { int fd; const char *answers[3]; bool close; };

/* Reads one request, then says what it was told to say, a few bytes at a time. */
static void *play(void *ctx)
{
	struct peer *p = ctx;
	uint8_t buf[512];

	(void)!recv(p->fd, buf, sizeof buf, 0);
	for (int i = 0; i < 3 && p->answers[i]; i++) {
		size_t len = frame(buf, p->answers[i]);

		for (size_t at = 0; at < len; at += 3)
			(void)!send(p->fd, buf + at, len - at < 3 ? len - at : 3, MSG_NOSIGNAL);
	}
	if (p->close)
		shutdown(p->fd, SHUT_RDWR);
	return NULL;
}

static int call(struct peer *p, json_t **ok, struct err *err)
{
	json_t *request = json_pack("{s:s}", "do", "ping");
	struct timeval wait = { .tv_usec = 50000 };
	pthread_t thread;
	int fd[2], rc;

	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	CU_ASSERT_FATAL(!setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait));
	p->fd = fd[1];
	CU_ASSERT_FATAL(!pthread_create(&thread, NULL, play, p));
	rc = ctl_call(fd[0], request, ok, err);
	pthread_join(thread, NULL);
	json_decref(request);
	close(fd[0]);
	close(fd[1]);
	return rc;
}

static void calls(void)
{
	struct peer fine = { .answers = { "{\"event\":\"noise\"}", "{\"id\":1,\"ok\":{\"n\":5}}" } },
		refused = { .answers = { "{\"id\":1,\"error\":{\"code\":\"EBUSY\",\"text\":\"a rotation runs\"}}" } },
		gone = { .close = true }, mute = { 0 }, wrong = { .answers = { "{\"id\":1,\"ok\":[]}" } };
	struct err err;
	json_t *ok;

	check_eq(call(&fine, &ok, &err), 0);
	check_eq(json_integer_value(json_object_get(ok, "n")), 5);
	json_decref(ok);
	check_eq(call(&refused, &ok, &err), -EBUSY);
	check_str(err.text, "a rotation runs");
	check_eq(call(&gone, &ok, &err), -EPIPE);
	check_str(err.text, "answer: the other side closed the connection");
	check_eq(call(&mute, &ok, &err), -ETIMEDOUT);
	check_str(err.text, "answer: no answer in time");
	check_eq(call(&wrong, &ok, &err), -EPROTO);
	check_eq(ctl_call(-1, NULL, &ok, &err), -ENOMEM);
}

static const struct test tests[] = {
	{ "takes one message at a time", takes_one_message_at_a_time },
	{ "refuses lengths", refuses_lengths },
	{ "refuses what is no message", refuses_what_is_no_message },
	{ "refuses depth", refuses_depth },
	{ "writes what it reads", writes_what_it_reads },
	{ "refuses to write too much", refuses_to_write_too_much },
	{ "names codes", names_codes },
	{ "reads requests", reads_requests },
	{ "reads answers", reads_answers },
	{ "calls", calls },
	{ NULL },
};
const struct suite suite_lib_ctl = { tests };
