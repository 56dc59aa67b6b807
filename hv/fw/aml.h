/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Emitter of ACPI Machine Language into a bounded buffer. ACPI 6.4 chapter 20 (grammar), 6.4 (resource descriptors).
 *
 * Blocks nest: aml_open_* … aml_close. A block's PkgLength (and a buffer's size) is put in, in its shortest encoding, when
 * the block closes, so contents are written once and never sized by hand. Terms are written in prefix order, as in the
 * grammar: aml_op(a, AML_AND); aml_local(a, 0); aml_int(a, 3); aml_local(a, 0) is And(Local0, 3, Local0).
 * Running out of room or nesting too deep sets a->out->failed and nothing more is written.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/buf.h"

#define AML_DEPTH 24

struct aml {
	struct wbuf *out;
	unsigned depth;
	struct { size_t at; bool buffer; } open[AML_DEPTH];
};

enum aml_op {
	AML_STORE = 0x70, AML_ADD = 0x72, AML_AND = 0x7b, AML_OR = 0x7d, AML_CREATE_DWORD = 0x8a,
	AML_LNOT = 0x92, AML_LEQUAL = 0x93, AML_LLESS = 0x95, AML_RETURN = 0xa4,
};

void aml_init(struct aml *aml, struct wbuf *out);
/* Names: "\\_SB.PCI0", "^ISA", "_HID"; segments shorter than four letters are padded with '_'. "" is the null name. */
void aml_path(struct aml *aml, const char *path);

void aml_open_scope(struct aml *aml, const char *path);
void aml_open_device(struct aml *aml, const char *name);
void aml_open_processor(struct aml *aml, const char *name, uint8_t id);
void aml_open_method(struct aml *aml, const char *name, unsigned args, bool serialized);
void aml_open_package(struct aml *aml, uint8_t elements);
void aml_open_buffer(struct aml *aml);
void aml_open_if(struct aml *aml);	/* the predicate comes first inside */
void aml_open_else(struct aml *aml);	/* right after closing an if */
void aml_open_field(struct aml *aml, const char *region);	/* byte access, no lock, preserve */
void aml_close(struct aml *aml);

void aml_name(struct aml *aml, const char *name);	/* Name(name, the next term) */
void aml_name_int(struct aml *aml, const char *name, uint64_t val);
void aml_name_string(struct aml *aml, const char *name, const char *val);
void aml_name_eisa(struct aml *aml, const char *name, const char *id);	/* "PNP0A08" */
void aml_op(struct aml *aml, enum aml_op op);
void aml_int(struct aml *aml, uint64_t val);
void aml_string(struct aml *aml, const char *s);
void aml_eisa(struct aml *aml, const char *id);
void aml_uuid(struct aml *aml, const char *uuid);	/* ToUUID: a 16 byte buffer */
void aml_local(struct aml *aml, unsigned n);
void aml_arg(struct aml *aml, unsigned n);
/* OperationRegion in PCI config space, and the parts of a Field list */
void aml_region_pci(struct aml *aml, const char *name, uint32_t offset, uint32_t len);
void aml_field_unit(struct aml *aml, const char *name, unsigned bits);	/* name "": skipped bits */

/* Resource templates: inside aml_open_resources … aml_close_resources. Ranges are inclusive. */
enum aml_memory { AML_UNCACHED = 0, AML_CACHED = 1 };
void aml_open_resources(struct aml *aml);
void aml_close_resources(struct aml *aml);
void aml_res_io(struct aml *aml, uint16_t base, uint8_t len);
void aml_res_irq(struct aml *aml, unsigned irq);		/* edge, high, exclusive */
void aml_res_interrupt(struct aml *aml, const uint32_t *gsi, uint8_t count);	/* consumer, level, active high, shared */
void aml_res_fixed_memory(struct aml *aml, uint32_t base, uint32_t len);
/* Producer windows */
void aml_res_bus(struct aml *aml, uint16_t min, uint16_t max);
void aml_res_window_io16(struct aml *aml, uint16_t min, uint16_t max);
void aml_res_window_io32(struct aml *aml, uint32_t min, uint32_t max);
void aml_res_window_memory32(struct aml *aml, uint32_t min, uint32_t max, enum aml_memory kind);
void aml_res_window_memory64(struct aml *aml, uint64_t min, uint64_t max, enum aml_memory kind);
