/* SPDX-License-Identifier: Apache-2.0 */
/* A '#' starts a comment at the start of a line or after a blank; inside a word it belongs to the value. */
#include "lib/config.h"
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/scope.h"

#define MAX_BYTES (1u << 20)
#define MAX_KEYS 4096	/* finding a key is a walk */
#define MAX_KEY 128

struct item { char *key, *value; unsigned line; bool known; };

struct config { struct item *items; size_t count, room; };

int config_create(struct config **config)
{
	*config = calloc(1, sizeof **config);
	return *config ? 0 : -ENOMEM;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->count; i++) {
		free(config->items[i].key);
		free(config->items[i].value);
	}
	free(config->items);
	free(config);
}

static struct item *find(const struct config *config, const char *key)
{
	for (size_t i = 0; i < config->count; i++)
		if (!strcmp(config->items[i].key, key))
			return &config->items[i];
	return NULL;
}

/* A new item, or -ENOMEM / -E2BIG with nothing changed. */
static int add(struct config *config, const char *key, const char *value, unsigned line)
{
	struct item item = { .key = strdup(key), .value = strdup(value), .line = line }, *items;
	int rc = -ENOMEM;

	if (!item.key || !item.value)
		goto fail;
	rc = -E2BIG;
	if (config->count == MAX_KEYS)
		goto fail;
	if (config->count == config->room) {
		rc = -ENOMEM;
		items = reallocarray(config->items, config->room * 2 + 16, sizeof *items);
		if (!items)
			goto fail;
		config->items = items;
		config->room = config->room * 2 + 16;
	}
	config->items[config->count++] = item;
	return 0;
fail:
	free(item.key);
	free(item.value);
	return rc;
}

static bool is_key(const char *s)
{
	size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789._-");

	return len && len < MAX_KEY && !s[len];
}

static bool is_value(const char *s)
{
	for (; *s; s++)
		if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
			return false;
	return true;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* Cut blanks off both ends, in place. */
static char *trim(char *s)
{
	size_t len;

	while (is_blank(*s))
		s++;
	for (len = strlen(s); len && is_blank(s[len - 1]); len--)
		;
	s[len] = 0;
	return s;
}

static void cut_comment(char *s)
{
	for (char *c = s; *c; c++)
		if (*c == '#' && (c == s || is_blank(c[-1]))) {
			*c = 0;
			return;
		}
}

static int parse_line(struct config *config, const char *name, unsigned line, char *s, struct err *err)
{
	struct item *old;
	char *eq;
	int rc;

	cut_comment(s);
	s = trim(s);
	if (!*s)
		return 0;
	eq = strchr(s, '=');
	if (!eq)
		return err_set(err, -EINVAL, "%s:%u: has no '='; a line is: key = value", name, line);
	*eq = 0;
	s = trim(s);
	eq = trim(eq + 1);
	if (!is_key(s))
		return err_set(err, -EINVAL, "%s:%u: the key must be 1 to %d small letters, digits, '.', '_' and '-'", name,
			line, MAX_KEY - 1);
	if (!*eq)
		return err_set(err, -EINVAL, "%s:%u: %s has no value", name, line, s);
	if (!is_value(eq))
		return err_set(err, -EINVAL, "%s:%u: the value of %s holds control characters", name, line, s);
	old = find(config, s);
	if (old)
		return err_set(err, -EINVAL, "%s:%u: %s stands in line %u already", name, line, s, old->line);
	rc = add(config, s, eq, line);
	if (rc == -E2BIG)
		return err_set(err, rc, "%s:%u: has more than %d keys", name, line, MAX_KEYS);
	return rc ? err_set(err, rc, "%s:%u: out of memory", name, line) : 0;
}

static int parse_text(struct config *config, const char *name, char *text, struct err *err)
{
	unsigned line = 1;
	int rc = 0;

	for (char *s = text, *end; !rc && *s; s = end, line++) {
		end = s + strcspn(s, "\n");
		if (*end)
			*end++ = 0;
		rc = parse_line(config, name, line, s, err);
	}
	return rc;
}

int config_parse(const char *name, const char *text, size_t len, struct config **config, struct err *err)
{
	auto_free char *copy = NULL;
	const char *nul;
	int rc;

	*config = NULL;
	if (len > MAX_BYTES)
		return err_set(err, -EFBIG, "%s: has more than %u KiB", name, MAX_BYTES >> 10);
	nul = len ? memchr(text, 0, len) : NULL;
	if (nul) {
		unsigned line = 1;

		for (const char *c = text; c < nul; c++)
			line += *c == '\n';
		return err_set(err, -EINVAL, "%s:%u: holds a zero byte, this is no text", name, line);
	}
	copy = malloc(len + 1);
	if (!copy || config_create(config))
		return err_set(err, -ENOMEM, "%s: out of memory", name);
	if (len)
		memcpy(copy, text, len);
	copy[len] = 0;
	rc = parse_text(*config, name, copy, err);
	if (rc) {
		config_free(*config);
		*config = NULL;
	}
	return rc;
}

int config_read(const char *path, struct config **config, struct err *err)
{
	/* O_NONBLOCK: a FIFO in the file's place must not hang us */
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	auto_free char *text = NULL;
	struct stat st;
	size_t len = 0;

	*config = NULL;
	if (fd < 0 || fstat(fd, &st))
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s: is not a regular file", path);
	text = malloc(MAX_BYTES + 1);
	if (!text)
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	while (len <= MAX_BYTES) {
		ssize_t n = read(fd, text + len, MAX_BYTES + 1 - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "%s: %s", path, strerror(errno));
		if (!n)
			break;
		len += (size_t)n;
	}
	return config_parse(path, text, len, config, err);
}

int config_set(struct config *config, const char *key, const char *value, struct err *err)
{
	struct item *item;
	char *copy;
	int rc;

	if (!is_key(key))
		return err_set(err, -EINVAL, "the key must be 1 to %d small letters, digits, '.', '_' and '-'", MAX_KEY - 1);
	if (!is_value(value))
		return err_set(err, -EINVAL, "the value of %s holds control characters", key);
	item = find(config, key);
	if (!item) {
		rc = add(config, key, value, 0);
		if (rc == -E2BIG)
			return err_set(err, rc, "%s: is one too many, at most %d keys are allowed", key, MAX_KEYS);
		return rc ? err_set(err, rc, "%s: out of memory", key) : 0;
	}
	copy = strdup(value);
	if (!copy)
		return err_set(err, -ENOMEM, "%s: out of memory", key);
	free(item->value);
	item->value = copy;
	item->line = 0;
	return 0;
}

const char *config_get(struct config *config, const char *key)
{
	struct item *item = find(config, key);

	if (!item)
		return NULL;
	item->known = true;
	return item->value;
}

const char *config_unknown(const struct config *config, unsigned *line)
{
	for (size_t i = 0; i < config->count; i++)
		if (!config->items[i].known) {
			if (line)
				*line = config->items[i].line;
			return config->items[i].key;
		}
	return NULL;
}

const char *config_key(const struct config *config, size_t i)
{
	return i < config->count ? config->items[i].key : NULL;
}
