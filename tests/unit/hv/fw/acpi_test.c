/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "hv/fw/acpi.h"
#include "hv/fw/intx.h"
#include "lib/bits.h"
#include "lib/scope.h"
#include "tests/unit/hv/fw/sample.h"
#include "tests/unit/suite.h"

#define AREA 0xe0000u
#define AREA_LEN 0x20000u
#define MAX_FOUND 12

/* Tables as a kernel finds them: installed, walked from the RSDP. */
struct fixture {
	struct env env;
	struct layout layout;
	struct acpi_tables acpi;
	struct mem mem;
	uint8_t ram[AREA_LEN];
	uint64_t rsdp;
	const uint8_t *found[MAX_FOUND];
	unsigned count;
};

static uint8_t sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n--)
		s = (uint8_t)(s + *p++);
	return s;
}

static const uint8_t *at(const struct fixture *f, uint64_t gpa)
{
	const uint8_t *p = mem_at_const(&f->mem, gpa, 8);
	uint32_t len = p ? get_le32(p + 4) : 0;

	if (!p || !mem_at_const(&f->mem, gpa, len)) {
		suite_note("no table at 0x%llx", (unsigned long long)gpa);
		return NULL;
	}
	return p;
}

static void note_table(struct fixture *f, uint64_t gpa)
{
	const uint8_t *p = at(f, gpa);

	check_or_return(p && f->count < MAX_FOUND);
	if (memcmp(p, "FACS", 4)) {
		check_eq(sum(p, get_le32(p + 4)), 0);
		check(!memcmp(p + 10, "EXSYS ES-R240 ", 14));
		check(!memcmp(p + 28, "AMI ", 4));
	} else {
		check_eq(gpa & 63, 0);
	}
	f->found[f->count++] = p;
}

static const uint8_t *find(const struct fixture *f, const char *signature)
{
	for (unsigned i = 0; i < f->count; i++)
		if (!memcmp(f->found[i], signature, 4))
			return f->found[i];
	return NULL;
}

static void walk(struct fixture *f)
{
	const uint8_t *rsdp = mem_at_const(&f->mem, f->rsdp, 36), *root, *fadt;

	check_or_return(rsdp && !memcmp(rsdp, "RSD PTR ", 8));
	check_eq(f->rsdp & 15, 0);
	check_eq(sum(rsdp, 20), 0);
	root = at(f, get_le32(rsdp + 16));
	check_or_return(root && !memcmp(root, "RSDT", 4));
	check_eq(sum(root, get_le32(root + 4)), 0);
	for (unsigned i = 36; i + 4 <= get_le32(root + 4); i += 4)
		note_table(f, get_le32(root + i));
	fadt = find(f, "FACP");
	check_or_return(fadt != NULL);
	note_table(f, get_le32(fadt + 36));
	note_table(f, get_le32(fadt + 40));
}

static void setup(struct fixture *f, enum env_chipset chipset)
{
	struct err err = { 0 };
	int code;

	memset(f, 0, sizeof *f);
	sample_env(&f->env);
	f->env.chipset = chipset;
	layout_init(&f->layout, &f->env);
	check_eq(mem_add(&f->mem, AREA, AREA_LEN, f->ram, false), 0);
	code = acpi_build(&f->acpi, &f->env, &f->layout, &err);
	check_or_return(code == 0);
	check_eq(acpi_install(&f->acpi, &f->mem, AREA, AREA + AREA_LEN, &f->rsdp, &err), 0);
	walk(f);
}

static void q35_has_all_tables_linked_and_summed(void)
{
	static struct fixture f;
	const uint8_t *rsdp, *xsdt;

	setup(&f, ENV_Q35);
	check_eq(f.count, 6);
	check(find(&f, "APIC") && find(&f, "MCFG") && find(&f, "WAET") && find(&f, "FACS") && find(&f, "DSDT"));
	rsdp = mem_at_const(&f.mem, f.rsdp, 36);
	check_eq(rsdp[15], 2);
	check_eq(sum(rsdp, 36), 0);
	xsdt = at(&f, get_le64(rsdp + 24));
	check_or_return(xsdt != NULL);
	check(!memcmp(xsdt, "XSDT", 4));
	check_eq(sum(xsdt, get_le32(xsdt + 4)), 0);
	check_eq(get_le32(xsdt + 4), 36 + 4 * 8);
	check(at(&f, get_le64(xsdt + 36)) == find(&f, "FACP"));
	acpi_free(&f.acpi);
}

