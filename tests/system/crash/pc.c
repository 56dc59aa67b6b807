/* SPDX-License-Identifier: Apache-2.0 */
#include "guest.h"

enum { COM1 = 0x3f8, CONFIG_ADDRESS = 0xcf8, CONFIG_DATA = 0xcfc };

static void out8(uint16_t port, uint8_t v) { __asm__ volatile("out %0, %1" : : "a"(v), "d"(port)); }
static void out32(uint16_t port, uint32_t v) { __asm__ volatile("out %0, %1" : : "a"(v), "d"(port)); }

static uint8_t in8(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("in %1, %0" : "=a"(v) : "d"(port));
	return v;
}

static uint32_t in32(uint16_t port)
{
	uint32_t v;

	__asm__ volatile("in %1, %0" : "=a"(v) : "d"(port));
	return v;
}

/* Only message interrupts: both PICs are masked, the local APIC is on. */
void pc_start(void)
{
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
	mmio_write32(0xfee000f0, 0x1ff);
	mmio_write32(0xfee00080, 0);
	out8(COM1 + 3, 3);
}

void pc_halt(void)
{
	__asm__ volatile("sti; hlt; cli" : : : "memory");
}

static void say_byte(char c)
{
	while (!(in8(COM1 + 5) & 0x20))
		;
	out8(COM1, (uint8_t)c);
}

void say(const char *text)
{
	while (*text)
		say_byte(*text++);
}

void say_number(uint64_t n)
{
	char digits[21];
	unsigned i = sizeof digits;

	digits[--i] = 0;
	do
		digits[--i] = (char)('0' + n % 10);
	while (n /= 10);
	say(digits + i);
}

void stop(const char *why)
{
	say("E ");
	say(why);
	say("\n");
	for (;;)
		__asm__ volatile("cli; hlt");
}

uint32_t pci_read(uint32_t function, unsigned reg)
{
	out32(CONFIG_ADDRESS, function | reg);
	return in32(CONFIG_DATA);
}

void pci_write(uint32_t function, unsigned reg, uint32_t value)
{
	out32(CONFIG_ADDRESS, function | reg);
	out32(CONFIG_DATA, value);
}

unsigned pci_capability(uint32_t function, unsigned id, unsigned after)
{
	unsigned at = after ? pci_read(function, after) >> 8 : pci_read(function, 0x34);

	for (at &= 0xfc; at; at = pci_read(function, at) >> 8 & 0xfc) {
		if ((pci_read(function, at) & 0xff) == id)
			return at;
	}
	return 0;
}

/* The compiler may call these wherever it likes. */
void *memset(void *to, int c, size_t n)
{
	void *begin = to;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(c) : "memory");
	return begin;
}

void *memcpy(void *to, const void *from, size_t n)
{
	void *begin = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	return begin;
}
