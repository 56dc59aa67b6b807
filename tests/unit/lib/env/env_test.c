/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include "lib/bits.h"
#include "lib/env/env.h"
#include "lib/scope.h"
#include "tests/unit/suite.h"

#define GOLDEN "tests/golden/env/"
#define SAMPLE "tools/sample/dc-web01.dts"

static int load_source(const char *path, struct env **env, struct err *err)
{
	auto_free void *blob = NULL;
	size_t len;
	int rc = env_compile(path, &blob, &len, err);

	*env = NULL;
	return rc ? rc : env_parse(path, blob, len, env, err);
}

/* Run each over every .dts of a folder; returns how many there were. */
static unsigned for_each_source(const char *folder, void (*each)(const char *path))
{
	DIR *dir = opendir(folder);
	unsigned count = 0;

	for (struct dirent *e; dir && (e = readdir(dir));) {
		char path[512];

		if (!strstr(e->d_name, ".dts"))
			continue;
		snprintf(path, sizeof path, "%s%s", folder, e->d_name);
		each(path);
		count++;
	}
	if (dir)
		closedir(dir);
	return count;
}

static void accept(const char *path)
{
	struct env *env;
	struct err err = { .text = "" };

	check_eq(load_source(path, &env, &err), 0);
	check_str(err.text, "");
	env_free(env);
}

static void accepts_the_golden_environments(void)
{
	check(for_each_source(GOLDEN "accept/", accept) >= 4);
	accept(SAMPLE);
}

static void reject(const char *path)
{
	static const char start[] = "/* expect: ";
	char line[1024] = "", expected[1600];
	auto_fclose FILE *f = fopen(path, "re");
	bool read = f && fgets(line, sizeof line, f);
	struct err err = { .text = "" };
	struct env *env;
	char *end;

	check_or_return(read && !strncmp(line, start, sizeof start - 1));
	end = strstr(line, " */");
	check_or_return(end != NULL);
	*end = 0;
	snprintf(expected, sizeof expected, "%s: %s", path, line + sizeof start - 1);
	expected[sizeof err.text - 1] = 0;
	check_eq(load_source(path, &env, &err), -EINVAL);
	check(!env);
	check_str(err.text, expected);
	env_free(env);
}

static void rejects_the_golden_faults_with_their_message(void)
{
	check(for_each_source(GOLDEN "reject/", reject) >= 100);
}

static void check_sample_identity(const struct env *env)
{
	static const uint8_t uuid[16] = { 0x4c, 0x4c, 0x45, 0x44, 0, 0x37, 0x4a, 0x10, 0x80, 0x52, 0xb4, 0xc0, 0x4f, 0x4d,
		0x31, 0x32 };

	check_str(env->hostname, "dc-web01");
	check(!memcmp(env->uuid, uuid, 16));
	check_eq(env->firmware, ENV_BIOS);
	check_eq(env->clock, ENV_CLOCK_UTC);
	check_eq(env->memory, 1ull << 30);
	check(!env->smbios.v3);
	check_str(env->smbios.bios.version, "2.3.1");
	check_eq(env->smbios.bios.major, 2);
	check_eq(env->smbios.bios.minor, 3);
	check(!env->smbios.bios.uefi);
	check_eq(env->smbios.bios.rom_kib, 64);
	check_str(env->smbios.system.serial, "ES7KX2J3");
	check(env->smbios.board.present);
	check_str(env->smbios.board.location, "Main");
	check_eq(env->smbios.processor.max_mhz, 2900);
	check_eq(env->smbios.memory.dimm_bytes, 16ull << 30);
	check_eq(env->smbios.oem_string_count, 2);
	check_str(env->smbios.oem_strings[1], "unit=U12");
	check_str(env->acpi.oem_id, "BOCHS ");
	check_str(env->acpi.oem_table_id, "BXPC    ");
	check_str(env->acpi.creator_id, "BXPC");
	check(env->bmc.present);
	check_eq(env->bmc.ip[3], 20);
	check_eq(env->bmc.mac[5], 0x50);
	check_str(env->bmc.kind, "ipmi-2.0");
	check(env->com[0] && env->com[1] && env->keyboard && env->mouse && !env->hpet);
	check_eq(env->board_subvendor, 0x1af4);
	check_eq(env->board_subdevice, 0x1100);
}

