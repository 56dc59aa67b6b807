/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/dev/i8042.h"
#include <string.h>
#include "lib/bits.h"

enum {
	STATUS_FULL = 0x01, STATUS_SYSTEM = 0x04, STATUS_COMMAND = 0x08, STATUS_UNLOCKED = 0x10, STATUS_AUX = 0x20,
	STATUS_TIMEOUT = 0x40,
};
enum {
	BYTE_KEYBOARD_IRQ = 0x01, BYTE_MOUSE_IRQ = 0x02, BYTE_SYSTEM = 0x04, BYTE_KEYBOARD_OFF = 0x10, BYTE_MOUSE_OFF = 0x20,
	BYTE_TRANSLATE = 0x40,
};
enum { PORT_RESET_N = 0x01, PORT_A20 = 0x02, PORT_KEYBOARD_IRQ = 0x10, PORT_MOUSE_IRQ = 0x20 };
enum { PORT_IDLE = 0xcf };	/* lines nobody pulls read high */
enum { ACK = 0xfa, RESEND = 0xfe, BAT_OK = 0xaa };

/* Set 2 make code → set 1, as the controller's ROM translates. */
static const uint8_t set1_of[128] = {
	0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
	0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
	0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
	0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
	0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
	0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
	0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
	0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
};

static uint8_t to_set1(uint8_t v)
{
	return v < 128 ? set1_of[v] : v == 0x83 ? 0x41 : v == 0x84 ? 0x54 : v;
}

static uint8_t to_set2(uint8_t set1)
{
	if (set1 == 0x41)
		return 0x83;	/* F7 */
	for (unsigned i = 1; i < sizeof set1_of; i++)
		if (set1_of[i] == set1)
			return (uint8_t)i;
	return 0;
}

/* ---- queues */

static unsigned room(const struct i8042_queue *q) { return I8042_QUEUE - q->count; }

static void put(struct i8042_queue *q, uint8_t v)
{
	if (room(q))
		q->data[(q->head + q->count++) % I8042_QUEUE] = v;
}

static uint8_t take(struct i8042_queue *q)
{
	uint8_t v = q->data[q->head];

	q->head = (q->head + 1) % I8042_QUEUE;
	q->count--;
	return v;
}

/* ---- output buffer */

static void raise(struct i8042 *k)
{
	bool aux = k->out.status & STATUS_AUX;

	irq_set(&k->config.keyboard_irq, k->out.full && !aux && (k->command_byte & BYTE_KEYBOARD_IRQ));
	irq_set(&k->config.mouse_irq, k->out.full && aux && (k->command_byte & BYTE_MOUSE_IRQ));
}

static void show(struct i8042 *k, uint8_t data, uint8_t status)
{
	k->out.data = data;
	k->out.status = status;
	k->out.full = true;
}

/* A key code on its way through the translator; false when it only changes what follows (the 0xf0 prefix). */
static bool translate(struct i8042 *k, uint8_t *v)
{
	if (!(k->command_byte & BYTE_TRANSLATE))
		return true;
	if (*v == 0xf0) {
		k->key.break_prefix = true;
		return false;
	}
	*v = to_set1(*v) | (k->key.break_prefix ? 0x80 : 0);
	k->key.break_prefix = false;
	return true;
}

static void send_packet(struct i8042 *k);

/* Fill the empty output buffer from whoever has something: controller, keyboard, mouse. */
static void load(struct i8042 *k)
{
	uint8_t v;

	if (!k->out.full && k->reply.full) {
		k->reply.full = false;
		show(k, k->reply.data, k->reply.status);
	}
	while (!k->out.full && k->key.queue.count && !(k->command_byte & BYTE_KEYBOARD_OFF)) {
		k->key.last = v = take(&k->key.queue);
		if (translate(k, &v))
			show(k, v, 0);
	}
	if (!k->out.full && !k->mouse.queue.count)
		send_packet(k);
	if (!k->out.full && k->mouse.queue.count && !(k->command_byte & BYTE_MOUSE_OFF)) {
		k->mouse.last = v = take(&k->mouse.queue);
		show(k, v, STATUS_AUX);
	}
	raise(k);
}

static void reply(struct i8042 *k, uint8_t data, uint8_t status)
{
	k->reply.data = data;
	k->reply.status = status;
	k->reply.full = true;
}

