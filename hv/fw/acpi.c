/* SPDX-License-Identifier: Apache-2.0 */
/* Fixed tables and the linker-loader script. ACPI 6.4 chapter 5. */
#include "hv/fw/acpi.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "hv/fw/cpus.h"
#include "hv/fw/loader.h"
#include "lib/bits.h"
#include "lib/scope.h"

enum {
	FADT_WBINVD = BIT(0), FADT_C1 = BIT(2), FADT_NO_SLEEP_BUTTON = BIT(5), FADT_RTC_S4 = BIT(7), FADT_RESET = BIT(10),
	FADT_PLATFORM_CLOCK = BIT(15),
	BOOT_8042 = BIT(1), SPACE_IO = 1, WAET_PM_TIMER_GOOD = BIT(1),
	MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_OVERRIDE = 2, MADT_LAPIC_NMI = 4, PC_AT_PICS = 1, LEVEL_HIGH = 0x0d,
	CMOS_CENTURY = 0x32, RESET_PORT = 0xcf9, RESET_VALUE = 0x0f,
};

#define HEADER 36
#define MAX_TABLES 8

struct build {
	const struct env *env;
	const struct layout *layout;
	struct wbuf out, script;
	size_t facs, dsdt;
	size_t table[MAX_TABLES];	/* what the root tables list */
	unsigned tables;
};

static size_t begin(struct build *b, const char *signature, uint8_t revision)
{
	const struct env *env = b->env;
	size_t at = b->out.pos;

	wbuf_put(&b->out, signature, 4);
	wbuf_le32(&b->out, 0);
	wbuf_u8(&b->out, revision);
	wbuf_u8(&b->out, 0);
	wbuf_pad_str(&b->out, env->acpi.oem_id, 6, ' ');
	wbuf_pad_str(&b->out, env->acpi.oem_table_id, 8, ' ');
	wbuf_le32(&b->out, 1);
	wbuf_pad_str(&b->out, env->acpi.creator_id, 4, ' ');
	wbuf_le32(&b->out, env->acpi.creator_revision);
	return at;
}

static void end(struct build *b, size_t at)
{
	if (b->out.failed)
		return;
	put_le32(b->out.data + at + 4, (uint32_t)(b->out.pos - at));
	loader_checksum(&b->script, ACPI_TABLES_FILE, at + 9, at, b->out.pos - at);
}

/* A pointer of size bytes at the cursor to what stands at offset to. */
static void pointer(struct build *b, uint8_t size, size_t to)
{
	loader_pointer(&b->script, ACPI_TABLES_FILE, ACPI_TABLES_FILE, b->out.pos, size);
	if (size == 8)
		wbuf_le64(&b->out, to);
	else
		wbuf_le32(&b->out, (uint32_t)to);
}

static void list(struct build *b, size_t at)
{
	bug_on(b->tables == MAX_TABLES);
	b->table[b->tables++] = at;
}

static void put_facs(struct build *b)
{
	b->facs = b->out.pos;
	wbuf_put(&b->out, "FACS", 4);
	wbuf_le32(&b->out, 64);
	wbuf_zero(&b->out, 56);
}

static void put_dsdt(struct build *b)
{
	struct aml aml;

	b->dsdt = begin(b, "DSDT", 1);
	aml_init(&aml, &b->out);
	acpi_put_dsdt(&aml, b->env, b->layout);
	end(b, b->dsdt);
}

static void put_gas_io(struct wbuf *w, uint8_t bits, uint64_t port)
{
	wbuf_u8(w, bits ? SPACE_IO : 0);
	wbuf_u8(w, bits);
	wbuf_u8(w, 0);
	wbuf_u8(w, 0);
	wbuf_le64(w, port);
}

