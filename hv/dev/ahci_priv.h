/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the SATA controller: ahci.c has the registers, ahci_cmd.c takes commands from guest memory and gives results
 * back, ata.c and atapi.c are the drives, ata_data.c what a disk tells about itself.
 *
 * A command is read once into its slot. The drive ends it with exactly one of ahci_finish, ahci_fail, ahci_data_in or an
 * ahci_map that returned false. Resets drop commands; one whose block request is still out keeps its slot (and keeps the
 * port from running another) until the request comes back, because until then its data pages are in use.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "hv/dev/ahci.h"

#define AHCI_SLOTS 32
/* The longest transfer of 512-byte sectors in pages, and some; more scattered lists are refused. */
#define AHCI_MAX_IOV 8448

/* PxIS, PxIE (AHCI 3.3.5) */
enum {
	AHCI_IS_DHRS = 1u << 0, AHCI_IS_PSS = 1u << 1, AHCI_IS_SDBS = 1u << 3, AHCI_IS_DPS = 1u << 5, AHCI_IS_PCS = 1u << 6,
	AHCI_IS_PRCS = 1u << 22, AHCI_IS_OFS = 1u << 24, AHCI_IS_IFS = 1u << 27, AHCI_IS_HBFS = 1u << 29, AHCI_IS_TFES = 1u << 30,
};
/* PxCMD (AHCI 3.3.7) */
enum {
	AHCI_CMD_ST = 1u << 0, AHCI_CMD_SUD = 1u << 1, AHCI_CMD_POD = 1u << 2, AHCI_CMD_FRE = 1u << 4, AHCI_CMD_CCS = 0x1f00u,
	AHCI_CMD_FR = 1u << 14, AHCI_CMD_CR = 1u << 15, AHCI_CMD_ATAPI = 1u << 24, AHCI_CMD_DLAE = 1u << 25,
};
/* ATA status and error registers */
enum {
	ATA_ERR = 0x01, ATA_DRQ = 0x08, ATA_DSC = 0x10, ATA_DF = 0x20, ATA_DRDY = 0x40, ATA_BSY = 0x80,
	ATA_OK = ATA_DRDY | ATA_DSC,
};
enum { ATA_ABRT = 0x04, ATA_IDNF = 0x10, ATA_UNC = 0x40 };

/* A task file: what the host's register FIS said, and what goes back. */
struct ata_tf {
	uint8_t command, device, status, error;
	uint16_t features, count;
	uint64_t lba;		/* 48 bits */
};

struct ahci_port;

struct ahci_slot {
	struct ahci_port *port;
	uint8_t tag;
	bool active;		/* taken from the list and not ended */
	bool queued;		/* NCQ */
	bool pio_in;		/* ends with a PIO setup FIS instead of a D2H register FIS */
	bool in_flight, aborted;	/* its block request is out; and nobody waits for it any more */
	bool prd_irq;
	bool stepping, step_again;	/* ata.c, for commands of many block requests */
	struct ata_tf tf;
	uint8_t cdb[16];
	uint64_t header, table;	/* guest addresses */
	uint32_t prdtl;
	uint32_t bytes;		/* transferred, for PRDBC */
	struct iovec *iov;	/* grows to AHCI_MAX_IOV, kept between commands */
	unsigned iov_count, iov_room;
	struct block_req req;
	void (*next)(struct ahci_slot *slot, int result);
	uint8_t *buffer;	/* freed with the command */
	uint32_t pos, end;	/* in buffer */
};

struct ata_dev {
	const struct env_disk *disk;	/* NULL: nothing on this port */
	struct block *block;		/* NULL: no medium */
	uint64_t sectors;
	bool atapi, write_cache, smart;
	uint8_t multiple;		/* sectors a DRQ block, 0: off */
	uint16_t sw_dma, mw_dma, udma;	/* IDENTIFY words 62, 63, 88 */
	uint8_t ncq_log[20];		/* head of log page 10h */
	uint8_t sense_key, sense_code;	/* ATAPI */
	bool locked;
};

struct ahci_port {
	struct ahci *ahci;
	uint8_t index;
	uint64_t clb, fb;
	uint32_t is, ie, cmd, tfd, sig, ssts, sctl, serr, sact, ci;
	bool halted;		/* after an error, until PxCMD.ST falls */
	bool running;		/* ahci_port_run is on the stack */
	bool signature_due;	/* the device came out of a reset and has not said so */
	uint8_t control;	/* the device control register last written */
	int busy;		/* slot of the unqueued command in progress, or -1 */
	uint8_t last;		/* slot taken last */
	uint32_t queued;	/* NCQ commands in progress */
	uint32_t finished;	/* NCQ commands to report in the next set device bits FIS */
	unsigned aborting;	/* slots in_flight and aborted */
	struct ata_dev dev;
	struct ahci_slot slot[AHCI_SLOTS];
};

