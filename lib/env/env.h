/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server environment: everything the server's operating system can see of its machine, parsed from a flattened
 * device tree. docs/environment.md is the schema. What env_load returns is complete and checked: every value is in
 * range, every PCI address free of clashes, every string fits its field; consumers need no checks of their own.
 * Read only after loading; any thread may read.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/err.h"

#define ENV_COM_PORTS 2
#define ENV_MAX_PCI 64
#define ENV_MAX_DISKS_PER_CONTROLLER 6
#define ENV_MAX_QUEUES 8
#define ENV_MAX_CPUS 64
#define ENV_MAX_CACHES 4
#define ENV_MAX_DIMMS 16
#define ENV_MAX_OEM_STRINGS 16
#define ENV_CPUID_WORDS 11

enum env_firmware { ENV_BIOS, ENV_UEFI };
enum env_clock { ENV_CLOCK_UTC, ENV_CLOCK_LOCALTIME };
enum env_chipset { ENV_Q35, ENV_I440FX };
enum env_pci_kind {
	ENV_PCI_ROOT_PORT,	/* "pcie-root-port": one secondary bus, one slot */
	ENV_PCI_BRIDGE,		/* "pci-bridge": conventional, 32 devices */
	ENV_PCI_AHCI,		/* "ahci" */
	ENV_PCI_SMBUS,		/* "smbus": ICH9 at 00:1f.3 */
	ENV_PCI_E1000,		/* "e1000": 82540EM */
	ENV_PCI_VIRTIO_NET,
	ENV_PCI_VIRTIO_BLK,
	ENV_PCI_VIRTIO_RNG,
	ENV_PCI_KINDS,
};
enum env_medium { ENV_DISK, ENV_CD };

/* Strings are never NULL; "" means the record has no such string. */
struct env_smbios {
	bool v3;		/* entry point 3.0 (64-bit) instead of 2.8 (32-bit) */
	struct { const char *vendor, *version, *release_date; uint8_t major, minor; bool uefi; uint16_t rom_kib; } bios;
	struct { const char *manufacturer, *product, *version, *serial, *sku, *family; } system;
	struct { const char *manufacturer, *product, *version, *serial, *asset_tag, *location; bool present; } board;
	struct { const char *manufacturer, *version, *serial, *asset_tag, *sku; uint8_t type; } chassis;
	struct { const char *socket_prefix, *manufacturer, *version, *serial, *asset_tag, *part;
		uint16_t max_mhz, current_mhz; uint8_t family, upgrade; } processor;	/* one record a socket: prefix + hex index ("CPU 0") */
	struct { const char *locator_prefix, *bank, *manufacturer, *serial, *asset_tag, *part;
		uint16_t speed_mts; uint8_t type, form_factor; uint64_t dimm_bytes; } memory;	/* types 16, 17, 19 */
	const char *oem_strings[ENV_MAX_OEM_STRINGS];	/* type 11 */
	unsigned oem_string_count;
};

struct env_cache {	/* as CPUID describes it */
	uint8_t level;		/* 1…3 */
	char type;		/* 'd', 'i', 'u' */
	uint32_t kib;
	uint16_t ways, line;	/* line in bytes */
	uint16_t shared_by;	/* logical CPUs */
};

struct env_cpu {
	unsigned sockets, cores, threads;	/* cores a socket, threads a core */
	char vendor[13];			/* CPUID leaf 0, 12 characters */
	char model_name[49];			/* leaves 0x80000002-4 */
	unsigned family, model, stepping;	/* effective values */
	unsigned phys_bits;			/* 32…52 */
	uint32_t max_leaf, max_ext_leaf;	/* leaf 0 EAX, leaf 0x80000000 EAX */
	uint32_t words[ENV_CPUID_WORDS];	/* feature bits to show, see enum env_cpuid_word */
	struct env_cache caches[ENV_MAX_CACHES];
	unsigned cache_count;
	bool paravirt;				/* KVM clock, EOI, IPI, TLB leaves are added at 0x40000000 */
};

enum env_cpuid_word {
	ENV_CPUID_1_EDX, ENV_CPUID_1_ECX, ENV_CPUID_7_0_EBX, ENV_CPUID_7_0_ECX, ENV_CPUID_7_0_EDX,
	ENV_CPUID_80000001_EDX, ENV_CPUID_80000001_ECX, ENV_CPUID_80000007_EDX, ENV_CPUID_80000008_EBX, ENV_CPUID_D_1_EAX,
	ENV_CPUID_6_EAX,
};

