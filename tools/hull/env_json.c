/* SPDX-License-Identifier: Apache-2.0 */
/* An environment as JSON: the schema's nodes and names, every default filled in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/bits.h"
#include "tools/hull/hull.h"

/* Objects under construction: the first failed allocation sticks, and env_to_json then gives NULL. */
struct out { json_t *o; bool *failed; };	/* o NULL: everything put there fails, harmlessly */

static void put(struct out to, const char *key, json_t *v)
{
	if (json_object_set_new(to.o, key, v))
		*to.failed = true;
}

static struct out put_object(struct out to, const char *key)
{
	struct out sub = { json_object(), to.failed };

	if (json_object_set_new(to.o, key, sub.o)) {	/* which freed it */
		*to.failed = true;
		sub.o = NULL;
	}
	return sub;
}

static void put_text(struct out to, const char *key, const char *s) { put(to, key, json_string(s)); }
static void put_number(struct out to, const char *key, uint64_t v) { put(to, key, json_integer((json_int_t)v)); }
static void put_flag(struct out to, const char *key, bool v) { put(to, key, json_boolean(v)); }

static void put_format(struct out to, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void put_format(struct out to, const char *key, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put(to, key, json_vsprintf(fmt, ap));
	va_end(ap);
}

/* jansson's own format language has no hexadecimal, so numbers become text here. */
static void put_hex(struct out to, const char *key, uint64_t v, int digits)
{
	char s[24];

	snprintf(s, sizeof s, "0x%0*llx", digits, (unsigned long long)v);
	put_text(to, key, s);
}

static void put_ids(struct out to, const char *key, unsigned vendor, unsigned device)
{
	char s[16];

	snprintf(s, sizeof s, "%04x:%04x", vendor, device);
	put_text(to, key, s);
}

static void put_mac(struct out to, const char *key, const uint8_t m[6])
{
	char s[18];

	snprintf(s, sizeof s, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
	put_text(to, key, s);
}

static void put_smbios(struct out to, const struct env_smbios *m)
{
	struct out o;
	json_t *list = json_array();

	put_text(to, "entry-point", m->v3 ? "3.0" : "2.8");
	for (unsigned i = 0; i < m->oem_string_count; i++)
		if (json_array_append_new(list, json_string(m->oem_strings[i])))
			*to.failed = true;
	put(to, "oem-strings", list);
	o = put_object(to, "bios");
	put_text(o, "vendor", m->bios.vendor);
	put_text(o, "version", m->bios.version);
	put_text(o, "release-date", m->bios.release_date);
	put_format(o, "release", "%d.%d", m->bios.major, m->bios.minor);
	put_flag(o, "uefi", m->bios.uefi);
	put_number(o, "rom-kib", m->bios.rom_kib);
	o = put_object(to, "system");
	put_text(o, "manufacturer", m->system.manufacturer);
	put_text(o, "product", m->system.product);
	put_text(o, "version", m->system.version);
	put_text(o, "serial", m->system.serial);
	put_text(o, "sku", m->system.sku);
	put_text(o, "family", m->system.family);
	if (m->board.present) {
		o = put_object(to, "board");
		put_text(o, "manufacturer", m->board.manufacturer);
		put_text(o, "product", m->board.product);
		put_text(o, "version", m->board.version);
		put_text(o, "serial", m->board.serial);
		put_text(o, "asset-tag", m->board.asset_tag);
		put_text(o, "location", m->board.location);
	}
	o = put_object(to, "chassis");
	put_text(o, "manufacturer", m->chassis.manufacturer);
	put_text(o, "version", m->chassis.version);
	put_text(o, "serial", m->chassis.serial);
	put_text(o, "asset-tag", m->chassis.asset_tag);
	put_text(o, "sku", m->chassis.sku);
	put_number(o, "type", m->chassis.type);
}

static void put_smbios_parts(struct out to, const struct env_smbios *m)
{
	struct out o = put_object(to, "processor");

	put_text(o, "socket-prefix", m->processor.socket_prefix);
	put_text(o, "manufacturer", m->processor.manufacturer);
	put_text(o, "version", m->processor.version);
	put_text(o, "serial", m->processor.serial);
	put_text(o, "asset-tag", m->processor.asset_tag);
	put_text(o, "part", m->processor.part);
	put_number(o, "max-mhz", m->processor.max_mhz);
	put_number(o, "current-mhz", m->processor.current_mhz);
	put_number(o, "family", m->processor.family);
	put_number(o, "upgrade", m->processor.upgrade);
	o = put_object(to, "memory");
	put_text(o, "locator-prefix", m->memory.locator_prefix);
	put_text(o, "bank", m->memory.bank);
	put_text(o, "manufacturer", m->memory.manufacturer);
	put_text(o, "serial", m->memory.serial);
	put_text(o, "asset-tag", m->memory.asset_tag);
	put_text(o, "part", m->memory.part);
	put_number(o, "speed-mts", m->memory.speed_mts);
	put_number(o, "type", m->memory.type);
	put_number(o, "form-factor", m->memory.form_factor);
	put_number(o, "dimm-size", m->memory.dimm_bytes);
}

static void put_cpu(struct out to, const struct env_cpu *cpu)
{
	struct out o;
	char key[16];

	put_number(to, "sockets", cpu->sockets);
	put_number(to, "cores", cpu->cores);
	put_number(to, "threads", cpu->threads);
	put_text(to, "vendor", cpu->vendor);
	put_text(to, "model-name", cpu->model_name);
	put_number(to, "family", cpu->family);
	put_number(to, "model", cpu->model);
	put_number(to, "stepping", cpu->stepping);
	put_number(to, "phys-bits", cpu->phys_bits);
	put_hex(to, "max-leaf", cpu->max_leaf, 0);
	put_hex(to, "max-ext-leaf", cpu->max_ext_leaf, 0);
	o = put_object(to, "features");	/* keyed by name, so that a difference names the feature */
	for (unsigned w = 0; w < ENV_CPUID_WORDS; w++)
		for (unsigned b = 0; b < 32; b++)
			if (cpu->words[w] & BIT(b) && env_cpuid_name(w, b))
				put_flag(o, env_cpuid_name(w, b), true);
	put_flag(to, "paravirt", cpu->paravirt);
	for (const struct env_cache *c = cpu->caches; c < cpu->caches + cpu->cache_count; c++) {
		snprintf(key, sizeof key, "cache@%x", (unsigned)(c - cpu->caches));
		o = put_object(to, key);
		put_number(o, "level", c->level);
		put_text(o, "type", c->type == 'd' ? "data" : c->type == 'i' ? "instruction" : "unified");
		put_number(o, "size-kib", c->kib);
		put_number(o, "ways", c->ways);
		put_number(o, "line", c->line);
		put_number(o, "shared-by", c->shared_by);
	}
}

static void put_disk(struct out to, const struct env_pci *pci, const struct env_disk *d)
{
	bool ata = pci->kind == ENV_PCI_AHCI;
	char key[16];
	struct out o;

	snprintf(key, sizeof key, "%s@%x", d->medium == ENV_CD ? "cd" : "disk", d->port);
	o = put_object(to, key);
	put_text(o, "label", d->name);
	put_text(o, "serial", d->serial);
	if (ata) {
		put_text(o, "model", d->model);
		put_text(o, "firmware", d->firmware);
	}
	if (d->medium == ENV_DISK) {
		if (ata && d->wwn)
			put_hex(o, "wwn", d->wwn, 16);
		put_number(o, "size", d->size);
		put_number(o, "logical-sector", d->logical);
		put_number(o, "physical-sector", d->physical);
		if (ata)
			put_number(o, "rotation", d->rpm);
		put_flag(o, "trim", d->trim);
	} else {
		put_text(o, "inquiry-vendor", d->inquiry_vendor);
		put_text(o, "inquiry-product", d->inquiry_product);
	}
	if (d->boot)
		put_number(o, "boot", d->boot);
}

static void put_functions(struct out to, const struct env *env, int parent);

static void put_function(struct out to, const struct env *env, const struct env_pci *pci)
{
	char key[8];
	struct out o;

	snprintf(key, sizeof key, "%x,%x", pci->device, pci->function);
	o = put_object(to, key);
	put_text(o, "compatible", env_pci_kind_name(pci->kind));
	if (pci->name[0])
		put_text(o, "label", pci->name);
	put_ids(o, "id", pci->vendor_id, pci->device_id);
	put_number(o, "revision", pci->revision);
	put_ids(o, "subsystem", pci->subsystem_vendor, pci->subsystem_device);
	if (pci->sun >= 0)
		put_number(o, "sun", (uint64_t)pci->sun);
	if (pci->kind == ENV_PCI_ROOT_PORT) {
		put_number(o, "slot", pci->slot);
		put_flag(o, "hotplug", pci->hotplug);
		put_text(o, "link-speed", env_link_speed_name(pci->link_speed));
		put_number(o, "link-width", pci->link_width);
	}
	if (pci->kind == ENV_PCI_ROOT_PORT || pci->kind == ENV_PCI_BRIDGE)
		put_number(o, "chassis", pci->chassis);
	if (pci->kind == ENV_PCI_E1000 || pci->kind == ENV_PCI_VIRTIO_NET) {
		put_mac(o, "mac", pci->mac);
		put_text(o, "segment", pci->segment);
		if (pci->onboard_index) {
			put_number(o, "onboard-index", pci->onboard_index);
			put_text(o, "onboard-label", pci->onboard_label);
		}
		if (pci->kind == ENV_PCI_VIRTIO_NET)
			put_number(o, "queues", pci->queues);
	}
	if (pci->kind == ENV_PCI_AHCI)
		put_number(o, "ports", pci->ports);
	for (unsigned i = 0; i < pci->disk_count; i++)
		put_disk(o, pci, &pci->disks[i]);
	put_functions(o, env, (int)(pci - env->pci));
}

static void put_functions(struct out to, const struct env *env, int parent)
{
	for (unsigned i = 0; i < env->pci_count; i++)
		if (env->pci[i].parent == parent)
			put_function(to, env, &env->pci[i]);
}

static void put_uuid(struct out to, const char *key, const uint8_t u[16])
{
	char s[37], *at = s;

	for (unsigned i = 0; i < 16; i++)
		at += sprintf(at, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", u[i]);
	put_text(to, key, s);
}

json_t *env_to_json(const struct env *env)
{
	bool failed = false;
	struct out top = { json_object(), &failed }, o;

	put_text(top, "hostname", env->hostname);
	put_uuid(top, "uuid", env->uuid);
	put_text(top, "firmware", env->firmware == ENV_UEFI ? "uefi" : "bios");
	put_text(top, "clock", env->clock == ENV_CLOCK_LOCALTIME ? "localtime" : "utc");
	o = put_object(top, "smbios");
	put_smbios(o, &env->smbios);
	put_smbios_parts(o, &env->smbios);
	o = put_object(top, "acpi");
	put_text(o, "oem-id", env->acpi.oem_id);
	put_text(o, "oem-table-id", env->acpi.oem_table_id);
	put_text(o, "creator-id", env->acpi.creator_id);
	put_number(o, "creator-revision", env->acpi.creator_revision);
	put_cpu(put_object(top, "cpu"), &env->cpu);
	put_number(put_object(top, "memory"), "size", env->memory);
	o = put_object(top, "chipset");
	put_text(o, "model", env->chipset == ENV_Q35 ? "q35" : "i440fx");
	put_ids(o, "subsystem", env->board_subvendor, env->board_subdevice);
	put_flag(o, "serial0", env->com[0]);
	put_flag(o, "serial1", env->com[1]);
	put_flag(o, "keyboard", env->keyboard);
	put_flag(o, "mouse", env->mouse);
	put_flag(o, "hpet", env->hpet);
	put_functions(put_object(top, "pci"), env, -1);
	if (env->bmc.present) {
		o = put_object(top, "bmc");
		put_format(o, "ip", "%d.%d.%d.%d", env->bmc.ip[0], env->bmc.ip[1], env->bmc.ip[2], env->bmc.ip[3]);
		put_mac(o, "mac", env->bmc.mac);
		put_text(o, "kind", env->bmc.kind);
	}
	if (!failed)
		return top.o;
	json_decref(top.o);
	return NULL;
}
