/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/ctl.h"
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "lib/bits.h"
#include "lib/buf.h"
#include "lib/scope.h"

static const struct { int code; const char *name; } codes[] = {
	{ EPERM, "EPERM" }, { ENOENT, "ENOENT" }, { EINTR, "EINTR" }, { EIO, "EIO" }, { EAGAIN, "EAGAIN" }, { ENOMEM, "ENOMEM" },
	{ EACCES, "EACCES" }, { EBUSY, "EBUSY" }, { EEXIST, "EEXIST" }, { ENODEV, "ENODEV" }, { EINVAL, "EINVAL" },
	{ ENOSPC, "ENOSPC" }, { EROFS, "EROFS" }, { ERANGE, "ERANGE" }, { ENOTSUP, "ENOTSUP" }, { ENOSYS, "ENOSYS" },
	{ EMSGSIZE, "EMSGSIZE" }, { ETIMEDOUT, "ETIMEDOUT" }, { EALREADY, "EALREADY" }, { ECANCELED, "ECANCELED" },
	{ EPROTO, "EPROTO" }, { EKEYEXPIRED, "EKEYEXPIRED" }, { EKEYREVOKED, "EKEYREVOKED" }, { EKEYREJECTED, "EKEYREJECTED" },
	{ EBADMSG, "EBADMSG" },
};

const char *ctl_code_name(int code)
{
	for (size_t i = 0; i < array_len(codes); i++)
		if (codes[i].code == code || codes[i].code == -code)
			return codes[i].name;
	return "EIO";
}

int ctl_code_value(const char *name)
{
	for (size_t i = 0; i < array_len(codes); i++)
		if (!strcmp(codes[i].name, name))
			return codes[i].code;
	return EIO;
}

