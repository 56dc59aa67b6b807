/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of the 82540EM model. Section numbers are those of the 8254x SDM. */
#pragma once
#include "hv/dev/e1000.h"
#include "lib/l2/offload.h"
#include "lib/bits.h"

/* Registers (§13.3) as indices into the file of 32-bit registers. */
enum {
	R_CTRL = 0x0000 / 4, R_CTRL_DUP = 0x0004 / 4, R_STATUS = 0x0008 / 4, R_EECD = 0x0010 / 4, R_EERD = 0x0014 / 4,
	R_CTRL_EXT = 0x0018 / 4, R_FLA = 0x001c / 4, R_MDIC = 0x0020 / 4, R_FCAL = 0x0028 / 4, R_FCAH = 0x002c / 4,
	R_FCT = 0x0030 / 4, R_VET = 0x0038 / 4, R_ICR = 0x00c0 / 4, R_ITR = 0x00c4 / 4, R_ICS = 0x00c8 / 4,
	R_IMS = 0x00d0 / 4, R_IMC = 0x00d8 / 4, R_RCTL = 0x0100 / 4, R_FCTTV = 0x0170 / 4, R_TXCW = 0x0178 / 4,
	R_RXCW = 0x0180 / 4, R_TCTL = 0x0400 / 4, R_TIPG = 0x0410 / 4, R_AIT = 0x0458 / 4, R_LEDCTL = 0x0e00 / 4,
	R_PBA = 0x1000 / 4, R_FCRTL = 0x2160 / 4, R_FCRTH = 0x2168 / 4, R_RDFH = 0x2410 / 4, R_RDFT = 0x2418 / 4,
	R_RDFHS = 0x2420 / 4, R_RDFTS = 0x2428 / 4, R_RDFPC = 0x2430 / 4,
	R_RDBAL = 0x2800 / 4, R_RDBAH = 0x2804 / 4, R_RDLEN = 0x2808 / 4, R_RDH = 0x2810 / 4, R_RDT = 0x2818 / 4,
	R_RDTR = 0x2820 / 4, R_RXDCTL = 0x2828 / 4, R_RADV = 0x282c / 4, R_RSRPD = 0x2c00 / 4, R_TXDMAC = 0x3000 / 4,
	R_TDFH = 0x3410 / 4, R_TDFT = 0x3418 / 4, R_TDFHS = 0x3420 / 4, R_TDFTS = 0x3428 / 4, R_TDFPC = 0x3430 / 4,
	R_TDBAL = 0x3800 / 4, R_TDBAH = 0x3804 / 4, R_TDLEN = 0x3808 / 4, R_TDH = 0x3810 / 4, R_TDT = 0x3818 / 4,
	R_TIDV = 0x3820 / 4, R_TXDCTL = 0x3828 / 4, R_TADV = 0x382c / 4, R_TSPMT = 0x3830 / 4,
	/* statistics (§13.7) */
	R_CRCERRS = 0x4000 / 4, R_MPC = 0x4010 / 4, R_PRC64 = 0x405c / 4, R_GPRC = 0x4074 / 4, R_BPRC = 0x4078 / 4,
	R_MPRC = 0x407c / 4, R_GPTC = 0x4080 / 4, R_GORCL = 0x4088 / 4, R_GORCH = 0x408c / 4, R_GOTCL = 0x4090 / 4,
	R_GOTCH = 0x4094 / 4, R_RNBC = 0x40a0 / 4, R_ROC = 0x40ac / 4, R_TORL = 0x40c0 / 4, R_TORH = 0x40c4 / 4,
	R_TOTL = 0x40c8 / 4, R_TOTH = 0x40cc / 4, R_TPR = 0x40d0 / 4, R_TPT = 0x40d4 / 4, R_PTC64 = 0x40d8 / 4,
	R_MPTC = 0x40f0 / 4, R_BPTC = 0x40f4 / 4, R_TSCTC = 0x40f8 / 4, R_TSCTFC = 0x40fc / 4,
	R_RXCSUM = 0x5000 / 4, R_MTA = 0x5200 / 4, R_MTA_END = 0x53fc / 4, R_RA = 0x5400 / 4, R_RA_END = 0x547c / 4,
	R_VFTA = 0x5600 / 4, R_VFTA_END = 0x57fc / 4, R_WUC = 0x5800 / 4, R_WUFC = 0x5808 / 4, R_WUS = 0x5810 / 4,
	R_MANC = 0x5820 / 4, R_IPAV = 0x5838 / 4, R_IP4AT = 0x5840 / 4, R_IP4AT_END = 0x585c / 4, R_IP6AT = 0x5880 / 4,
	R_IP6AT_END = 0x588c / 4, R_WUPL = 0x5900 / 4, R_WUPM = 0x5a00 / 4, R_WUPM_END = 0x5a7c / 4, R_FFLT = 0x5f00 / 4,
	R_FFLT_END = 0x5f18 / 4,
	E1000_REGS = 0x6000 / 4,
};