static void i440fx_keeps_to_acpi_1(void)
{
	static struct fixture f;
	const uint8_t *fadt;

	setup(&f, ENV_I440FX);
	check_eq(f.count, 5);
	check(!find(&f, "MCFG"));
	check_eq(((const uint8_t *)mem_at_const(&f.mem, f.rsdp, 20))[15], 0);
	fadt = find(&f, "FACP");
	check_or_return(fadt != NULL);
	check_eq(fadt[8], 1);
	check_eq(get_le32(fadt + 4), 116);
	check_eq(get_le32(fadt + 0x50), 0xafe0);
	check_eq(fadt[0x5c], 4);
	check_eq(get_le32(fadt + 0x70), 0x80a5);
	acpi_free(&f.acpi);
}

static void fadt_names_the_power_management_ports(void)
{
	static struct fixture f;
	const uint8_t *p;

	setup(&f, ENV_Q35);
	p = find(&f, "FACP");
	check_or_return(p != NULL);
	check_eq(p[8], 3);
	check_eq(get_le32(p + 4), 244);
	check_eq(get_le16(p + 0x2e), 9);
	check_eq(get_le32(p + 0x30), 0);	/* SMI_CMD: always ACPI mode */
	check_eq(get_le32(p + 0x38), 0x600);
	check_eq(get_le32(p + 0x40), 0x604);
	check_eq(get_le32(p + 0x4c), 0x608);
	check_eq(get_le32(p + 0x50), 0x620);
	check_eq(p[0x6c], 0x32);
	check_eq(get_le16(p + 0x6d), 2);	/* 8042 */
	check_eq(get_le32(p + 0x70), 0x84a5);
	check_eq(get_le64(p + 0x78), 0xcf9);
	check_eq(p[0x80], 0x0f);
	check_eq(get_le64(p + 0x98), 0x600);
	check_eq(get_le64(p + 0xd4), 0x608);
	check(at(&f, get_le64(p + 0x8c)) == find(&f, "DSDT"));
	acpi_free(&f.acpi);
}

static void madt_numbers_cpus_with_gaps(void)
{
	static const uint8_t ids[12] = { 0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13 };	/* 3 cores of 2 threads take 3 bits */
	struct acpi_tables t;
	struct layout l;
	struct env env;
	struct err err;
	uint8_t *p;
	int code;

	sample_env(&env);
	env.cpu.sockets = 2;
	env.cpu.cores = 3;
	env.cpu.threads = 2;
	layout_init(&l, &env);
	code = acpi_build(&t, &env, &l, &err);
	check_or_return(code == 0);
	p = memmem(t.tables, t.tables_len, "APIC", 4);
	check_or_return(p != NULL);
	check_eq(get_le32(p + 36), 0xfee00000);
	for (unsigned i = 0; i < 12; i++) {
		check_eq(p[44 + 8 * i + 2], i);
		check_eq(p[44 + 8 * i + 3], ids[i]);
	}
	p += 44 + 8 * 12;
	check_eq(p[0], 1);
	check_eq(get_le32(p + 4), 0xfec00000);
	check_eq(get_le32(p + 12 + 4), 2);	/* IRQ 0 */
	check_eq(p[22 + 3], 5);
	check_eq(get_le16(p + 22 + 8), 0x0d);
	acpi_free(&t);
}

/* Run a program of acpica-tools; its exit status, or -1 when it is not installed. */
static int tool(const char *fmt, const char *dir, const char *log)
{
	char cmd[1200];
	int n = snprintf(cmd, sizeof cmd, fmt, dir);

	snprintf(cmd + n, sizeof cmd - (size_t)n, " >%s 2>&1", log);
	n = system(cmd);
	return WIFEXITED(n) && WEXITSTATUS(n) != 127 ? WEXITSTATUS(n) : -1;
}

static bool contains(const char *path, const char *text)
{
	static char buf[400000];
	auto_fclose FILE *f = fopen(path, "r");
	size_t n = f ? fread(buf, 1, sizeof buf - 1, f) : 0;

	buf[n] = 0;
	return strstr(buf, text) != NULL;
}

static void write_tables(const struct fixture *f, const char *dir)
{
	for (unsigned i = 0; i < f->count; i++) {
		char path[600];
		FILE *out;

		snprintf(path, sizeof path, "%s/%.4s.dat", dir, f->found[i]);
		out = fopen(path, "wb");
		check_or_return(out != NULL);
		fwrite(f->found[i], 1, get_le32(f->found[i] + 4), out);
		fclose(out);
	}
}