static void check_sample_cpu(const struct env_cpu *cpu)
{
	check_str(cpu->vendor, "AuthenticAMD");
	check_str(cpu->model_name, "AMD EPYC Processor");
	check_eq(cpu->cores, 2);
	check_eq(cpu->words[ENV_CPUID_1_EDX], 0x178bfbfd);
	check_eq(cpu->words[ENV_CPUID_1_ECX], 0xc2d82203);
	check_eq(cpu->words[ENV_CPUID_7_0_EBX], 0x980189);
	check_eq(cpu->words[ENV_CPUID_80000001_EDX], 0x2dd3fbfd);
	check_eq(cpu->words[ENV_CPUID_80000001_ECX], 0x73);
	check_eq(cpu->words[ENV_CPUID_D_1_EAX], 0);
	check_eq(cpu->words[ENV_CPUID_6_EAX], 4);
	check_eq(cpu->max_ext_leaf, 0x8000001e);
	check(cpu->paravirt);
	check_eq(cpu->cache_count, 4);
	check_eq(cpu->caches[1].type, 'i');
	check_eq(cpu->caches[3].shared_by, 2);
}

static void check_sample_pci(const struct env *env)
{
	const struct env_pci *lan = &env->pci[0], *port = &env->pci[2], *nic = &env->pci[3], *sata = &env->pci[4];

	check_eq(env->pci_count, 6);
	check_eq(lan->kind, ENV_PCI_E1000);
	check_eq(lan->parent, -1);
	check_eq(lan->device, 5);
	check_eq(lan->vendor_id, 0x8086);
	check_eq(lan->device_id, 0x100e);
	check_eq(lan->revision, 3);
	check_eq(lan->subsystem_device, 0x1100);
	check_eq(lan->onboard_index, 1);
	check_str(lan->onboard_label, "Onboard LAN1");
	check_eq(lan->sun, -1);
	check_eq(port->kind, ENV_PCI_ROOT_PORT);
	check_eq(port->slot, 3);
	check(port->hotplug);
	check_eq(port->link_speed, 4);
	check_eq(port->link_width, 32);
	check_eq(port->subsystem_vendor, 0x1b36);
	check_eq(port->subsystem_device, 0);
	check_eq(nic->parent, 2);
	check_str(nic->path, "/pci/port@1c,0/nic@0,0");
	check_str(nic->segment, "backup");
	check_eq(nic->onboard_index, 0);
	check_str(nic->onboard_label, "");
	check_eq(sata->function, 2);
	check_eq(sata->disk_count, 2);
	check_eq(sata->disks[0].wwn, 0x5000cca25ec0ffee);
	check_eq(sata->disks[0].size, 4ull << 30);
	check_eq(sata->disks[0].physical, 4096);
	check_eq(sata->disks[0].rpm, 7200);
	check_eq(sata->disks[0].boot, 1);
	check(!sata->disks[0].trim);
	check_eq(sata->disks[1].medium, ENV_CD);
	check_str(sata->disks[1].model, "PLDS DVD-ROM DU-8D5LH");
	check_str(sata->disks[1].inquiry_vendor, "QEMU");
	check_str(sata->disks[1].inquiry_product, "QEMU DVD-ROM");
	check_eq(sata->disks[1].port, 1);
	check_eq(sata->disks[1].logical, 2048);
	check_eq(env->pci[5].revision, 2);
}

static void the_sample_has_the_values_of_the_server(void)
{
	struct err err = { .text = "" };
	struct env *env;

	check_eq(load_source(SAMPLE, &env, &err), 0);
	check_or_return(env != NULL);
	check_sample_identity(env);
	check_sample_cpu(&env->cpu);
	check_sample_pci(env);
	env_free(env);
}

static void the_minimal_environment_has_the_defaults(void)
{
	struct err err = { .text = "" };
	struct env *env;

	check_eq(load_source(GOLDEN "accept/minimal.dts", &env, &err), 0);
	check_or_return(env != NULL);
	check_eq(env->chipset, ENV_Q35);
	check_eq(env->cpu.phys_bits, 40);
	check_eq(env->cpu.max_leaf, 0xd);
	check_eq(env_cpu_count(env), 1);
	check(!env->smbios.board.present);
	check_str(env->smbios.system.product, "");
	check_str(env->smbios.board.serial, "");
	check_str(env->smbios.memory.locator_prefix, "DIMM");
	check_eq(env->smbios.chassis.type, 1);
	check_eq(env->acpi.creator_revision, 1);
	check_str(env->acpi.oem_table_id, "BXPC    ");
	check_str(env->bmc.kind, "");
	check(!env->bmc.present);
	check_eq(env->pci[1].ports, 6);
	check_eq(env->pci[1].disks[0].physical, 512);
	/* an Intel CPU does not repeat leaf 1 EDX in leaf 0x80000001 */
	check_eq(env->cpu.words[ENV_CPUID_80000001_EDX], 1u << 29 | 1u << 20);
	env_free(env);
}