struct env_disk {	/* one port of an ahci controller, or the medium of a virtio-blk device */
	char name[32];		/* its node's label for people and the placement: "sda" */
	enum env_medium medium;
	unsigned port;
	char model[41], serial[21], firmware[9];	/* ATA field lengths */
	char inquiry_vendor[9], inquiry_product[17];	/* cd: what INQUIRY answers, SPC field lengths */
	uint64_t wwn;		/* NAA, 0: none */
	uint64_t size;		/* bytes, multiple of logical; 0 for a cd */
	uint32_t logical, physical;	/* sector bytes */
	uint16_t rpm;		/* 1: solid state; 0: not reported */
	bool trim;		/* shows TRIM (virtio: discard, write zeroes), whatever the volume can do */
	int boot;		/* boot order, 1 first; 0: not a boot disk */
};

struct env_pci {
	enum env_pci_kind kind;
	char name[32];		/* label for people and the placement: "net0" */
	const char *path;	/* node path, for messages */
	int parent;		/* index of the bridge or root port in env.pci, or -1: root bus */
	uint8_t device, function;
	uint16_t vendor_id, device_id, subsystem_vendor, subsystem_device;	/* defaults of the kind when the node is silent */
	uint8_t revision;
	/* root ports and bridges */
	uint16_t slot;		/* physical slot number shown in the slot capability */
	uint8_t chassis;
	bool hotplug;		/* root port: slot is hot-plug capable (Linux then registers the slot) */
	uint8_t link_speed;	/* root port: generation, 1…5; see env_link_speed_name */
	uint8_t link_width;	/* root port: lanes, a power of two, 1…32 */
	int sun;		/* ACPI _SUN for the device, -1: none */
	/* NICs */
	uint8_t mac[6];
	const char *segment;	/* "" or the subnet's name */
	unsigned onboard_index;	/* SMBIOS type 41 instance, 0: none */
	const char *onboard_label;
	unsigned queues;	/* virtio-net: queue pairs, 1…ENV_MAX_QUEUES */
	/* storage */
	struct env_disk disks[ENV_MAX_DISKS_PER_CONTROLLER];
	unsigned disk_count;
	unsigned ports;		/* ahci: ports the HBA has, 1…6 */
};

struct env {
	const char *hostname;
	uint8_t uuid[16];	/* RFC 4122 byte order */
	enum env_firmware firmware;
	enum env_clock clock;
	uint64_t memory;	/* bytes, multiple of 1 MiB */
	struct env_smbios smbios;
	struct { char oem_id[7], oem_table_id[9], creator_id[5]; uint32_t creator_revision; } acpi;
	struct env_cpu cpu;
	enum env_chipset chipset;
	uint16_t board_subvendor, board_subdevice;	/* subsystem ids of the chipset functions */
	struct env_pci pci[ENV_MAX_PCI];	/* parents stand before their children */
	unsigned pci_count;
	bool com[ENV_COM_PORTS];		/* COM1, COM2 present */
	bool hpet;				/* accepted by the schema; hv refuses it until it models one */
	bool keyboard, mouse;			/* i8042 ports */
	struct { bool present; uint8_t ip[4], mac[6]; const char *kind; } bmc;	/* the out-of-band controller's old address */
};

/* Load a .dtb. Errors name the file, the node and the property. *env is freed by env_free. */
int env_load(const char *path, struct env **env, struct err *err) must_check;
/* The same from memory; name stands for the file in messages. blob is hostile and is not kept. */
int env_parse(const char *name, const void *blob, size_t len, struct env **env, struct err *err) must_check;
void env_free(struct env *env);

static inline unsigned env_cpu_count(const struct env *env) { return env->cpu.sockets * env->cpu.cores * env->cpu.threads; }

/* The word that "compatible" has for a kind. */
const char *env_pci_kind_name(enum env_pci_kind kind);
/* The word that "link-speed" has for a generation, GT/s a lane: "2.5", "5", "8", "16", "32". */
const char *env_link_speed_name(unsigned generation);

/* Linux's /proc/cpuinfo name of a feature bit, or NULL when it has none here. */
const char *env_cpuid_name(enum env_cpuid_word word, unsigned bit);
/* The other way round; false when nobody has that name. */
bool env_cpuid_find(const char *name, enum env_cpuid_word *word, unsigned *bit);

/*
 * Compile a .dts with dtc (found in PATH; ten seconds, 1 MiB of output at most). *blob is freed by the caller.
 * The source may include other files (dtc's /include/ and /incbin/): for the operator's own files only, never for a peer's.
 */
int env_compile(const char *path, void **blob, size_t *len, struct err *err) must_check;
