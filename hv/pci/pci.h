/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI functions, buses and bridges: config space, BARs, INTx routing, MSI, MSI-X, DMA.
 * PCI Local Bus 3.0, PCI-to-PCI Bridge 1.2, PCI Express Base 2.0. All calls under the device lock.
 *
 * A device model embeds a struct pci_dev, describes it with pci_dev_init / pci_dev_add_*, and hands it to
 * pci_bus_attach; the machine owns the tree. Nothing here knows KVM: interrupts leave through struct pci_host_ops.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hv/bus.h"
#include "hv/mem.h"

#define PCI_DEVFN(dev, fn) ((uint8_t)(((dev) << 3) | (fn)))
#define PCI_CONFIG_SIZE 256
#define PCIE_CONFIG_SIZE 4096
#define PCI_BARS 6
#define PCI_MAX_MSIX 64

/* config registers (type 0 unless said) */
enum {
	PCI_VENDOR_ID = 0x00, PCI_DEVICE_ID = 0x02, PCI_COMMAND = 0x04, PCI_STATUS = 0x06, PCI_REVISION = 0x08,
	PCI_CLASS_PROG = 0x09, PCI_CACHE_LINE = 0x0c, PCI_LATENCY = 0x0d, PCI_HEADER_TYPE = 0x0e, PCI_BAR0 = 0x10,
	PCI_PRIMARY_BUS = 0x18, PCI_SECONDARY_BUS = 0x19, PCI_SUBORDINATE_BUS = 0x1a,		/* type 1 */
	PCI_SUBSYSTEM_VENDOR = 0x2c, PCI_SUBSYSTEM_ID = 0x2e, PCI_ROM = 0x30, PCI_CAP_PTR = 0x34,
	PCI_INTERRUPT_LINE = 0x3c, PCI_INTERRUPT_PIN = 0x3d, PCI_BRIDGE_CONTROL = 0x3e,
	PCI_COMMAND_IO = 1, PCI_COMMAND_MEMORY = 2, PCI_COMMAND_MASTER = 4, PCI_COMMAND_SERR = 0x100, PCI_COMMAND_INTX_OFF = 0x400,
	PCI_STATUS_INTX = 8, PCI_STATUS_CAPS = 0x10,
	PCI_CAP_PM = 1, PCI_CAP_MSI = 5, PCI_CAP_VENDOR = 9, PCI_CAP_SUBSYSTEM = 13, PCI_CAP_EXPRESS = 16, PCI_CAP_MSIX = 17,
	PCI_CAP_SATA = 18,
};

struct pci_dev;

struct pci_id {
	uint16_t vendor, device, subsystem_vendor, subsystem_device;
	uint32_t class_code;	/* 24 bits: class, subclass, programming interface */
	uint8_t revision;
};

/* What a device model provides; every slot may be NULL (registration puts in defaults). */
struct pci_dev_ops {
	/* An access inside BAR bar; off + size <= its size. MSI-X table and PBA accesses never get here. */
	uint64_t (*bar_read)(void *ctx, unsigned bar, uint64_t off, unsigned size);
	void (*bar_write)(void *ctx, unsigned bar, uint64_t off, unsigned size, uint64_t val);
	/* Config bytes [off, off+size) are about to be read (refresh dev->config) / have just been written (already masked). */
	void (*config_read)(void *ctx, unsigned off, unsigned size);
	void (*config_written)(void *ctx, unsigned off, unsigned size);
	/* BAR bar was mapped at addr, or unmapped (addr = ~0). For ioeventfds. */
	void (*bar_mapped)(void *ctx, unsigned bar, uint64_t addr);
	/* Machine reset; config space is already back to its power-on values. */
	void (*reset)(void *ctx);
};

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_MEM64, PCI_BAR_MEM64_PREFETCH };

struct pci_bar {
	enum pci_bar_kind kind;
	uint64_t size;			/* power of two */
	struct bus_range range;		/* range.mapped: decoded now, at range.base */
	struct pci_dev *dev;
	uint8_t index;
};

struct pci_msix {
	unsigned vectors;		/* 0: none */
	uint8_t cap, table_bar, pba_bar;
	uint32_t table_off, pba_off;
	uint8_t table[PCI_MAX_MSIX * 16];
	uint64_t pending;
};

struct pci_bus {
	struct pci_dev *dev[256];	/* by devfn */
	struct pci_dev *bridge;		/* above us; NULL: root bus */
	struct pci_host *host;
};

