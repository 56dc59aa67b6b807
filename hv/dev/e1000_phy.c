/* SPDX-License-Identifier: Apache-2.0 */
/* The M88E1011 PHY behind MDIC (§11, §13.4.8; IEEE 802.3 clause 22), and the link: cable, negotiation, LSC. */
#include "hv/dev/e1000_priv.h"

enum { PHY_CTRL = 0, PHY_STATUS = 1, PHY_ID1 = 2, PHY_ID2 = 3, PHY_ADVERTISE = 4, PHY_PARTNER = 5, PHY_EXPANSION = 6,
	PHY_NEXT_PAGE = 7, PHY_1000T_CTRL = 9, PHY_1000T_STATUS = 10, PHY_EXT_STATUS = 15, M88_CTRL = 16, M88_STATUS = 17,
	M88_INT_ENABLE = 18, M88_EXT_CTRL = 20, M88_LED = 24, M88_PAGE = 29, M88_GEN = 30 };
enum { PHY_RESET = 0x8000, PHY_LOOPBACK = 0x4000, PHY_AUTONEG = 0x1000, PHY_POWER_DOWN = 0x0800, PHY_RESTART = 0x0200 };
/* The partner offers no pause frames: a virtual wire has none. */
enum { ABLE = 0x7949, NEGOTIATED = 0x0020, LINK = 0x0004, M88_LINK_1000_FULL = 0xac00, PARTNER_ABLE = 0x41e1,
	EXPANSION_PARTNER = 0x0001, PARTNER_1000 = 0x3c00 };
enum { MDIC_WRITE = 1, MDIC_READ = 2, MDIC_READY = BIT(28), MDIC_INTERRUPT = BIT(29), MDIC_ERROR = BIT(30) };

/* A copper link takes seconds to negotiate; drivers wait for the event, not for a time. */
#define LINK_NS 2000000u

static const uint16_t initial[E1000_PHY_REGS] = {
	[PHY_CTRL] = 0x1140, [PHY_STATUS] = ABLE, [PHY_ID1] = 0x0141, [PHY_ID2] = 0x0c20, [PHY_ADVERTISE] = 0x0de1,
	[PHY_1000T_CTRL] = 0x0f00, [PHY_EXT_STATUS] = 0x3000, [M88_CTRL] = 0x0360, [M88_EXT_CTRL] = 0x0d60, [M88_LED] = 0x4100,
};

static const uint16_t writable[E1000_PHY_REGS] = {
	[PHY_CTRL] = 0x7dff, [PHY_ADVERTISE] = 0xffff, [PHY_NEXT_PAGE] = 0xffff, [PHY_1000T_CTRL] = 0xff00, [M88_CTRL] = 0xffff,
	[M88_INT_ENABLE] = 0xffff, [M88_EXT_CTRL] = 0xffff, [M88_LED] = 0xffff, [25] = 0xffff, [26] = 0xffff, [M88_PAGE] = 0xffff,
	[M88_GEN] = 0xffff,
};

static void set(uint16_t *reg, uint16_t bits, bool on)
{
	*reg = (uint16_t)(on ? *reg | bits : *reg & ~bits);
}

void e1000_link_update(struct e1000 *n)
{
	bool up = n->carrier && n->negotiated && !(n->phy[PHY_CTRL] & PHY_POWER_DOWN);

	set(&n->phy[PHY_STATUS], LINK | NEGOTIATED, up);
	n->phy[PHY_PARTNER] = up ? PARTNER_ABLE : 0;
	set(&n->phy[PHY_EXPANSION], EXPANSION_PARTNER, up);
	n->phy[PHY_1000T_STATUS] = up ? PARTNER_1000 : 0;
	n->phy[M88_STATUS] = up ? M88_LINK_1000_FULL : 0;
	n->reg[R_STATUS] = STATUS_FD | STATUS_SPEED_1000 | STATUS_ASDV_1000 | STATUS_MTXCKOK;
	if (up && n->reg[R_CTRL] & CTRL_SLU)
		n->reg[R_STATUS] |= STATUS_LU;
}

static void link_fire(void *ctx)
{
	struct e1000 *n = ctx;

	n->negotiated = true;
	e1000_link_update(n);
	if (n->reg[R_STATUS] & STATUS_LU)
		e1000_raise(n, ICR_LSC);
	e1000_rx_run(n);
}

void e1000_link_init(struct e1000 *n)
{
	n->link_timer = (struct clock_timer){ .fire = link_fire, .ctx = n };
}

void e1000_link_start(struct e1000 *n)
{
	if (n->carrier)
		clock_arm(n->clock, &n->link_timer, clock_now(n->clock) + LINK_NS);
}

static void negotiate(struct e1000 *n)
{
	n->negotiated = false;
	e1000_link_update(n);
	e1000_link_start(n);
}

void e1000_phy_reset(struct e1000 *n)
{
	memcpy(n->phy, initial, sizeof n->phy);
	negotiate(n);
}

bool e1000_phy_loopback(const struct e1000 *n)
{
	return n->phy[PHY_CTRL] & PHY_LOOPBACK;
}

static void write(struct e1000 *n, unsigned reg, uint16_t val)
{
	uint16_t old = n->phy[reg];

	n->phy[reg] = (uint16_t)((old & ~writable[reg]) | (val & writable[reg]));
	if (reg != PHY_CTRL)
		return;
	if (val & PHY_RESET)
		e1000_phy_reset(n);
	else if ((val & PHY_RESTART && val & PHY_AUTONEG) || (old ^ val) & PHY_POWER_DOWN)
		negotiate(n);
}

uint32_t e1000_phy_access(struct e1000 *n, uint32_t mdic)
{
	unsigned reg = mdic >> 16 & 31, phy = mdic >> 21 & 31, op = mdic >> 26 & 3;

	mdic &= ~(uint32_t)(MDIC_READY | MDIC_ERROR);
	if (phy != 1 || (op != MDIC_WRITE && op != MDIC_READ))
		mdic |= MDIC_ERROR;
	else if (op == MDIC_WRITE)
		write(n, reg, (uint16_t)mdic);
	else
		mdic = (mdic & 0xffff0000) | n->phy[reg];
	if (mdic & MDIC_INTERRUPT)
		e1000_raise(n, ICR_MDAC);
	return mdic | MDIC_READY;
}
