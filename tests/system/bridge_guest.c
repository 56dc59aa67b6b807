/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest in the firmware's place: a bridge of two ports between the e1000 cards at 3.0 and 4.0, so that a Linux host that sits
 * behind the second one's TAP has the place of a server behind the first one. It looks 2,000 times a second.
 *	gcc -m32 -nostdlib …; objcopy -O binary: see tests/system/hv-peers.sh. A ROM of 256 KiB below 4 GiB; RAM from 0 on.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned u32;
typedef unsigned long long u64;

enum { CTRL = 0x0, RCTL = 0x100, TCTL = 0x400, RDBAL = 0x2800, RDLEN = 0x2808, RDH = 0x2810, RDT = 0x2818, TDBAL = 0x3800,
	TDLEN = 0x3808, TDH = 0x3810, TDT = 0x3818 };
enum { NICS = 2, DESCS = 64, BUFFER = 0x4000, DD = 1, EOP_IFCS_RS = 0xb };
enum { STACK = 0x90000, IDT = 0xa0000 - 0x1000, RINGS = 0x200000, BUFFERS = 0x1000000, REGS = 0xc1000000 };

struct desc { u64 addr; u32 length, status; };
struct nic { u32 regs, rx_at, tx_at; };

static void out8(u16 port, u8 v) { __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
static void out32(u16 port, u32 v) { __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port)); }

static void config(u32 device, u32 reg, u32 v)
{
	out32(0xcf8, 0x80000000 | device << 11 | reg);
	out32(0xcfc, v);
}

static volatile u32 *reg(const struct nic *n, u32 at) { return (volatile u32 *)(n->regs + at); }
static volatile struct desc *ring(u32 i, u32 tx) { return (volatile struct desc *)(RINGS + i * 0x10000 + tx * 0x8000); }

static void start(struct nic *n, u32 i)
{
	volatile struct desc *rx = ring(i, 0);

	*n = (struct nic){ REGS + i * 0x100000, 0, 0 };
	config(3 + i, 0x10, n->regs);
	config(3 + i, 4, 6);
	for (u32 k = 0; k < DESCS; k++) {
		rx[k].addr = BUFFERS + (i * DESCS + k) * BUFFER;
		rx[k].length = rx[k].status = 0;
	}
	*reg(n, CTRL) |= 1 << 6;
	*reg(n, RDBAL) = (u32)rx;
	*reg(n, RDLEN) = DESCS * 16;
	*reg(n, RDH) = 0;
	*reg(n, RDT) = DESCS - 1;
	*reg(n, TDBAL) = (u32)ring(i, 1);
	*reg(n, TDLEN) = DESCS * 16;
	*reg(n, TDH) = *reg(n, TDT) = 0;
	*reg(n, TCTL) = 2;
	/* all frames, as long as they may be, without the checksum behind them */
	*reg(n, RCTL) = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 15 | 1 << 16 | 1 << 25 | 1 << 26;
}

static void send(struct nic *n, u32 i, u64 addr, u32 len)
{
	volatile struct desc *d = ring(i, 1) + n->tx_at;

	d->addr = addr;
	d->length = len | EOP_IFCS_RS << 24;
	d->status = 0;
	n->tx_at = (n->tx_at + 1) % DESCS;
	*reg(n, TDT) = n->tx_at;
	while (!(d->status & DD))
		__asm__ volatile("pause");
}

static void carry(struct nic *nic, u32 from)
{
	struct nic *n = &nic[from];

	for (u32 k = 0; k < DESCS; k++) {
		volatile struct desc *d = ring(from, 0) + n->rx_at;

		if (!(d->status & DD))
			return;
		send(&nic[!from], !from, d->addr, d->length & 0xffff);
		d->status = 0;
		*reg(n, RDT) = n->rx_at;
		n->rx_at = (n->rx_at + 1) % DESCS;
	}
}

/* It comes at the hlt of rest alone, and goes on behind it without IRET: what emulates 32 bits may not know that one. */
void tick(void);
void rest(void);
__asm__(".text\n"
	"tick:	mov $0x20, %al\n"
	"	out %al, $0x20\n"
	"	add $12, %esp\n"
	"	ret\n"
	"rest:	sti\n"
	"	hlt\n"
	"	jmp .\n");

static void start_timer(void)
{
	static const u8 setup[][2] = { { 0x20, 0x11 }, { 0x21, 0x20 }, { 0x21, 4 }, { 0x21, 1 }, { 0x21, 0xfe }, { 0xa1, 0xff },
		{ 0x43, 0x34 }, { 0x40, 596 & 255 }, { 0x40, 596 >> 8 } };
	struct { u16 limit; u32 base; } __attribute__((packed)) table = { 256 * 8 - 1, IDT };
	volatile u32 *idt = (volatile u32 *)IDT;

	for (u32 i = 0; i < 256; i++) {
		idt[2 * i] = 8 << 16 | ((u32)tick & 0xffff);
		idt[2 * i + 1] = ((u32)tick & 0xffff0000) | 0x8e00;
	}
	__asm__ volatile("lidt %0" : : "m"(table));
	for (u32 i = 0; i < sizeof setup / sizeof setup[0]; i++)
		out8(setup[i][0], setup[i][1]);
}

void run(void);
void run(void)
{
	struct nic nic[NICS];

	for (u32 i = 0; i < NICS; i++)
		start(&nic[i], i);
	start_timer();
	for (;;) {
		rest();
		for (u32 i = 0; i < NICS; i++)
			carry(nic, i);
	}
}

/* From the reset vector to 32 bits; the other processors sleep for good. */
__asm__(".section .reset, \"ax\"\n"
	"	.code16\n"
	"real:	cli\n"
	"	mov $0xf000, %ax\n"
	"	mov %ax, %ds\n"
	"	lgdtl pointer - real + 0xf000\n"
	"	mov %cr0, %eax\n"
	"	or $1, %al\n"
	"	and $0x9fffffff, %eax\n"
	"	mov %eax, %cr0\n"
	"	ljmpl $8, $flat\n"
	"	.balign 8\n"
	"table:	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff\n"
	"pointer: .word 23\n"
	"	.long table\n"
	"	.code32\n"
	"flat:	mov $16, %eax\n"
	"	mov %eax, %ds\n"
	"	mov %eax, %es\n"
	"	mov %eax, %fs\n"
	"	mov %eax, %gs\n"
	"	mov %eax, %ss\n"
	"	mov $0x90000, %esp\n"
	"	call run\n"
	"	.org 0xff0\n"
	"	.code16\n"
	"	ljmp $0xf000, $0xf000\n"
	"	.org 0x1000\n"
	"	.text\n	.code32\n");