/* ---- keyboard */

static void key_defaults(struct i8042 *k)
{
	k->key.set = 2;
	k->key.pending = 0;
	k->key.break_prefix = false;
}

static void key_parameter(struct i8042 *k, uint8_t command, uint8_t v)
{
	struct i8042_queue *q = &k->key.queue;

	put(q, ACK);
	if (command == 0xed)
		k->key.leds = v & 7;
	else if (command == 0xf0 && !v)
		put(q, k->key.set);
	else if (command == 0xf0 && v <= 3)
		k->key.set = v;
}

static void key_command(struct i8042 *k, uint8_t v)
{
	struct i8042_queue *q = &k->key.queue;

	switch (v) {
	case 0xed: case 0xf0: case 0xf3: case 0xfb: case 0xfc: case 0xfd:
		k->key.pending = v;
		put(q, ACK);
		break;
	case 0xee:
		put(q, 0xee);
		break;
	case 0xf2:
		put(q, ACK);
		put(q, 0xab);
		put(q, 0x83);
		break;
	case 0xf4: case 0xf5: case 0xf6:
		if (v != 0xf4)
			key_defaults(k);
		if (v != 0xf6)
			k->key.scanning = v == 0xf4;
		put(q, ACK);
		break;
	case 0xf7: case 0xf8: case 0xf9: case 0xfa:
		put(q, ACK);
		break;
	case 0xfe:
		put(q, k->key.last);
		break;
	case 0xff:
		key_defaults(k);
		k->key.leds = 0;
		k->key.scanning = true;
		put(q, ACK);
		put(q, BAT_OK);
		break;
	default:
		put(q, RESEND);
	}
}

static void key_write(struct i8042 *k, uint8_t v)
{
	uint8_t pending = k->key.pending;

	if (!k->config.keyboard) {
		reply(k, RESEND, STATUS_TIMEOUT);
		return;
	}
	k->key.pending = 0;
	if (v != RESEND) {	/* a byte from the host makes the keyboard forget what it wanted to send */
		k->key.queue.count = 0;
		k->key.break_prefix = false;
	}
	if (pending && v < 0xed)
		key_parameter(k, pending, v);
	else
		key_command(k, v);
}

void i8042_key(struct i8042 *k, uint16_t code, bool down)
{
	struct i8042_queue *q = &k->key.queue;
	uint8_t set1 = code & 0x7f;

	if (!k->config.keyboard || !k->key.scanning || room(q) < 3)
		return;
	if (code >> 8 == 0xe0)
		put(q, 0xe0);
	if (k->key.set == 1) {
		put(q, set1 | (down ? 0 : 0x80));
	} else {
		if (!down)
			put(q, 0xf0);
		put(q, to_set2(set1));
	}
	load(k);
}

/* ---- mouse */

static void mouse_defaults(struct i8042 *k)
{
	k->mouse.rate = 100;
	k->mouse.resolution = 2;
	k->mouse.reporting = k->mouse.remote = k->mouse.scale2 = k->mouse.wrap = false;
	k->mouse.dx = k->mouse.dy = k->mouse.dz = 0;
	k->mouse.pending = 0;
}

static int clamp(int v, int most)
{
	return v > most ? most : v < -most ? -most : v;
}

static void put_packet(struct i8042 *k)
{
	int x = clamp(k->mouse.dx, 255), y = clamp(k->mouse.dy, 255), z = clamp(k->mouse.dz, 7);
	unsigned first = 0x08u | (k->mouse.buttons & 7) | (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0);

	put(&k->mouse.queue, (uint8_t)first);
	put(&k->mouse.queue, (uint8_t)x);
	put(&k->mouse.queue, (uint8_t)y);
	if (k->mouse.id)
		put(&k->mouse.queue, (uint8_t)(k->mouse.id == 4 ? z & 15 : z));
	else
		z = k->mouse.dz;
	k->mouse.dx -= x;
	k->mouse.dy -= y;
	k->mouse.dz -= z;
	k->mouse.sent_buttons = k->mouse.buttons;
}

