/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of facts: key and value, both printable ASCII, one line each. What goes in may be hostile (file contents,
 * device strings): it is escaped (\xNN), capped and counted here, so that collectors hand over what they read.
 * Keys that start with "info." are printed and shown, never compared. Single thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define FACTS_MAX 65536		/* facts in a set; more are counted as dropped */
#define FACT_VALUE_MAX 2048	/* bytes of a value before escaping; longer ones end in "...(N bytes)" */
#define FACT_KEY_MAX 256	/* bytes of a key after escaping */

struct fact { char *key, *value; };
struct facts { struct fact *list; size_t count, room, dropped; };

/* A second fact with the same key becomes "key#2" and so on when the set is sorted. */
void facts_add(struct facts *f, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* n bytes of any content; one trailing newline is removed. */
void facts_add_bytes(struct facts *f, const char *key, const void *value, size_t n);
/* n bytes as hexadecimal digits */
void facts_add_hex(struct facts *f, const char *key, const void *data, size_t n);
/* LC_ALL=C byte order by key, then value; numbers repeated keys. */
void facts_sort(struct facts *f);
void facts_print(const struct facts *f, FILE *out);		/* key = value */
void facts_print_json(const struct facts *f, FILE *out);	/* one object */
/* Read what facts_print wrote, sorted. 0, or -1 with the reason (file, line) in why. */
int facts_load(struct facts *f, const char *path, char *why, size_t why_len);
bool fact_is_info(const struct fact *f);
void facts_free(struct facts *f);

/*
 * Prints what b (cloud) has added, removed or changed against a (home), then the information section, then
 * "N facts compared, M differences". Both are sorted. Returns M.
 */
size_t facts_diff(const struct facts *a, const struct facts *b, FILE *out);