static void given_ids_replace_those_of_the_kind(void)
{
	struct err err = { .text = "" };
	struct env *env;

	check_eq(load_source(GOLDEN "accept/virtio_uefi.dts", &env, &err), 0);
	check_or_return(env != NULL);
	const struct env_pci *rng = &env->pci[env->pci_count - 1];
	check_eq(rng->device_id, 0x1005);
	check_eq(rng->revision, 0);
	check_eq(rng->subsystem_device, 4);
	check(env->smbios.v3 && env->smbios.bios.uefi);
	check_eq(env_cpu_count(env), 64);
	env_free(env);
}

static void ports_disks_and_bridges_have_properties_of_their_own(void)
{
	struct err err = { .text = "" };
	struct env *env;

	check_eq(load_source(GOLDEN "accept/virtio_uefi.dts", &env, &err), 0);
	check_or_return(env != NULL);
	const struct env_pci *port = &env->pci[2], *other = &env->pci[4];
	check_eq(port->kind, ENV_PCI_ROOT_PORT);
	check_eq(port->link_speed, 5);
	check_str(env_link_speed_name(port->link_speed), "32");
	check_eq(port->link_width, 16);
	check(env->pci[3].disks[0].trim);
	check_eq(other->kind, ENV_PCI_ROOT_PORT);
	check_eq(other->link_speed, 1);
	check_str(env_link_speed_name(other->link_speed), "2.5");
	check_eq(other->link_width, 1);
	check_eq(env->pci[5].subsystem_vendor, 0x1af4);		/* a card has the board's */
	check_eq(env->pci[5].queues, 8);
	check_eq(env->pci[0].queues, 0);
	env_free(env);
	check_eq(load_source(GOLDEN "accept/i440fx.dts", &env, &err), 0);
	check_or_return(env != NULL);
	check_eq(env->pci[2].kind, ENV_PCI_BRIDGE);
	check_eq(env->pci[2].subsystem_vendor, 0x1b36);
	check_eq(env->pci[2].subsystem_device, 0);
	env_free(env);
}

static void a_drive_answers_inquiry_by_its_model_unless_told(void)
{
	static const struct { const char *vendor, *product; } expected[] = {
		{ "HL-DT-ST", "DVDRAM GUD1N WIT" }, { "QEMU", "QEMU DVD-ROM" }, { "PLDS", "DU-8D5LH" },
	};
	struct err err = { .text = "" };
	struct env *env;

	check_eq(load_source(GOLDEN "accept/i440fx.dts", &env, &err), 0);
	check_or_return(env != NULL);
	for (unsigned i = 0; i < 3; i++) {
		check_str(env->pci[1].disks[i + 1].inquiry_vendor, expected[i].vendor);
		check_str(env->pci[1].disks[i + 1].inquiry_product, expected[i].product);
	}
	env_free(env);
	check_eq(load_source(GOLDEN "accept/limits.dts", &env, &err), 0);
	check_or_return(env != NULL);
	check_str(env->pci[1].disks[1].inquiry_vendor, "12345678");
	check_str(env->pci[1].disks[1].inquiry_product, "1234567890123456");
	check_str(env->pci[1].disks[2].inquiry_vendor, "CD");
	check_str(env->pci[1].disks[2].inquiry_product, "");
	env_free(env);
}

static void *compile_sample(size_t *len)
{
	struct err err = { .text = "" };
	void *blob;

	check_eq(env_compile(SAMPLE, &blob, len, &err), 0);
	check_str(err.text, "");
	return blob;
}

