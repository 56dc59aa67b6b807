/* SPDX-License-Identifier: Apache-2.0 */
/* The EEPROM behind EERD and EECD (§5, §13.4.3-4): 64 words. What the guest writes lasts until the power goes. */
#include "hv/dev/e1000_priv.h"

enum { EECD_SK = BIT(0), EECD_CS = BIT(1), EECD_DI = BIT(2), EECD_DO = BIT(3), EECD_FWE = 3u << 4, EECD_REQ = BIT(6),
	EECD_GNT = BIT(7), EECD_PRES = BIT(8) };
enum { EERD_START = BIT(0), EERD_DONE = BIT(4) };
/* start bit, two bits of opcode, six of address; a write then has 16 of data */
enum { COMMAND_BITS = 9, WRITE_BITS = 25, OP_EXTENDED = 4, OP_WRITE = 5, OP_READ = 6, OP_ERASE = 7 };

void e1000_eeprom_init(struct e1000_eeprom *e, const struct env_pci *env)
{
	uint16_t sum = 0;

	*e = (struct e1000_eeprom){ .data_out = true };
	memset(e->word, 0xff, sizeof e->word);
	for (unsigned i = 0; i < 3; i++)
		e->word[i] = get_le16(env->mac + 2 * i);
	memset(&e->word[3], 0, 5 * sizeof e->word[0]);
	e->word[0x04] = 0xffff;
	e->word[0x08] = 0x3000;		/* board assembly number */
	e->word[0x09] = 0x1000;
	e->word[0x0a] = 0x6403;		/* init control 1: signature 01b, ids are loaded from the next words */
	e->word[0x0b] = env->subsystem_device;
	e->word[0x0c] = env->subsystem_vendor;
	e->word[0x0d] = env->device_id;
	e->word[0x0e] = env->vendor_id;
	e->word[0x0f] = 0x3040;		/* init control 2 */
	e->word[0x24] = 0x4d01;		/* init control 3: APM wake-up enabled */
	for (unsigned i = 0; i < E1000_EEPROM_WORDS - 1; i++)
		sum = (uint16_t)(sum + e->word[i]);
	e->word[E1000_EEPROM_WORDS - 1] = (uint16_t)(0xbaba - sum);
}

static void execute(struct e1000_eeprom *e)
{
	unsigned op = e->shift >> 6 & 7, at = e->shift & 63;

	if (op == OP_READ) {
		e->at = (uint8_t)at;
		e->out = e->word[at];
		e->left = 16;
		e->data_out = false;	/* the dummy bit before the data */
	} else if (op == OP_ERASE && e->writable) {
		e->word[at] = 0xffff;
	} else if (op == OP_EXTENDED && at >> 4 != 1 && at >> 4 != 2) {
		e->writable = at >> 4 == 3;
	}
}

static void rising_edge(struct e1000_eeprom *e, bool bit)
{
	if (e->left) {
		e->data_out = e->out >> 15;
		e->out = (uint16_t)(e->out << 1);
		if (!--e->left) {	/* a read goes on with the next word */
			e->at = (uint8_t)((e->at + 1) % E1000_EEPROM_WORDS);
			e->out = e->word[e->at];
			e->left = 16;
		}
		return;
	}
	if ((!e->count && !bit) || e->count == WRITE_BITS)
		return;
	e->shift = e->shift << 1 | bit;
	e->count++;
	if (e->count == COMMAND_BITS)
		execute(e);
	if (e->count == WRITE_BITS && (e->shift >> 22 & 7) == OP_WRITE && e->writable)
		e->word[e->shift >> 16 & 63] = (uint16_t)e->shift;
}

void e1000_eeprom_write_eecd(struct e1000_eeprom *e, uint32_t eecd)
{
	bool select = eecd & EECD_CS, clock = eecd & EECD_SK;

	if (select != e->selected) {
		e->selected = select;
		e->count = 0;
		e->left = 0;
		e->shift = 0;
		e->data_out = true;	/* pulled up; while selected: ready */
	}
	if (select && clock && !e->clock)
		rising_edge(e, eecd & EECD_DI);
	e->clock = clock;
}

uint32_t e1000_eeprom_read_eecd(const struct e1000_eeprom *e, uint32_t eecd)
{
	eecd &= EECD_SK | EECD_CS | EECD_DI | EECD_FWE | EECD_REQ;
	return eecd | EECD_PRES | (eecd & EECD_REQ ? EECD_GNT : 0) | (e->data_out ? EECD_DO : 0);
}

uint32_t e1000_eeprom_read_eerd(const struct e1000_eeprom *e, uint32_t eerd)
{
	unsigned at = eerd >> 8 & 0xff;

	if (!(eerd & EERD_START))
		return eerd & 0xff00;
	return EERD_DONE | (eerd & 0xff00) | (uint32_t)e->word[at % E1000_EEPROM_WORDS] << 16;
}
