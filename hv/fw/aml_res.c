/* SPDX-License-Identifier: Apache-2.0 */
/* Resource descriptors: ACPI 6.4 section 6.4. */
#include "hv/fw/aml.h"

enum {
	SMALL_IRQ = 0x22, SMALL_IO = 0x47, SMALL_END = 0x79,
	LARGE_FIXED_MEMORY32 = 0x86, LARGE_DWORD = 0x87, LARGE_WORD = 0x88, LARGE_INTERRUPT = 0x89, LARGE_QWORD = 0x8a,
	SPACE_MEMORY = 0, SPACE_IO = 1, SPACE_BUS = 2,
	PRODUCER_FIXED = 0x0c,		/* producer, positive decode, minimum and maximum fixed */
	MEMORY_WRITABLE = 1, IO_ENTIRE_RANGE = 3, IO_DECODE16 = 1,
	INTERRUPT_CONSUMER = 1, INTERRUPT_SHARED = 8,	/* level and active high are zeros */
};

void aml_open_resources(struct aml *aml)
{
	aml_open_buffer(aml);
}

void aml_close_resources(struct aml *aml)
{
	wbuf_u8(aml->out, SMALL_END);
	wbuf_u8(aml->out, 0);		/* checksum 0: taken as good */
	aml_close(aml);
}

void aml_res_io(struct aml *aml, uint16_t base, uint8_t len)
{
	struct wbuf *b = aml->out;

	wbuf_u8(b, SMALL_IO);
	wbuf_u8(b, IO_DECODE16);
	wbuf_le16(b, base);
	wbuf_le16(b, base);
	wbuf_u8(b, 1);
	wbuf_u8(b, len);
}

void aml_res_irq(struct aml *aml, unsigned irq)
{
	wbuf_u8(aml->out, SMALL_IRQ);
	wbuf_le16(aml->out, (uint16_t)(1u << (irq & 15)));
}

void aml_res_interrupt(struct aml *aml, const uint32_t *gsi, uint8_t count)
{
	struct wbuf *b = aml->out;

	wbuf_u8(b, LARGE_INTERRUPT);
	wbuf_le16(b, (uint16_t)(2 + 4 * count));
	wbuf_u8(b, INTERRUPT_CONSUMER | INTERRUPT_SHARED);
	wbuf_u8(b, count);
	for (unsigned i = 0; i < count; i++)
		wbuf_le32(b, gsi[i]);
}

void aml_res_fixed_memory(struct aml *aml, uint32_t base, uint32_t len)
{
	struct wbuf *b = aml->out;

	wbuf_u8(b, LARGE_FIXED_MEMORY32);
	wbuf_le16(b, 9);
	wbuf_u8(b, MEMORY_WRITABLE);
	wbuf_le32(b, base);
	wbuf_le32(b, len);
}

static void head(struct wbuf *b, uint8_t tag, uint16_t len, uint8_t space, uint8_t flags)
{
	wbuf_u8(b, tag);
	wbuf_le16(b, len);
	wbuf_u8(b, space);
	wbuf_u8(b, PRODUCER_FIXED);
	wbuf_u8(b, flags);
}

/* granularity, minimum, maximum, translation, length */
static void window16(struct aml *aml, uint8_t space, uint8_t flags, uint16_t min, uint16_t max)
{
	struct wbuf *b = aml->out;

	head(b, LARGE_WORD, 13, space, flags);
	wbuf_le16(b, 0);
	wbuf_le16(b, min);
	wbuf_le16(b, max);
	wbuf_le16(b, 0);
	wbuf_le16(b, (uint16_t)(max - min + 1));
}

static void window32(struct aml *aml, uint8_t space, uint8_t flags, uint32_t min, uint32_t max)
{
	struct wbuf *b = aml->out;

	head(b, LARGE_DWORD, 23, space, flags);
	wbuf_le32(b, 0);
	wbuf_le32(b, min);
	wbuf_le32(b, max);
	wbuf_le32(b, 0);
	wbuf_le32(b, max - min + 1);
}

void aml_res_bus(struct aml *aml, uint16_t min, uint16_t max)
{
	window16(aml, SPACE_BUS, 0, min, max);
}

void aml_res_window_io16(struct aml *aml, uint16_t min, uint16_t max)
{
	window16(aml, SPACE_IO, IO_ENTIRE_RANGE, min, max);
}

void aml_res_window_io32(struct aml *aml, uint32_t min, uint32_t max)
{
	window32(aml, SPACE_IO, IO_ENTIRE_RANGE, min, max);
}

void aml_res_window_memory32(struct aml *aml, uint32_t min, uint32_t max, enum aml_memory kind)
{
	window32(aml, SPACE_MEMORY, (uint8_t)(MEMORY_WRITABLE | kind << 1), min, max);
}

void aml_res_window_memory64(struct aml *aml, uint64_t min, uint64_t max, enum aml_memory kind)
{
	struct wbuf *b = aml->out;

	head(b, LARGE_QWORD, 43, SPACE_MEMORY, (uint8_t)(MEMORY_WRITABLE | kind << 1));
	wbuf_le64(b, 0);
	wbuf_le64(b, min);
	wbuf_le64(b, max);
	wbuf_le64(b, 0);
	wbuf_le64(b, max - min + 1);
}