static void no_damaged_byte_does_harm(void)
{
	static const uint8_t damages[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
	size_t len = 0;
	auto_free uint8_t *blob = compile_sample(&len);

	for (size_t i = 0; blob && i < len; i++)
		for (size_t d = 0; d < sizeof damages; d++) {
			uint8_t was = blob[i];
			struct env *env;
			struct err err = { .text = "" };

			blob[i] = (uint8_t)(was ^ damages[d]);
			if (env_parse("damaged", blob, len, &env, &err))
				check(!env && !strncmp(err.text, "damaged: ", 9));
			env_free(env);
			blob[i] = was;
		}
}

static void a_shortened_blob_is_refused(void)
{
	size_t len = 0;
	auto_free uint8_t *blob = compile_sample(&len);

	for (size_t n = 0; blob && n < len; n += n < 64 ? 1 : 61) {
		auto_free void *cut = malloc(n + 1);
		struct env *env;
		struct err err = { .text = "" };

		memcpy(cut, blob, n);
		check_eq(env_parse("short", cut, n, &env, &err), -EINVAL);
		check(!env && strstr(err.text, "short: is not a sound device tree blob: it"));
	}
}

/* Such a root has no '/' in its name: libfdt's own check would follow a null pointer. */
static void a_blob_of_an_old_version_is_refused(void)
{
	size_t len = 0;
	auto_free uint8_t *blob = compile_sample(&len);
	struct env *env;
	struct err err = { .text = "" };

	for (unsigned version = 1; blob && version < 17; version++) {
		fdt_set_version(blob, version);
		fdt_set_last_comp_version(blob, version);
		check_eq(env_parse("old", blob, len, &env, &err), -EINVAL);
		check_str(err.text,
			"old: is not a sound device tree blob: its version is not 17; `hull env compile` makes one of a .dts");
	}
}

static void check_unsound(const void *blob, size_t len, const char *wrong)
{
	char message[256];
	struct env *env;
	struct err err = { .text = "" };

	snprintf(message, sizeof message, "odd: is not a sound device tree blob: %s; `hull env compile` makes one of a .dts",
		wrong);
	check_eq(env_parse("odd", blob, len, &env, &err), -EINVAL);
	check_str(err.text, message);
	env_free(env);
}

/* The first words of the tags of the sample: begin node, its name, property, length, name, value. */
static void a_damaged_structure_is_named(void)
{
	static const struct { unsigned word; uint32_t value; const char *wrong; } faults[] = {
		{ 0, FDT_END_NODE, "it has more ends of nodes than nodes" },
		{ 0, FDT_PROP, "a property stands outside of a node or after a node's children" },
		{ 0, FDT_END, "it ends inside of a node" },
		{ 0, 7, "it holds an unknown tag" },
		{ 1, 0x61000000, "it has no single nameless root" },
		{ 1, 0x61616161, "it has no single nameless root" },
		{ 2, FDT_END, "it ends inside of a node" },
		/* libfdt adds these to an int and goes back to an earlier tag, for ever */
		{ 3, 0xfffffff0, "a property is longer than the blob" }, { 3, 0xffffffec, "a property is longer than the blob" },
		{ 3, 0x7fffffff, "a property is longer than the blob" },
		{ 4, 0x7fffffff, "a property's name is too long or outside of the blob" },
	};
	size_t len = 0;
	auto_free uint8_t *blob = compile_sample(&len);
	uint8_t *tags = blob ? blob + fdt_off_dt_struct(blob) : NULL;

	for (size_t i = 0; blob && i < array_len(faults); i++) {
		uint32_t was;

		memcpy(&was, tags + 4 * faults[i].word, 4);
		put_be32(tags + 4 * faults[i].word, faults[i].value);
		check_unsound(blob, len, faults[i].wrong);
		memcpy(tags + 4 * faults[i].word, &was, 4);
	}
}

static void a_damaged_header_is_named(void)
{
	static const struct { unsigned word; uint32_t value; const char *wrong; } faults[] = {
		{ 0, 0, "it does not start like one" }, { 1, 0xffffffff, "its end is missing" },
		{ 1, 8, "its parts lie outside of it" },
		{ 2, 0xfffffffc, "its parts lie outside of it" }, { 2, 41, "its parts lie outside of it" },
		{ 2, 0, "its parts lie outside of it" }, { 3, 0xffffffff, "its parts lie outside of it" },
		{ 4, 0xfffffff8, "its parts lie outside of it" }, { 6, 18, "its version is not 17" },
		{ 8, 0xffffffff, "its parts lie outside of it" }, { 9, 0xffffffff, "its parts lie outside of it" },
		{ 9, 8, "it has no end" },
	};
	size_t len = 0;
	auto_free uint8_t *blob = compile_sample(&len);

	for (size_t i = 0; blob && i < array_len(faults); i++) {
		uint32_t was;

		memcpy(&was, blob + 4 * faults[i].word, 4);
		put_be32(blob + 4 * faults[i].word, faults[i].value);
		check_unsound(blob, len, faults[i].wrong);
		memcpy(blob + 4 * faults[i].word, &was, 4);
	}
}

static void a_long_blob_is_refused(void)
{
	size_t len = 300 << 10;
	auto_free void *blob = calloc(1, len);
	struct env *env;
	struct err err;

	check_eq(env_parse("long", blob, len, &env, &err), -EFBIG);
	check_str(err.text, "long: has more than 256 KiB, no environment is that long");
}

/* A tree that dtc would not write, from a few properties of the root and one node. */
static void check_made(void (*make)(void *fdt), const char *message)
{
	static char fdt[4096];
	struct env *env;
	struct err err = { .text = "" };

	memset(fdt, 0, sizeof fdt);
	check_eq(fdt_create(fdt, sizeof fdt), 0);
	make(fdt);
	check_eq(fdt_end_node(fdt), 0);
	check_eq(fdt_finish(fdt), 0);
	check_eq(env_parse("made", fdt, fdt_totalsize(fdt), &env, &err), -EINVAL);
	check_str(err.text, message);
	env_free(env);
}

static void begin(void *fdt)
{
	check_eq(fdt_finish_reservemap(fdt), 0);
	check_eq(fdt_begin_node(fdt, ""), 0);
	check_eq(fdt_property_string(fdt, "compatible", "hull,environment-1"), 0);
}

static void begin_root(void *fdt)
{
	begin(fdt);
	check_eq(fdt_property_string(fdt, "hostname", "x"), 0);
	check_eq(fdt_property_string(fdt, "uuid", "4c4c4544-0037-4a10-8052-b4c04f4d3132"), 0);
}

static void make_reserved(void *fdt)
{
	check_eq(fdt_add_reservemap_entry(fdt, 0x1000, 0x1000), 0);
	begin(fdt);
}
static void make_repeated_property(void *fdt) { begin_root(fdt); check_eq(fdt_property_string(fdt, "hostname", "y"), 0); }
static void make_unterminated(void *fdt) { begin(fdt); check_eq(fdt_property(fdt, "hostname", "x", 1), 0); }
static void make_empty_string(void *fdt) { begin(fdt); check_eq(fdt_property(fdt, "hostname", "", 0), 0); }
static void make_odd_name(void *fdt) { begin(fdt); check_eq(fdt_property_string(fdt, "\033[2J\"", "y"), 0); }
static void make_repeated_node(void *fdt)
{
	begin_root(fdt);
	for (int i = 0; i < 2; i++) {
		check_eq(fdt_begin_node(fdt, "acpi"), 0);
		check_eq(fdt_end_node(fdt), 0);
	}
}
static void make_late_property(void *fdt)
{
	begin_root(fdt);
	check_eq(fdt_begin_node(fdt, "acpi"), 0);
	check_eq(fdt_end_node(fdt), 0);
	check_eq(fdt_property_string(fdt, "clock", "utc"), 0);
}
static void make_deep(void *fdt)
{
	begin_root(fdt);
	for (int i = 0; i < 17; i++)
		check_eq(fdt_begin_node(fdt, "x"), 0);
	for (int i = 0; i < 17; i++)
		check_eq(fdt_end_node(fdt), 0);
}
static void make_long_name(void *fdt)
{
	char name[70] = "";

	begin_root(fdt);
	memset(name, 'x', sizeof name - 1);
	check_eq(fdt_begin_node(fdt, name), 0);
	check_eq(fdt_end_node(fdt), 0);
}
static void make_odd_function(void *fdt)
{
	begin_root(fdt);
	check_eq(fdt_begin_node(fdt, "pci"), 0);
	check_eq(fdt_begin_node(fdt, "\033@5,0"), 0);
	check_eq(fdt_end_node(fdt), 0);
	check_eq(fdt_end_node(fdt), 0);
}

static void trees_that_no_compiler_writes_are_refused(void)
{
	check_made(make_reserved, "made: is not a sound device tree blob: it holds memory reservations, an "
		"environment has none; `hull env compile` makes one of a .dts");
	check_made(make_repeated_property, "made: /: hostname: stands twice");
	check_made(make_repeated_node, "made: /acpi: this node stands twice");
	check_made(make_late_property,
		"made: is not a sound device tree blob: a property stands outside of a node or after a node's "
		"children; `hull env compile` makes one of a .dts");
	check_made(make_deep,
		"made: is not a sound device tree blob: nodes are nested too deeply; `hull env compile` makes one of a .dts");
	check_made(make_long_name,
		"made: is not a sound device tree blob: a node's name is too long or has no end; `hull env compile` "
		"makes one of a .dts");
	check_made(make_unterminated, "made: /: hostname: must be one string, \"…\"");
	check_made(make_empty_string, "made: /: hostname: must be one string, \"…\"");
	check_made(make_odd_name,
		"made: /: unknown property \"?[2J?\"; allowed here: compatible, hostname, uuid, firmware, clock");
	check_made(make_odd_function,
		"made: /pci/?@5,0: \"?@5,0\" must be NAME@DEVICE,FUNCTION: a name of 1 to 31 small letters, "
		"digits and '-', a device of 0 to 1f, a function of 0 to 7, both hexadecimal");
}

static void loads_a_blob_from_a_file(void)
{
	size_t len = 0;
	auto_free void *blob = compile_sample(&len);
	const char *path = suite_tmp("sample.dtb");
	auto_fclose FILE *f = fopen(path, "we");
	struct err err = { .text = "" };
	struct env *env;

	check(blob && f && fwrite(blob, 1, len, f) == len && !fflush(f));
	check_eq(env_load(path, &env, &err), 0);
	check_str(env ? env->hostname : "", "dc-web01");
	env_free(env);
}

static void a_file_that_cannot_be_read_is_an_error(void)
{
	struct err err = { .text = "" };
	struct env *env;

	check_eq(env_load("/nonexistent/x.dtb", &env, &err), -ENOENT);
	check_str(err.text, "/nonexistent/x.dtb: No such file or directory");
	check(!env);
	check_eq(env_load("/dev/zero", &env, &err), -EINVAL);
	check_str(err.text, "/dev/zero: is not a regular file");
	env_free(NULL);
}

static void a_source_with_a_syntax_error_gives_the_compilers_message(void)
{
	const char *path = suite_tmp("broken.dts");
	auto_fclose FILE *f = fopen(path, "we");
	struct err err = { .text = "" };
	void *blob;
	size_t len;

	check(f && fputs("/dts-v1/;\n/ { foo = ; };\n", f) >= 0 && !fflush(f));
	check_eq(env_compile(path, &blob, &len, &err), -EINVAL);
	check(!blob);
	check(strstr(err.text, ": dtc: Error: ") && strstr(err.text, "broken.dts:2.") && strstr(err.text, "syntax error; FATAL"));
	check_eq(env_compile(suite_tmp("absent.dts"), &blob, &len, &err), -ENOENT);
}

static void a_source_whose_name_looks_like_an_option_is_a_file(void)
{
	struct err err = { .text = "" };
	void *blob;
	size_t len;

	check_eq(env_compile("--version", &blob, &len, &err), -ENOENT);
}

static const struct test tests[] = {
	{ "accepts the golden environments", accepts_the_golden_environments },
	{ "rejects the golden faults with their message", rejects_the_golden_faults_with_their_message },
	{ "the sample has the values of the server", the_sample_has_the_values_of_the_server },
	{ "the minimal environment has the defaults", the_minimal_environment_has_the_defaults },
	{ "given ids replace those of the kind", given_ids_replace_those_of_the_kind },
	{ "ports, disks and bridges have properties of their own", ports_disks_and_bridges_have_properties_of_their_own },
	{ "a drive answers INQUIRY by its model unless told", a_drive_answers_inquiry_by_its_model_unless_told },
	{ "no damaged byte does harm", no_damaged_byte_does_harm },
	{ "a shortened blob is refused", a_shortened_blob_is_refused },
	{ "a blob of an old version is refused", a_blob_of_an_old_version_is_refused },
	{ "a damaged structure is named", a_damaged_structure_is_named },
	{ "a damaged header is named", a_damaged_header_is_named },
	{ "a long blob is refused", a_long_blob_is_refused },
	{ "trees that no compiler writes are refused", trees_that_no_compiler_writes_are_refused },
	{ "loads a blob from a file", loads_a_blob_from_a_file },
	{ "a file that cannot be read is an error", a_file_that_cannot_be_read_is_an_error },
	{ "a source with a syntax error gives the compiler's message", a_source_with_a_syntax_error_gives_the_compilers_message },
	{ "a source whose name looks like an option is a file", a_source_whose_name_looks_like_an_option_is_a_file },
	{ NULL, NULL },
};
const struct suite suite_lib_env_env = { tests };