/* Report what is new since the last packet, once the guest has read that one. */
static void send_packet(struct i8042 *k)
{
	bool news = k->mouse.dx || k->mouse.dy || k->mouse.dz || k->mouse.buttons != k->mouse.sent_buttons;

	if (news && k->mouse.reporting && !k->mouse.remote && !k->mouse.wrap)
		put_packet(k);
}

/* Rates 200, 100, 80 make it a wheel mouse (id 3); 200, 200, 80 then one with five buttons (id 4). */
static void knock(struct i8042 *k, uint8_t rate)
{
	uint8_t *n = k->mouse.knock;

	n[0] = n[1];
	n[1] = n[2];
	n[2] = rate;
	if (n[0] == 200 && n[1] == 100 && n[2] == 80)
		k->mouse.id = 3;
	else if (k->mouse.id == 3 && n[0] == 200 && n[1] == 200 && n[2] == 80)
		k->mouse.id = 4;
}

static void mouse_parameter(struct i8042 *k, uint8_t command, uint8_t v)
{
	put(&k->mouse.queue, ACK);
	if (command == 0xe8) {
		k->mouse.resolution = v & 3;
	} else {
		k->mouse.rate = v;
		knock(k, v);
	}
}

static void mouse_status(struct i8042 *k)
{
	struct i8042_queue *q = &k->mouse.queue;
	unsigned b = k->mouse.buttons;

	put(q, (uint8_t)((k->mouse.remote ? 0x40 : 0) | (k->mouse.reporting ? 0x20 : 0) | (k->mouse.scale2 ? 0x10 : 0) |
			 (b & 1) << 2 | (b & 4) >> 1 | (b & 2) >> 1));
	put(q, k->mouse.resolution);
	put(q, k->mouse.rate);
}

static void mouse_command(struct i8042 *k, uint8_t v)
{
	struct i8042_queue *q = &k->mouse.queue;

	switch (v) {
	case 0xe6: case 0xe7:
		k->mouse.scale2 = v == 0xe7;
		break;
	case 0xe8: case 0xf3:
		k->mouse.pending = v;
		break;
	case 0xe9:
		mouse_status(k);
		break;
	case 0xea: case 0xf0:
		k->mouse.remote = v == 0xf0;
		break;
	case 0xeb:
		put_packet(k);
		break;
	case 0xee:
		k->mouse.wrap = true;
		break;
	case 0xf2:
		put(q, k->mouse.id);
		break;
	case 0xf4: case 0xf5:
		k->mouse.reporting = v == 0xf4;
		break;
	case 0xf6:
		mouse_defaults(k);
		break;
	case 0xff:
		mouse_defaults(k);
		k->mouse.id = 0;
		put(q, BAT_OK);
		put(q, 0);
		break;
	}
}

static void mouse_write(struct i8042 *k, uint8_t v)
{
	struct i8042_queue *q = &k->mouse.queue;
	uint8_t pending = k->mouse.pending;

	if (!k->config.mouse) {
		reply(k, RESEND, STATUS_AUX | STATUS_TIMEOUT);
		return;
	}
	k->mouse.pending = 0;
	if (v == RESEND) {
		put(q, k->mouse.last);
		return;
	}
	q->count = 0;
	if (k->mouse.wrap && v != 0xec && v != 0xff) {
		put(q, v);
		return;
	}
	k->mouse.wrap = false;
	if (pending) {
		mouse_parameter(k, pending, v);
		return;
	}
	if (v < 0xe6 || (v > 0xf0 && v < 0xf2) || v == 0xed || v == 0xef || (v > 0xf6 && v < 0xfe)) {
		put(q, RESEND);
		return;
	}
	put(q, ACK);
	mouse_command(k, v);
}

void i8042_mouse(struct i8042 *k, int dx, int dy, int dz, unsigned buttons)
{
	if (!k->config.mouse)
		return;
	k->mouse.dx = clamp(k->mouse.dx + clamp(dx, 4096), 4096);
	k->mouse.dy = clamp(k->mouse.dy + clamp(dy, 4096), 4096);
	k->mouse.dz = clamp(k->mouse.dz + clamp(dz, 64), 64);
	k->mouse.buttons = buttons & 7;
	load(k);
}

/* ---- controller */

