/* SPDX-License-Identifier: Apache-2.0 */
#include "lma/audit.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "lib/log.h"
#include "lib/scope.h"

enum { STRANGERS_A_SECOND = 16 };

struct audit {
	char *path;
	int fd;
	bool torn;			/* the last line was cut off by a full medium: the next one begins anew */
	time_t second;			/* the one that strangers counts */
	unsigned strangers;
	json_int_t held;
};

static int open_file(const char *path, struct err *err)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	struct stat st;

	if (fd < 0)
		return err_set(err, -errno, "audit log %s: %s", path, strerror(errno));
	if (!fstat(fd, &st) && !S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(err, -EINVAL, "audit log %s: is not a regular file", path);
	}
	return fd;
}

int audit_open(const char *path, struct audit **out, struct err *err)
{
	struct audit *a = calloc(1, sizeof *a);
	int rc;

	*out = NULL;
	if (!a)
		return err_set(err, -ENOMEM, "audit log: out of memory");
	a->path = strdup(path);
	a->fd = rc = a->path ? open_file(path, err) : err_set(err, -ENOMEM, "audit log: out of memory");
	if (rc < 0) {
		audit_close(a);
		return rc;
	}
	*out = a;
	return 0;
}

int audit_reopen(struct audit *a, struct err *err)
{
	int fd = open_file(a->path, err);

	if (fd < 0)
		return fd;
	close(a->fd);
	a->fd = fd;
	return 0;
}

static void add(json_t *o, const char *key, const char *value)
{
	if (value)
		json_object_set_new(o, key, json_string(pki_name_check(value, NULL) ? "(not a name)" : value));
}

static char *line_of(const struct audit_act *act, json_int_t held)
{
	char when[32], who[8 + PKI_NAME_MAX];
	time_t now = time(NULL);
	struct tm tm;
	json_t *o;
	char *text;

	strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	o = json_pack("{s:s, s:s, s:s}", "time", when, "peer", act->peer, "verb", act->verb);
	if (o && act->who) {
		snprintf(who, sizeof who, "%s/%s", pki_role_name(act->who->role), act->who->name);
		json_object_set_new(o, "who", json_string(who));
	}
	add(o, "serial", act->serial);
	add(o, "server", act->server);
	add(o, "volume", act->volume);
	if (act->caller)
		json_object_set_new(o, "caller", json_string(act->caller));
	add(o, "nic", act->nic);
	if (act->relay && *act->relay)
		add(o, "relay", act->relay);
	if (act->count)
		json_object_set_new(o, "count", json_integer(act->count));
	if (held)
		json_object_set_new(o, "held", json_integer(held));
	/* set last: an object that is short of it was short of memory */
	text = json_object_set_new(o, "result", json_string(act->result)) ? NULL : json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

static int append(struct audit *a, const struct audit_act *act, json_int_t held, struct err *err)
{
	auto_free char *text = line_of(act, held), *line = NULL;
	ssize_t n, len = text ? asprintf(&line, "%s%s\n", a->torn ? "\n" : "", text) : -1;

	if (len < 0) {
		line = NULL;
		return err_set(err, -ENOMEM, "audit log: out of memory");
	}
	n = write(a->fd, line, (size_t)len);
	if (n > 0)
		a->torn = n != len;
	if (n != len)
		return err_set(err, n < 0 ? -errno : -ENOSPC, "audit log %s: %s", a->path, n < 0 ? strerror(errno) : "the medium is full");
	if (act->sync && fdatasync(a->fd))
		return err_set(err, -errno, "audit log %s: %s", a->path, strerror(errno));
	return 0;
}

int audit_write(struct audit *a, const struct audit_act *act, struct err *err)
{
	return append(a, act, 0, err);
}

void audit_write_stranger(struct audit *a, const struct audit_act *act)
{
	time_t now = time(NULL);
	struct err err;

	if (a->second != now) {
		a->second = now;
		a->strangers = 0;
	}
	if (a->strangers++ >= STRANGERS_A_SECOND) {
		a->held++;
		return;
	}
	if (append(a, act, a->held, &err))
		log_limited(LOG_ERROR, "%s", err.text);
	a->held = 0;
}

void audit_close(struct audit *a)
{
	if (!a)
		return;
	if (a->fd >= 0)
		close(a->fd);
	free(a->path);
	free(a);
}