struct pci_dev {
	const char *name;		/* static or the environment's */
	uint8_t devfn;
	struct pci_bus *bus;		/* NULL until attached */
	struct pci_bus *secondary;	/* bridges and root ports: the bus below */
	struct pci_dev_ops ops;		/* every slot set */
	void *ctx;
	uint16_t config_size;		/* 256 or 4096 */
	uint8_t config[PCIE_CONFIG_SIZE], writable[PCIE_CONFIG_SIZE], clear_on_1[PCIE_CONFIG_SIZE], initial[PCIE_CONFIG_SIZE];
	struct pci_bar bar[PCI_BARS];
	struct pci_msix msix;
	uint8_t msi_cap;		/* 0: none */
	uint16_t cap_end;		/* next free byte for capabilities */
	uint8_t cap_last;		/* where the last capability's next pointer stands */
	bool express;
	bool intx;			/* level the device asks for */
	bool intx_driven;		/* level the host was told */
};

/* The way out of the tree: implemented by the machine, and by tests. */
struct pci_host_ops {
	/* pin 0…3 = INTA…D on the root bus, after swizzling; told of each source's changes only, so it counts sources */
	void (*intx)(void *ctx, uint8_t root_devfn, unsigned pin, int level);
	void (*msi)(void *ctx, uint64_t addr, uint32_t data);
};

struct pci_host {
	struct pci_bus root;
	const struct pci_host_ops *ops;
	void *ctx;
	struct bus *ports, *mmio;
	struct mem *mem;
	uint32_t config_address;	/* 0xcf8 */
};

void pci_host_init(struct pci_host *host, const struct pci_host_ops *ops, void *ctx, struct bus *ports, struct bus *mmio,
		   struct mem *mem);

/* Describe. Order: init, capabilities and BARs, then attach; attach keeps what stands in config as the reset state. */
void pci_dev_init(struct pci_dev *dev, const char *name, const struct pci_id *id, const struct pci_dev_ops *ops, void *ctx);
void pci_dev_add_bar(struct pci_dev *dev, unsigned index, enum pci_bar_kind kind, uint64_t size);
void pci_dev_set_pin(struct pci_dev *dev, unsigned pin);	/* 1…4 = INTA…D */
/* A capability of len bytes (id and next pointer included); returns its offset. Bytes start zero and read only. */
unsigned pci_dev_add_cap(struct pci_dev *dev, uint8_t id, unsigned len);
/* The same at a fixed offset. */
void pci_dev_add_cap_at(struct pci_dev *dev, uint8_t id, unsigned off, unsigned len);
void pci_dev_add_msi(struct pci_dev *dev, unsigned off, bool address64);	/* one vector; off 0: next free */
/* off: of the capability, 0: next free */
void pci_dev_add_msix(struct pci_dev *dev, unsigned off, unsigned vectors, unsigned bar, uint32_t table_off, uint32_t pba_off);
/* type: device/port type field of the Express capability (0 endpoint, 4 root port, …) */
unsigned pci_dev_add_express(struct pci_dev *dev, unsigned off, unsigned type);
/* Let the guest write these bits of config bytes [off, off+size). */
void pci_dev_set_writable(struct pci_dev *dev, unsigned off, unsigned size, uint32_t mask);
int pci_bus_attach(struct pci_bus *bus, struct pci_dev *dev, unsigned device, unsigned function) must_check;	/* -EEXIST */

/* Run. */
void pci_dev_set_intx(struct pci_dev *dev, int level);
bool pci_dev_msi_on(const struct pci_dev *dev);		/* MSI enabled */
bool pci_dev_msix_on(const struct pci_dev *dev);	/* MSI-X enabled */
void pci_dev_send_msi(struct pci_dev *dev);
void pci_dev_send_msix(struct pci_dev *dev, unsigned vector);	/* pended while masked; out-of-range vectors are dropped */
/* For single-vector devices: drive the interrupt the way it is configured now, MSI on a rising level when on, else INTx. */
void pci_dev_set_irq(struct pci_dev *dev, int level);
uint64_t pci_dev_config_read(struct pci_dev *dev, unsigned off, unsigned size);
void pci_dev_config_write(struct pci_dev *dev, unsigned off, unsigned size, uint64_t val);
/* Bus reset: every function below, then its model's reset. */
void pci_host_reset(struct pci_host *host);
/* Config access by bus number, walking bridges; absent functions read all ones. */
uint64_t pci_host_config_read(struct pci_host *host, unsigned bus, uint8_t devfn, unsigned off, unsigned size);
void pci_host_config_write(struct pci_host *host, unsigned bus, uint8_t devfn, unsigned off, unsigned size, uint64_t val);

/* DMA: nothing moves while bus mastering is off. */
bool pci_dev_may_dma(const struct pci_dev *dev);
int pci_dev_dma_read(struct pci_dev *dev, uint64_t gpa, void *dst, uint64_t len) must_check;	/* -EFAULT */
int pci_dev_dma_write(struct pci_dev *dev, uint64_t gpa, const void *src, uint64_t len) must_check;
void *pci_dev_dma_at(struct pci_dev *dev, uint64_t gpa, uint64_t len);	/* NULL: not memory or not bus master */