static uint8_t output_port(const struct i8042 *k)
{
	bool aux = k->out.status & STATUS_AUX;

	return (uint8_t)(k->output_port | (k->out.full && !aux ? PORT_KEYBOARD_IRQ : 0) | (k->out.full && aux ? PORT_MOUSE_IRQ : 0));
}

static void command(struct i8042 *k, uint8_t v)
{
	k->pending = 0;
	switch (v) {
	case 0x20:
		reply(k, k->command_byte, 0);
		break;
	case 0x60: case 0xd1: case 0xd2: case 0xd3: case 0xd4:
		k->pending = v;
		break;
	case 0xa4:
		reply(k, 0xf1, 0);	/* no password */
		break;
	case 0xa7:
		k->command_byte |= BYTE_MOUSE_OFF;
		break;
	case 0xa8:
		k->command_byte &= (uint8_t)~BYTE_MOUSE_OFF;
		break;
	case 0xa9: case 0xab: case 0xe0:
		reply(k, 0, 0);		/* interface tests passed; test inputs low */
		break;
	case 0xaa:
		k->command_byte |= BYTE_SYSTEM;
		reply(k, 0x55, 0);
		break;
	case 0xad:
		k->command_byte |= BYTE_KEYBOARD_OFF;
		break;
	case 0xae:
		k->command_byte &= (uint8_t)~BYTE_KEYBOARD_OFF;
		break;
	case 0xc0:
		reply(k, 0x80, 0);	/* input port: keyboard not locked */
		break;
	case 0xd0:
		reply(k, output_port(k), 0);
		break;
	case 0xdd: case 0xdf:
		k->output_port = (uint8_t)((k->output_port & ~PORT_A20) | (v & PORT_A20));
		break;
	case 0xf0: case 0xf2: case 0xf4: case 0xf6: case 0xf8: case 0xfa: case 0xfc: case 0xfe:	/* pulse the bits that are 0 */
		k->config.reset(k->config.ctx);
		return;
	}
	load(k);
}

static void data(struct i8042 *k, uint8_t v)
{
	uint8_t pending = k->pending;

	k->pending = 0;
	switch (pending) {
	case 0x60:
		k->command_byte = v;
		break;
	case 0xd1:
		k->output_port = v & PORT_IDLE;
		if (!(v & PORT_RESET_N)) {
			k->output_port |= PORT_RESET_N;
			k->config.reset(k->config.ctx);
			return;
		}
		break;
	case 0xd2:
		reply(k, v, 0);
		break;
	case 0xd3:
		reply(k, v, STATUS_AUX);
		break;
	case 0xd4:
		k->command_byte &= (uint8_t)~BYTE_MOUSE_OFF;
		mouse_write(k, v);
		break;
	default:
		k->command_byte &= (uint8_t)~BYTE_KEYBOARD_OFF;
		key_write(k, v);
	}
	load(k);
}

static uint64_t data_read(void *ctx, uint64_t off, unsigned size)
{
	struct i8042 *k = ctx;
	uint8_t v = k->out.data;

	if (k->out.full) {
		k->out.full = false;
		raise(k);	/* an edge for each byte */
		load(k);
	}
	return v;
}

static void data_write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	data(ctx, (uint8_t)val);
}

static uint64_t command_read(void *ctx, uint64_t off, unsigned size)
{
	struct i8042 *k = ctx;

	return STATUS_UNLOCKED | STATUS_COMMAND | (k->command_byte & BYTE_SYSTEM ? STATUS_SYSTEM : 0) |
	       (k->out.full ? STATUS_FULL | k->out.status : 0);
}

static void command_write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	command(ctx, (uint8_t)val);
}

const struct bus_ops i8042_data_ops = { .read = data_read, .write = data_write };
const struct bus_ops i8042_command_ops = { .read = command_read, .write = command_write };

void i8042_reset(struct i8042 *k)
{
	struct i8042_config config = k->config;

	*k = (struct i8042){ .config = config, .command_byte = BYTE_KEYBOARD_IRQ | BYTE_MOUSE_IRQ,
			     .output_port = PORT_IDLE };
	key_defaults(k);
	k->key.scanning = true;
	mouse_defaults(k);
	raise(k);
}

void i8042_init(struct i8042 *k, const struct i8042_config *config)
{
	k->config = *config;
	i8042_reset(k);
}
