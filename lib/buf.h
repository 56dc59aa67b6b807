/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded cursors for every wire and table format: no pointer arithmetic in parsers or table writers.
 * A cursor that ran past its end stays failed; reads then give 0 and writes are dropped, so a parser reads like its
 * specification and asks once at the end. Not thread safe; the memory belongs to the caller.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rbuf { const uint8_t *data; size_t len, pos; bool failed; };
struct wbuf { uint8_t *data; size_t len, pos; bool failed; };

static inline struct rbuf rbuf_of(const void *data, size_t len) { return (struct rbuf){ .data = data, .len = len }; }
static inline struct wbuf wbuf_of(void *data, size_t len) { return (struct wbuf){ .data = data, .len = len }; }
static inline size_t rbuf_left(const struct rbuf *b) { return b->len - b->pos; }
static inline size_t wbuf_left(const struct wbuf *b) { return b->len - b->pos; }

/* n bytes at the cursor, then past them; NULL (and failed) when they are not there. */
const uint8_t *rbuf_take(struct rbuf *b, size_t n);
void rbuf_copy(struct rbuf *b, void *dst, size_t n);	/* zero-fills dst on failure */
void rbuf_skip(struct rbuf *b, size_t n);
void rbuf_seek(struct rbuf *b, size_t pos);
uint8_t rbuf_u8(struct rbuf *b);
uint16_t rbuf_le16(struct rbuf *b);
uint32_t rbuf_le32(struct rbuf *b);
uint64_t rbuf_le64(struct rbuf *b);
uint16_t rbuf_be16(struct rbuf *b);
uint32_t rbuf_be32(struct rbuf *b);
uint64_t rbuf_be64(struct rbuf *b);

/* Room for n bytes at the cursor, zeroed, then past them; NULL (and failed) when there is none. */
uint8_t *wbuf_room(struct wbuf *b, size_t n);
void wbuf_put(struct wbuf *b, const void *src, size_t n);
void wbuf_zero(struct wbuf *b, size_t n);
void wbuf_align(struct wbuf *b, size_t to);		/* to: a power of two, counted from data */
void wbuf_u8(struct wbuf *b, uint8_t v);
void wbuf_le16(struct wbuf *b, uint16_t v);
void wbuf_le32(struct wbuf *b, uint32_t v);
void wbuf_le64(struct wbuf *b, uint64_t v);
void wbuf_be16(struct wbuf *b, uint16_t v);
void wbuf_be32(struct wbuf *b, uint32_t v);
void wbuf_be64(struct wbuf *b, uint64_t v);
void wbuf_str(struct wbuf *b, const char *s);		/* with its NUL */
/* s without NUL, cut or padded with pad to exactly n bytes (ATA, ACPI and SMBIOS fields) */
void wbuf_pad_str(struct wbuf *b, const char *s, size_t n, char pad);