struct ahci {
	struct pci_dev pci;
	const struct env_pci *env;
	uint32_t ghc, is;
	uint32_t idp_index;	/* BAR 4 */
	bool resetting;		/* GHC.HR: waits for aborted requests */
	struct ahci_port port[AHCI_PORTS];
};

/* ---- ahci.c */
void ahci_update_irq(struct ahci *ahci);
/* The last aborted request of a port is back. */
void ahci_port_drained(struct ahci_port *port);
/* A device reset that arrived as a frame (software reset, DEVICE RESET): signature now, or when nothing is in flight. */
void ahci_port_signature(struct ahci_port *port);

/* ---- ahci_cmd.c */
/* Take and carry out commands while the port can. Reports and updates the interrupt. Harmless when it already runs. */
void ahci_port_run(struct ahci_port *port);
/* Drop all commands. */
void ahci_port_abort(struct ahci_port *port);
/* Then, when the port's registers say so: do not wait for the rate of the disk, drivers give a reset one second (AHCI 10.4.3). */
void ahci_port_hurry(struct ahci_port *port);
/* Set device registers and tell the host; irq: the FIS's interrupt bit. */
void ahci_send_d2h(struct ahci_port *port, const struct ata_tf *tf, bool irq);
/* Build slot->iov for exactly len bytes from the PRD table. False: it did not work and the command has ended. */
bool ahci_map(struct ahci_slot *slot, uint64_t len);
/* The same for data that nobody wants to see, on memory of the slot's own. False: there is none; the command has not ended. */
bool ahci_map_nowhere(struct ahci_slot *slot, uint64_t len);
/* Copy between mapped data and a buffer; at most what is mapped. */
void ahci_copy_in(struct ahci_slot *slot, const void *src, size_t len);
void ahci_copy_out(struct ahci_slot *slot, void *dst, size_t len);
/* The next step of the command calls next with the result. Nothing may touch the slot after this. */
void ahci_submit(struct ahci_slot *slot, enum block_op op, uint64_t off, uint64_t len, bool fua,
	void (*next)(struct ahci_slot *slot, int result));
void ahci_finish(struct ahci_slot *slot);
/* error: ATA error register; status: bits beside ERR. Task file LBA and count go back as they stand. */
void ahci_fail(struct ahci_slot *slot, uint8_t error, uint8_t status);
/* PIO data from the device: map, copy, finish. */
void ahci_data_in(struct ahci_slot *slot, const void *data, size_t len);
/* The PIO setup FIS for the mapped data of a PACKET command. */
void ahci_send_pio(struct ahci_slot *slot, uint32_t len, bool to_host, uint8_t end_status, bool irq);

/* ---- ata.c */
void ata_init(struct ata_dev *dev, const struct env_disk *disk, struct block *block);
void ata_power_on(struct ata_dev *dev);
/* Software reset, COMRESET. */
void ata_reset(struct ata_dev *dev);
/* The task file a device shows after a reset; ATA8-ACS "signature". */
struct ata_tf ata_signature(const struct ata_dev *dev);
void ata_execute(struct ahci_slot *slot);
/* SET FEATURES, transfer mode. False: no such mode. */
bool ata_set_xfer_mode(struct ata_dev *dev, uint8_t mode);
bool ata_is_queued(uint8_t command);

/* ---- ata_data.c: 512-byte pages */
void ata_identify(const struct ata_dev *dev, uint8_t page[512]);
void ata_identify_packet(const struct ata_dev *dev, uint8_t page[512]);
void ata_smart_data(const struct ata_dev *dev, uint8_t page[512]);
void ata_smart_thresholds(uint8_t page[512]);
bool ata_smart_log(uint8_t log, uint8_t page[512]);	/* false: no such log */
bool ata_log(const struct ata_dev *dev, uint8_t log, unsigned index, uint8_t page[512]);
void ata_ncq_log_set(struct ata_dev *dev, const struct ata_tf *tf, uint8_t tag);

/* ---- atapi.c */
void atapi_packet(struct ahci_slot *slot);
void atapi_reset(struct ata_dev *dev);
