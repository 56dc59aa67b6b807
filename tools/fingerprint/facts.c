/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/fingerprint/facts.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES (FACT_KEY_MAX + 4 * FACT_VALUE_MAX + 64)

static void *must(void *p)
{
	if (!p) {
		fputs("hull-fingerprint: out of memory\n", stderr);
		exit(2);
	}
	return p;
}

/* Key and value are taken over. */
static void append(struct facts *f, char *key, char *value)
{
	if (f->count == FACTS_MAX) {
		f->dropped++;
		free(key);
		free(value);
		return;
	}
	if (f->count == f->room) {
		f->room = f->room ? f->room * 2 : 256;
		f->list = must(reallocarray(f->list, f->room, sizeof(*f->list)));
	}
	f->list[f->count++] = (struct fact){key, value};
}

/* Backslash is escaped too, so that the original bytes can be told from what is printed. */
static char *escape(const void *bytes, size_t n, bool key)
{
	const unsigned char *in = bytes;
	char *out = must(malloc(4 * n + 1)), *p = out;

	for (size_t i = 0; i < n; i++) {
		bool plain = in[i] > 0x20 && in[i] < 0x7f && in[i] != '\\';

		if (key)
			plain = plain && in[i] != '=' && in[i] != '#';
		else
			plain = plain || (in[i] == ' ' && i + 1 < n && i > 0);
		if (plain)
			*p++ = (char)in[i];
		else
			p += sprintf(p, "\\x%02x", in[i]);
	}
	*p = '\0';
	return out;
}

void facts_add_bytes(struct facts *f, const char *key, const void *value, size_t n)
{
	char more[32] = "", *k = escape(key, strlen(key), true), *v, *whole;

	if (n && ((const char *)value)[n - 1] == '\n')
		n--;
	if (n > FACT_VALUE_MAX) {
		snprintf(more, sizeof(more), "...(%zu bytes)", n);
		n = FACT_VALUE_MAX;
	}
	if (strlen(k) > FACT_KEY_MAX)
		k[FACT_KEY_MAX] = '\0';
	v = escape(value, n, false);
	whole = must(malloc(strlen(v) + sizeof(more)));
	sprintf(whole, "%s%s", v, more);
	free(v);
	append(f, k, whole);
}

void facts_add(struct facts *f, const char *key, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	must(n < 0 ? NULL : text);
	facts_add_bytes(f, key, text, (size_t)n);
	free(text);
}

void facts_add_hex(struct facts *f, const char *key, const void *data, size_t n)
{
	const unsigned char *in = data;
	char *text = must(malloc(2 * n + 1));

	text[0] = '\0';
	for (size_t i = 0; i < n; i++)
		sprintf(text + 2 * i, "%02x", in[i]);
	facts_add_bytes(f, key, text, 2 * n);
	free(text);
}

static int compare(const void *a, const void *b)
{
	const struct fact *x = a, *y = b;
	int order = strcmp(x->key, y->key);

	return order ? order : strcmp(x->value, y->value);
}

void facts_sort(struct facts *f)
{
	size_t first = 0;
	bool renamed = false;

	if (!f->count)
		return;
	qsort(f->list, f->count, sizeof(*f->list), compare);
	for (size_t i = 1; i < f->count; i++) {
		char *key;

		if (strcmp(f->list[i].key, f->list[first].key)) {
			first = i;
			continue;
		}
		must(asprintf(&key, "%s#%zu", f->list[i].key, i - first + 1) < 0 ? NULL : key);
		free(f->list[i].key);
		f->list[i].key = key;
		renamed = true;
	}
	if (renamed)
		qsort(f->list, f->count, sizeof(*f->list), compare);
}

void facts_print(const struct facts *f, FILE *out)
{
	for (size_t i = 0; i < f->count; i++)
		fprintf(out, "%s = %s\n", f->list[i].key, f->list[i].value);
}

/* Only the backslash and the quote need care: everything else is printable ASCII by construction. */
static void print_string(const char *s, FILE *out)
{
	fputc('"', out);
	for (; *s; s++) {
		if (*s == '\\' || *s == '"')
			fputc('\\', out);
		fputc(*s, out);
	}
	fputc('"', out);
}

void facts_print_json(const struct facts *f, FILE *out)
{
	fputs("{", out);
	for (size_t i = 0; i < f->count; i++) {
		fputs(i ? ",\n  " : "\n  ", out);
		print_string(f->list[i].key, out);
		fputs(": ", out);
		print_string(f->list[i].value, out);
	}
	fputs("\n}\n", out);
}

/* 0, or what is wrong with the line. Bytes of another program's making must not reach the operator's terminal. */
static const char *parse_line(struct facts *f, char *line, size_t len)
{
	char *mid, *key, *value;

	if (len && line[len - 1] == '\n')
		line[--len] = '\0';
	if (len && line[len - 1] == '\r') /* came through a serial console */
		line[--len] = '\0';
	if (!len || line[0] == '#')
		return NULL;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || (unsigned char)line[i] >= 0x7f)
			return "has an unprintable byte";
	mid = strstr(line, " = ");
	if (!mid || mid == line)
		return "is not \"key = value\"";
	if (f->count == FACTS_MAX)
		return "is one fact too many";
	key = must(strndup(line, (size_t)(mid - line)));
	value = must(strdup(mid + 3));
	append(f, key, value);
	return NULL;
}

int facts_load(struct facts *f, const char *path, char *why, size_t why_len)
{
	FILE *in = fopen(path, "re");
	char *line = must(malloc(LINE_MAX_BYTES));
	const char *wrong = NULL;
	size_t number = 0;

	if (!in) {
		snprintf(why, why_len, "%s: %s", path, strerror(errno));
		free(line);
		return -1;
	}
	while (!wrong && fgets(line, LINE_MAX_BYTES, in)) {
		size_t len = strlen(line);

		number++;
		if (len + 1 == LINE_MAX_BYTES)
			wrong = "is too long";
		else
			wrong = parse_line(f, line, len);
	}
	if (!wrong && ferror(in))
		wrong = "cannot be read";
	if (!wrong && !f->count)
		wrong = "(the last) and none before holds a fact";
	if (wrong)
		snprintf(why, why_len, "%s: line %zu %s", path, number, wrong);
	fclose(in);
	free(line);
	facts_sort(f);
	return wrong ? -1 : 0;
}

bool fact_is_info(const struct fact *f)
{
	return !strncmp(f->key, "info.", 5);
}

void facts_free(struct facts *f)
{
	for (size_t i = 0; i < f->count; i++) {
		free(f->list[i].key);
		free(f->list[i].value);
	}
	free(f->list);
	*f = (struct facts){0};
}