static void check_with_iasl(enum env_chipset chipset, const char *name)
{
	static struct fixture f;
	char dir[512], log[520];

	snprintf(dir, sizeof dir, "%s", suite_tmp(name));
	snprintf(log, sizeof log, "%s", suite_tmp("iasl.log"));
	check_eq(mkdir(dir, 0700), 0);
	setup(&f, chipset);
	write_tables(&f, dir);
	acpi_free(&f.acpi);
	if (tool("cd %s && iasl -v", dir, log) != 0) {
		suite_note("skipped: iasl (package acpica-tools) is not installed");
		return;
	}
	check_eq(tool("cd %s && iasl -d *.dat", dir, log), 0);
	check(!contains(log, "rror"));
	check(!contains(log, "checksum"));
	check_eq(tool("cd %s && iasl -tc DSDT.dsl", dir, log), 0);
	check(contains(log, "Compilation successful. 0 Errors"));
	snprintf(dir + strlen(dir), 20, "/DSDT.dsl");
	check(contains(dir, "Device (PCI0)"));
	check(contains(dir, "_SUN, 0xC0"));
	check_eq(contains(dir, "_OSC"), chipset == ENV_Q35);
	check_eq(contains(dir, "COM2"), 0);
}

static void iasl_takes_the_q35_tables_apart_and_together_again(void)
{
	check_with_iasl(ENV_Q35, "q35");
}

static void iasl_takes_the_i440fx_tables_apart_and_together_again(void)
{
	check_with_iasl(ENV_I440FX, "i440fx");
}

static void intx_routes_as_the_original_chipsets_do(void)
{
	check_eq(intx_gsi(ENV_Q35, 0, 0), 20);
	check_eq(intx_gsi(ENV_Q35, 5, 0), 21);
	check_eq(intx_gsi(ENV_Q35, 24, 3), 23);
	check_eq(intx_gsi(ENV_Q35, 25, 0), 16);
	check_eq(intx_gsi(ENV_Q35, 30, 1), 21);
	check_eq(intx_gsi(ENV_Q35, 31, 3), 19);
	check_eq(intx_pirq(ENV_I440FX, 1, 0), 0);
	check_eq(intx_pirq(ENV_I440FX, 3, 0), 2);
	check_eq(intx_pirq(ENV_I440FX, 0, 0), 3);
	check_eq(intx_gsi(ENV_I440FX, 3, 0), INTX_ROUTED);
	check_eq(intx_register(3), 0x63);
	check_eq(intx_register(4), 0x68);
	check_eq(intx_register(7), 0x6b);
}

static void tables_stay_clear_of_the_area_they_do_not_fit(void)
{
	static struct fixture f;
	struct err err = { 0 };
	uint64_t rsdp;

	setup(&f, ENV_Q35);
	check_eq(acpi_install(&f.acpi, &f.mem, AREA, AREA + 0x1000, &rsdp, &err), -ENOSPC);
	check(strstr(err.text, "etc/acpi/tables") != NULL);
	check_eq(acpi_install(&f.acpi, &f.mem, 0x10000, 0x20000, &rsdp, &err), -EFAULT);
	acpi_free(&f.acpi);
}

static void files_have_their_full_sizes(void)
{
	static struct fixture f;
	struct fwcfg cfg;

	setup(&f, ENV_Q35);
	check_eq(fwcfg_init(&cfg, &f.mem), 0);
	check_eq(acpi_add_files(&f.acpi, &cfg), 0);
	check_eq(fwcfg_file(&cfg, "etc/acpi/rsdp")->len, 36);
	check_eq(fwcfg_file(&cfg, "etc/acpi/tables")->len, 0x20000);
	check_eq(fwcfg_file(&cfg, "etc/table-loader")->len, 0x1000);
	fwcfg_free(&cfg);
	acpi_free(&f.acpi);
}

static const struct test tests[] = {
	{ "q35 has all tables, linked and summed", q35_has_all_tables_linked_and_summed },
	{ "i440fx keeps to ACPI 1", i440fx_keeps_to_acpi_1 },
	{ "FADT names the power management ports", fadt_names_the_power_management_ports },
	{ "MADT numbers CPUs with gaps", madt_numbers_cpus_with_gaps },
	{ "iasl takes the q35 tables apart and together again", iasl_takes_the_q35_tables_apart_and_together_again },
	{ "iasl takes the i440fx tables apart and together again", iasl_takes_the_i440fx_tables_apart_and_together_again },
	{ "INTx routes as the original chipsets do", intx_routes_as_the_original_chipsets_do },
	{ "tables stay clear of an area they do not fit", tables_stay_clear_of_the_area_they_do_not_fit },
	{ "files have their full sizes", files_have_their_full_sizes },
	{ NULL, NULL },
};
const struct suite suite_hv_fw_acpi = { tests };
