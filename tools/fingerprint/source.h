/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where facts are read: files, links and folders of the machine (or, for tests, of a folder that looks like one).
 * Every read is bounded; what is missing gives nothing, never an error. Paths are absolute, as on the machine.
 */
#pragma once
#include "tools/fingerprint/facts.h"

#define SOURCE_FILE_MAX (256 * 1024)

struct source {
	const char *root;	/* "" on the live machine, else the folder that stands for it */
	struct facts *facts;
};

static inline bool source_live(const struct source *s) { return !s->root[0]; }

/* The whole file, NUL added; NULL when it cannot be read. Longer files are cut at SOURCE_FILE_MAX. The caller frees. */
char *source_read(const struct source *s, size_t *len, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Base name of where the link at the path points; false when it is no link. */
bool source_link(const struct source *s, char *name, size_t size, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The resolved path, without the root; false when it does not exist. */
bool source_resolve(const struct source *s, char *path, size_t size, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
bool source_exists(const struct source *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct names { char **list; size_t count; };	/* sorted in byte order */
/* What a folder holds, without the dot files; empty when it cannot be read. */
struct names source_list(const struct source *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void names_free(struct names *n);

/* The fact prefix.name. */
void source_add(const struct source *s, const char *prefix, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* A fact that is the contents of a file: key prefix.name = contents of folder/name. Nothing when it cannot be read. */
void source_fact(const struct source *s, const char *prefix, const char *folder, const char *name);
/* The same for a list that ends in NULL. */
void source_facts(const struct source *s, const char *prefix, const char *folder, const char *const *names);
/* A fact that is the base name of a link's target. */
void source_link_fact(const struct source *s, const char *prefix, const char *folder, const char *name);
/* udev's ID_ properties of a device: "n2" for the interface with index 2, "b8:0" for a block device. */
void source_udev_facts(const struct source *s, const char *prefix, const char *device);

/* The collectors: each adds its facts. */
void collect_dmi(const struct source *s);
void collect_acpi(const struct source *s);
void collect_pci(const struct source *s);
void collect_net(const struct source *s);
void collect_block(const struct source *s);
void collect_cpu(const struct source *s);
void collect_memory(const struct source *s);
void collect_console(const struct source *s);
void collect_clock(const struct source *s);
void collect_buses(const struct source *s);
void collect_system(const struct source *s);
/* Every CPUID leaf of the first CPU, one a line, as read: for people who write an environment. */
void cpu_print_leaves(FILE *out);