enum { CTRL_SLU = BIT(6), CTRL_RST = BIT(26), CTRL_VME = BIT(30), CTRL_PHY_RST = BIT(31) };
enum { STATUS_FD = BIT(0), STATUS_LU = BIT(1), STATUS_SPEED_1000 = 2u << 6, STATUS_ASDV_1000 = 2u << 8, STATUS_MTXCKOK = BIT(10) };
enum { ICR_TXDW = BIT(0), ICR_TXQE = BIT(1), ICR_LSC = BIT(2), ICR_RXDMT0 = BIT(4), ICR_RXO = BIT(6), ICR_RXT0 = BIT(7),
	ICR_MDAC = BIT(9), ICR_ALL = 0x1f6df };
enum { RCTL_EN = BIT(1), RCTL_UPE = BIT(3), RCTL_MPE = BIT(4), RCTL_LPE = BIT(5), RCTL_LBM = 3u << 6, RCTL_BAM = BIT(15),
	RCTL_VFE = BIT(18), RCTL_CFIEN = BIT(19), RCTL_CFI = BIT(20), RCTL_BSEX = BIT(25), RCTL_SECRC = BIT(26) };
enum { TCTL_EN = BIT(1), TCTL_PSP = BIT(3) };
enum { RXCSUM_IPOFL = BIT(8), RXCSUM_TUOFL = BIT(9), RXCSUM_IPV6OFL = BIT(10) };
enum { RAH_AV = BIT(31) };

enum { E1000_EEPROM_WORDS = 64, E1000_PHY_REGS = 32, E1000_DESC = 16, E1000_FCS = 4 };

/* A microwire part (93C46: 64 words of 16 bits) on the four pins of EECD. */
struct e1000_eeprom {
	uint16_t word[E1000_EEPROM_WORDS];
	uint32_t shift;		/* bits clocked in since chip select */
	uint16_t out;		/* bits still to clock out, next one on top */
	uint8_t count;		/* bits clocked in, start bit first */
	uint8_t left;		/* bits left in out; 0: not reading */
	uint8_t at;		/* word being read */
	bool writable, data_out, selected, clock;
};

/* §3.3.6: the chip keeps one context for TCP segmentation and one for everything else. */
struct e1000_context {
	uint8_t ipcss, ipcso, tucss, tucso, header_len;
	uint16_t ipcse, tucse, mss;
	uint32_t payload_len;
	bool tcp, ipv4;
};

/* The frame that transmit descriptors are adding up to. */
struct e1000_tx {
	struct e1000_context plain, tso;
	uint32_t len, round;		/* bytes of the frame, of the round */
	uint8_t popts;
	bool started, segment, legacy_sum, fcs, tag, bad;
	uint8_t css, cso;
	uint16_t vlan;
	uint8_t buf[NET_FRAME_MAX + 64];
};

struct e1000 {
	struct pci_dev pci;
	const struct env_pci *env;
	struct clock *clock;
	struct net_port *port;
	uint32_t reg[E1000_REGS];
	uint16_t phy[E1000_PHY_REGS];
	uint32_t io_addr;		/* IOADDR */
	struct e1000_eeprom eeprom;
	struct e1000_tx tx;
	struct clock_timer itr_timer, link_timer, tx_timer;
	uint64_t asserted_ns;		/* when INTA last rose */
	bool throttled;			/* asserted_ns is valid */
	bool line;			/* level of INTA */
	bool carrier, negotiated;	/* cable; PHY has finished negotiating */
	bool want_resume;		/* a frame was refused */
	struct e1000_faults faults;
};

/* A ring as its registers give it; false when it is empty of descriptors or head or tail lie outside. */
struct e1000_ring { uint64_t base; uint32_t count, head, tail; };
bool e1000_ring_get(const struct e1000 *n, unsigned bal, struct e1000_ring *ring);

void e1000_raise(struct e1000 *n, uint32_t causes);	/* set ICR bits */
void e1000_count(struct e1000 *n, unsigned reg, uint32_t by);		/* statistics stick at their maximum */
void e1000_count64(struct e1000 *n, unsigned low, uint32_t by);
/* Packet count by size, first register of six; len with FCS. */
void e1000_count_size(struct e1000 *n, unsigned first, size_t len);

void e1000_tx_init(struct e1000 *n);
void e1000_tx_run(struct e1000 *n);	/* TDT or TCTL were written; a long ring is taken in rounds */
void e1000_tx_reset(struct e1000 *n);
/* A frame from the wire. False: no room. */
bool e1000_rx_frame(struct e1000 *n, const struct virtio_net_hdr_v1 *hdr, const uint8_t *frame, size_t len);
void e1000_rx_run(struct e1000 *n);	/* RDT or RCTL were written: there may be room again */

void e1000_phy_reset(struct e1000 *n);
bool e1000_phy_loopback(const struct e1000 *n);
uint32_t e1000_phy_access(struct e1000 *n, uint32_t mdic);	/* a write to MDIC; gives what MDIC reads then */
void e1000_link_init(struct e1000 *n);
void e1000_link_update(struct e1000 *n);	/* STATUS and PHY bits follow the cable */
void e1000_link_start(struct e1000 *n);		/* LSC once the link is up */

void e1000_eeprom_init(struct e1000_eeprom *e, const struct env_pci *env);
uint32_t e1000_eeprom_read_eecd(const struct e1000_eeprom *e, uint32_t eecd);
void e1000_eeprom_write_eecd(struct e1000_eeprom *e, uint32_t eecd);
uint32_t e1000_eeprom_read_eerd(const struct e1000_eeprom *e, uint32_t eerd);
