/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/fingerprint/source.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/scope.h"

#define NAMES_MAX 16384

static bool build(const struct source *s, char *path, size_t size, const char *fmt, va_list ap)
{
	size_t n = strlen(s->root);
	int more;

	if (n >= size)
		return false;
	memcpy(path, s->root, n);
	more = vsnprintf(path + n, size - n, fmt, ap);
	return more >= 0 && (size_t)more < size - n;
}

#define PATH_OF(s, path, fmt)                                                                                                    \
	({                                                                                                                       \
		va_list ap_;                                                                                                     \
		va_start(ap_, fmt);                                                                                              \
		bool ok_ = build(s, path, sizeof(path), fmt, ap_);                                                               \
		va_end(ap_);                                                                                                     \
		ok_;                                                                                                             \
	})

/* Non-blocking and regular, because a file of the same name may be a pipe or a device. */
char *source_read(const struct source *s, size_t *len, const char *fmt, ...)
{
	char path[PATH_MAX];
	auto_close int fd = -1;
	auto_free char *data = NULL;
	size_t have = 0;
	ssize_t n;

	if (!PATH_OF(s, path, fmt))
		return NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	data = malloc(SOURCE_FILE_MAX + 1);
	if (fd < 0 || !data)
		return NULL;
	while (have < SOURCE_FILE_MAX && (n = read(fd, data + have, SOURCE_FILE_MAX - have)) != 0) {
		if (n < 0)
			return NULL;
		have += (size_t)n;
	}
	data[have] = '\0';
	if (len)
		*len = have;
	return take_ptr(data);
}

bool source_link(const struct source *s, char *name, size_t size, const char *fmt, ...)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *base;
	ssize_t n;

	if (!PATH_OF(s, path, fmt))
		return false;
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = '\0';
	base = strrchr(target, '/');
	snprintf(name, size, "%s", base ? base + 1 : target);
	return true;
}

bool source_resolve(const struct source *s, char *path, size_t size, const char *fmt, ...)
{
	char given[PATH_MAX], found[PATH_MAX], root[PATH_MAX] = "";
	size_t skip;

	if (!PATH_OF(s, given, fmt) || !realpath(given, found))
		return false;
	if (s->root[0] && !realpath(s->root, root))
		return false;
	skip = strlen(root);
	if (strncmp(found, root, skip))
		return false;
	snprintf(path, size, "%s", found + skip);
	return true;
}

bool source_exists(const struct source *s, const char *fmt, ...)
{
	char path[PATH_MAX];

	return PATH_OF(s, path, fmt) && !access(path, F_OK);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names source_list(const struct source *s, const char *fmt, ...)
{
	char path[PATH_MAX];
	struct names n = {0};
	struct dirent *e;
	DIR *d;

	if (!PATH_OF(s, path, fmt))
		return n;
	d = opendir(path);
	if (!d)
		return n;
	while (n.count < NAMES_MAX && (e = readdir(d))) {
		char **list, *name;

		if (e->d_name[0] == '.')
			continue;
		name = strdup(e->d_name);
		list = reallocarray(n.list, n.count + 1, sizeof(*list));
		if (list)
			n.list = list;
		if (!name || !list) {
			fputs("hull-fingerprint: out of memory\n", stderr);
			exit(2);
		}
		n.list[n.count++] = name;
	}
	closedir(d);
	if (n.count)
		qsort(n.list, n.count, sizeof(*n.list), compare);
	return n;
}

void names_free(struct names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->list[i]);
	free(n->list);
	*n = (struct names){0};
}

void source_add(const struct source *s, const char *prefix, const char *name, const char *fmt, ...)
{
	auto_free char *key = NULL, *value = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&value, fmt, ap);
	va_end(ap);
	if (n < 0 || asprintf(&key, "%s.%s", prefix, name) < 0) {
		key = value = NULL;
		fputs("hull-fingerprint: out of memory\n", stderr);
		exit(2);
	}
	facts_add_bytes(s->facts, key, value, (size_t)n);
}

void source_fact(const struct source *s, const char *prefix, const char *folder, const char *name)
{
	size_t len;
	auto_free char *data = source_read(s, &len, "%s/%s", folder, name);
	char key[PATH_MAX];
	const char *slash = strrchr(name, '/');

	if (!data)
		return;
	snprintf(key, sizeof(key), "%s.%s", prefix, slash ? slash + 1 : name);
	facts_add_bytes(s->facts, key, data, len);
}

void source_facts(const struct source *s, const char *prefix, const char *folder, const char *const *names)
{
	for (; *names; names++)
		source_fact(s, prefix, folder, *names);
}

void source_link_fact(const struct source *s, const char *prefix, const char *folder, const char *name)
{
	char target[256];

	if (!source_link(s, target, sizeof(target), "%s/%s", folder, name))
		return;
	source_add(s, prefix, name, "%s", target);
}

void source_udev_facts(const struct source *s, const char *prefix, const char *device)
{
	auto_free char *data = source_read(s, NULL, "/run/udev/data/%s", device);
	char *rest = data, *line;

	while (rest && (line = strsep(&rest, "\n"))) {
		char *value = strchr(line, '=');

		if (strncmp(line, "E:ID_", 5) || !value)
			continue;
		*value++ = '\0';
		source_add(s, prefix, line + 2, "%s", value);
	}
}