/* Up to the flags: all that ACPI 1.0 has. */
static void put_fadt_1(struct build *b, bool reset)
{
	const struct layout *l = b->layout;
	struct wbuf *w = &b->out;

	pointer(b, 4, b->facs);
	pointer(b, 4, b->dsdt);
	wbuf_u8(w, 1);			/* INT_MODEL: both PICs and APICs */
	wbuf_u8(w, 0);			/* no preferred profile */
	wbuf_le16(w, l->sci);
	wbuf_zero(w, 4 + 4);		/* SMI_CMD 0 and its values: always in ACPI mode */
	wbuf_le32(w, l->pm_base);
	wbuf_le32(w, 0);
	wbuf_le32(w, l->pm_base + 4u);
	wbuf_zero(w, 4 + 4);
	wbuf_le32(w, l->pm_base + 8u);
	wbuf_le32(w, l->gpe0);
	wbuf_le32(w, 0);
	wbuf_u8(w, 4);			/* lengths: PM1 event, PM1 control, PM2, timer, GPE0, GPE1 */
	wbuf_u8(w, 2);
	wbuf_u8(w, 0);
	wbuf_u8(w, 4);
	wbuf_u8(w, l->gpe0_len);
	wbuf_zero(w, 3);
	wbuf_le16(w, 0xfff);		/* no C2, no C3 */
	wbuf_le16(w, 0xfff);
	wbuf_zero(w, 2 + 2 + 1 + 1 + 1 + 1);
	wbuf_u8(w, CMOS_CENTURY);
	wbuf_le16(w, reset && (b->env->keyboard || b->env->mouse) ? BOOT_8042 : 0);
	wbuf_u8(w, 0);
	wbuf_le32(w, FADT_WBINVD | FADT_C1 | FADT_NO_SLEEP_BUTTON | FADT_RTC_S4 | FADT_PLATFORM_CLOCK | (reset ? FADT_RESET : 0));
}

static void put_fadt(struct build *b)
{
	const struct layout *l = b->layout;
	struct wbuf *w = &b->out;
	bool q35 = b->env->chipset == ENV_Q35;
	size_t at = begin(b, "FACP", q35 ? 3 : 1);

	list(b, at);
	put_fadt_1(b, q35);
	if (q35) {
		put_gas_io(w, 8, RESET_PORT);
		wbuf_u8(w, RESET_VALUE);
		wbuf_zero(w, 3);
		wbuf_le64(w, 0);	/* X_FIRMWARE_CTRL: the 32-bit one counts */
		pointer(b, 8, b->dsdt);
		put_gas_io(w, 32, l->pm_base);
		put_gas_io(w, 0, 0);
		put_gas_io(w, 16, l->pm_base + 4u);
		put_gas_io(w, 0, 0);
		put_gas_io(w, 0, 0);
		put_gas_io(w, 32, l->pm_base + 8u);
		put_gas_io(w, (uint8_t)(l->gpe0_len * 8), l->gpe0);
		put_gas_io(w, 0, 0);
	}
	end(b, at);
}

static void put_override(struct wbuf *w, uint8_t irq, uint32_t gsi, uint16_t flags)
{
	wbuf_u8(w, MADT_OVERRIDE);
	wbuf_u8(w, 10);
	wbuf_u8(w, 0);
	wbuf_u8(w, irq);
	wbuf_le32(w, gsi);
	wbuf_le16(w, flags);
}

static void put_madt(struct build *b)
{
	static const uint8_t level[] = { 5, 9, 10, 11 };	/* what the link devices and the SCI may use */
	struct wbuf *w = &b->out;
	size_t at = begin(b, "APIC", 1);

	list(b, at);
	wbuf_le32(w, LAYOUT_LAPIC);
	wbuf_le32(w, PC_AT_PICS);
	for (unsigned i = 0; i < env_cpu_count(b->env); i++) {
		wbuf_u8(w, MADT_LAPIC);
		wbuf_u8(w, 8);
		wbuf_u8(w, (uint8_t)i);
		wbuf_u8(w, (uint8_t)cpus_apic_id(&b->env->cpu, i));
		wbuf_le32(w, 1);
	}
	wbuf_u8(w, MADT_IOAPIC);
	wbuf_u8(w, 12);
	wbuf_u8(w, 0);
	wbuf_u8(w, 0);
	wbuf_le32(w, LAYOUT_IOAPIC);
	wbuf_le32(w, 0);
	put_override(w, 0, 2, 0);
	for (unsigned i = 0; i < array_len(level); i++)
		put_override(w, level[i], level[i], LEVEL_HIGH);
	wbuf_u8(w, MADT_LAPIC_NMI);
	wbuf_u8(w, 6);
	wbuf_u8(w, 0xff);		/* every processor */
	wbuf_le16(w, 0);
	wbuf_u8(w, 1);			/* LINT1 */
	end(b, at);
}

static void put_mcfg(struct build *b)
{
	struct wbuf *w = &b->out;
	size_t at = begin(b, "MCFG", 1);

	list(b, at);
	wbuf_zero(w, 8);
	wbuf_le64(w, b->layout->ecam);
	wbuf_le16(w, 0);
	wbuf_u8(w, 0);
	wbuf_u8(w, (uint8_t)((b->layout->ecam_size >> 20) - 1));
	wbuf_zero(w, 4);
	end(b, at);
}

/* Windows reads the timer once, not three times: three exits saved on each reading. */
static void put_waet(struct build *b)
{
	size_t at = begin(b, "WAET", 1);

	list(b, at);
	wbuf_le32(&b->out, WAET_PM_TIMER_GOOD);
	end(b, at);
}