static void wiping_free(void *p)
{
	if (p)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

void ctl_harden(void)
{
	json_set_alloc_funcs(malloc, wiping_free);
}

/* Before jansson sees it: it recurses as deep as the text does. */
static bool too_deep(const uint8_t *text, size_t len)
{
	unsigned depth = 0;
	bool string = false;

	for (size_t i = 0; i < len; i++) {
		if (string) {
			if (text[i] == '\\')
				i++;
			else if (text[i] == '"')
				string = false;
		} else if (text[i] == '"') {
			string = true;
		} else if (text[i] == '{' || text[i] == '[') {
			if (++depth > CTL_DEPTH)
				return true;
		} else if ((text[i] == '}' || text[i] == ']') && depth) {
			depth--;
		}
	}
	return false;
}

/* jansson's own text quotes the message, which may hold a secret. */
static const char *json_trouble(const json_error_t *e)
{
	switch (json_error_code(e)) {
	case json_error_out_of_memory: return "out of memory";
	case json_error_premature_end_of_input: return "ends too early";
	case json_error_end_of_input_expected: return "bytes after its end";
	case json_error_invalid_utf8: return "not UTF-8";
	case json_error_duplicate_key: return "a key stands twice";
	case json_error_null_byte_in_key:
	case json_error_null_character: return "a NUL in a string";
	case json_error_numeric_overflow: return "a number is too large";
	default: return "not JSON";
	}
}

int ctl_parse(const void *data, size_t len, size_t *used, json_t **msg, struct err *err)
{
	struct rbuf in = rbuf_of(data, len);
	const uint8_t *text;
	json_error_t e;
	uint32_t size;

	*used = 0;
	*msg = NULL;
	if (len < CTL_HEADER)
		return 0;
	size = rbuf_be32(&in);
	if (!size || size > CTL_MAX)
		return err_set(err, -EINVAL, "message: length %u is not 1 to %d", size, CTL_MAX);
	text = rbuf_take(&in, size);
	if (!text)
		return 0;
	if (too_deep(text, size))
		return err_set(err, -EINVAL, "message: nested deeper than %d", CTL_DEPTH);
	*msg = json_loadb((const char *)text, size, JSON_REJECT_DUPLICATES, &e);
	if (!*msg)
		return err_set(err, json_error_code(&e) == json_error_out_of_memory ? -ENOMEM : -EINVAL, "message: byte %d: %s",
			e.position, json_trouble(&e));
	if (!json_is_object(*msg)) {
		json_decref(*msg);
		*msg = NULL;
		return err_set(err, -EINVAL, "message: is not an object");
	}
	*used = in.pos;
	return 0;
}

int ctl_text(const json_t *msg, char **text, size_t *len)
{
	size_t size = json_dumpb(msg, NULL, 0, JSON_COMPACT);

	*text = NULL;
	*len = 0;
	if (!size)
		return -ENOMEM;
	if (size > CTL_MAX)
		return -EMSGSIZE;
	*text = malloc(CTL_HEADER + size);
	if (!*text)
		return -ENOMEM;
	put_be32(*text, (uint32_t)size);
	*len = CTL_HEADER + size;
	if (json_dumpb(msg, *text + CTL_HEADER, size, JSON_COMPACT) == size)
		return 0;
	ctl_text_free(*text, *len);
	*text = NULL;
	return -ENOMEM;
}

void ctl_text_free(char *text, size_t len)
{
	if (text)
		explicit_bzero(text, len);
	free(text);
}

int ctl_request(const json_t *msg, json_int_t *id, const char **verb, struct err *err)
{
	const json_t *n = json_object_get(msg, "id"), *v = json_object_get(msg, "do");

	if (!json_is_integer(n))
		return err_set(err, -EINVAL, "request: \"id\" is no integer");
	if (!json_is_string(v))
		return err_set(err, -EINVAL, "request: \"do\" is no string");
	*id = json_integer_value(n);
	*verb = json_string_value(v);
	return 0;
}

json_t *ctl_ok(json_int_t id, json_t *ok)
{
	return json_pack("{s:I, s:o}", "id", id, "ok", ok ? ok : json_object());
}

json_t *ctl_error(json_int_t id, int code, const char *text)
{
	return json_pack("{s:I, s:{s:s, s:s}}", "id", id, "error", "code", ctl_code_name(code), "text", text);
}

int ctl_answer(const json_t *msg, json_int_t id, json_t **ok, struct err *err)
{
	const json_t *n = json_object_get(msg, "id"), *error = json_object_get(msg, "error");
	const char *code = json_string_value(json_object_get(error, "code")), *text = json_string_value(json_object_get(error, "text"));
	json_t *o = json_object_get(msg, "ok");

	*ok = NULL;
	if (!json_is_integer(n) || json_integer_value(n) != id)
		return err_set(err, -EPROTO, "answer: is not to this request");
	if (code && text && !o)
		return err_set(err, -ctl_code_value(code), "%s", text);
	if (!json_is_object(o) || error)
		return err_set(err, -EPROTO, "answer: holds neither \"ok\" nor \"error\"");
	*ok = json_incref(o);
	return 0;
}

static int socket_error(const char *what, int code, struct err *err)
{
	if (code == EAGAIN || code == EWOULDBLOCK)
		return err_set(err, -ETIMEDOUT, "%s: no answer in time", what);
	/* which of them it is depends on how far we had come */
	if (code == EPIPE || code == ECONNRESET)
		return err_set(err, -EPIPE, "answer: the other side closed the connection");
	return err_set(err, -code, "%s: %s", what, strerror(code));
}

static int send_all(int fd, const char *data, size_t len, struct err *err)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return socket_error("request", errno, err);
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int receive_all(int fd, uint8_t *data, size_t len, struct err *err)
{
	while (len) {
		ssize_t n = recv(fd, data, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return socket_error("answer", errno, err);
		if (!n)
			return err_set(err, -EPIPE, "answer: the other side closed the connection");
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int receive(int fd, uint8_t *buf, json_t **msg, struct err *err)
{
	size_t used;
	int rc = receive_all(fd, buf, CTL_HEADER, err);

	if (rc)
		return rc;
	/* the header alone: asks for more, or refuses the length */
	rc = ctl_parse(buf, CTL_HEADER, &used, msg, err);
	if (!rc)
		rc = receive_all(fd, buf + CTL_HEADER, get_be32(buf), err);
	return rc ? rc : ctl_parse(buf, CTL_HEADER + get_be32(buf), &used, msg, err);
}

int ctl_call(int fd, json_t *request, json_t **ok, struct err *err)
{
	static const json_int_t id = 1;
	json_t *msg = NULL;
	uint8_t *buf;
	char *text;
	size_t len;
	int rc;

	*ok = NULL;
	if (!request || json_object_set_new(request, "id", json_integer(id)))
		return err_set(err, -ENOMEM, "request: out of memory");
	rc = ctl_text(request, &text, &len);
	if (rc)
		return err_set(err, rc, "request: %s", strerror(-rc));
	rc = send_all(fd, text, len, err);
	ctl_text_free(text, len);
	buf = rc ? NULL : malloc(CTL_HEADER + CTL_MAX);
	if (!rc && !buf)
		rc = err_set(err, -ENOMEM, "answer: out of memory");
	while (!rc) {
		rc = receive(fd, buf, &msg, err);
		if (rc || !json_object_get(msg, "event"))
			break;
		json_decref(msg);
		msg = NULL;
	}
	if (!rc)
		rc = ctl_answer(msg, id, ok, err);
	json_decref(msg);
	ctl_text_free((char *)buf, CTL_HEADER + CTL_MAX);
	return rc;
}