static size_t put_root(struct build *b, const char *signature, uint8_t size)
{
	size_t at = begin(b, signature, 1);

	for (unsigned i = 0; i < b->tables; i++)
		pointer(b, size, b->table[i]);
	end(b, at);
	return at;
}

static void put_rsdp(struct build *b, struct acpi_tables *acpi, size_t rsdt, size_t xsdt)
{
	struct wbuf w = wbuf_of(acpi->rsdp, sizeof acpi->rsdp);

	wbuf_put(&w, "RSD PTR ", 8);
	wbuf_u8(&w, 0);
	wbuf_pad_str(&w, b->env->acpi.oem_id, 6, ' ');
	wbuf_u8(&w, xsdt ? 2 : 0);
	wbuf_le32(&w, (uint32_t)rsdt);
	loader_pointer(&b->script, ACPI_RSDP_FILE, ACPI_TABLES_FILE, 16, 4);
	if (xsdt) {
		wbuf_le32(&w, sizeof acpi->rsdp);
		wbuf_le64(&w, xsdt);
		wbuf_zero(&w, 4);
		loader_pointer(&b->script, ACPI_RSDP_FILE, ACPI_TABLES_FILE, 24, 8);
	}
	loader_checksum(&b->script, ACPI_RSDP_FILE, 8, 0, 20);
	if (xsdt)
		loader_checksum(&b->script, ACPI_RSDP_FILE, 32, 0, 36);
	acpi->rsdp_len = w.pos;
}

static void build(struct build *b, struct acpi_tables *acpi)
{
	size_t rsdt, xsdt = 0;

	loader_allocate(&b->script, ACPI_RSDP_FILE, 16, true);
	loader_allocate(&b->script, ACPI_TABLES_FILE, 64, false);
	put_facs(b);		/* first: it must be 64-aligned */
	put_dsdt(b);
	put_fadt(b);
	put_madt(b);
	if (b->layout->ecam)
		put_mcfg(b);
	put_waet(b);
	rsdt = put_root(b, "RSDT", 4);
	if (b->env->chipset == ENV_Q35)
		xsdt = put_root(b, "XSDT", 8);
	put_rsdp(b, acpi, rsdt, xsdt);
}

int acpi_build(struct acpi_tables *acpi, const struct env *env, const struct layout *layout, struct err *err)
{
	struct build b = { .env = env, .layout = layout };

	memset(acpi, 0, sizeof *acpi);
	acpi->tables = calloc(1, ACPI_TABLES_MAX);
	acpi->loader = calloc(1, ACPI_LOADER_MAX);
	if (!acpi->tables || !acpi->loader) {
		acpi_free(acpi);
		return err_set(err, -ENOMEM, "no memory for the ACPI tables");
	}
	b.out = wbuf_of(acpi->tables, ACPI_TABLES_MAX);
	b.script = wbuf_of(acpi->loader, ACPI_LOADER_MAX);
	build(&b, acpi);
	if (b.out.failed || b.script.failed) {
		acpi_free(acpi);
		return err_set(err, -ENOSPC, "the ACPI tables do not fit %u bytes: fewer PCI devices in the environment are needed",
			       ACPI_TABLES_MAX);
	}
	acpi->tables_len = b.out.pos;
	acpi->loader_len = b.script.pos;
	return 0;
}

void acpi_free(struct acpi_tables *acpi)
{
	free(acpi->tables);
	free(acpi->loader);
	memset(acpi, 0, sizeof *acpi);
}

int acpi_add_files(const struct acpi_tables *acpi, struct fwcfg *cfg)
{
	int err = fwcfg_add_file(cfg, ACPI_RSDP_FILE, acpi->rsdp, acpi->rsdp_len);

	if (!err)
		err = fwcfg_add_file(cfg, ACPI_TABLES_FILE, acpi->tables, ACPI_TABLES_MAX);
	if (!err)
		err = fwcfg_add_file(cfg, ACPI_LOADER_FILE, acpi->loader, ACPI_LOADER_MAX);
	return err;
}

int acpi_install(const struct acpi_tables *acpi, struct mem *mem, uint64_t start, uint64_t end, uint64_t *rsdp, struct err *err)
{
	struct loader_file files[] = {
		{ .name = ACPI_RSDP_FILE, .data = acpi->rsdp, .len = acpi->rsdp_len },
		{ .name = ACPI_TABLES_FILE, .data = acpi->tables, .len = acpi->tables_len },
	};
	int code = loader_run(acpi->loader, acpi->loader_len, files, 2, mem, start, end, err);

	if (!code)
		*rsdp = files[0].gpa;
	return code;
}
