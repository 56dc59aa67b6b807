/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Helper of tests/system/hv-l2.sh: one gateway of one server's NIC, with its LAN on a TAP device.
 *   hv_l2_gateway IDENTITY LMA SERVER NIC SEGMENT relay|direct ADDRESS TAP [no-tickets]
 * Gets tickets from hull-lma, keeps the path, and carries frames; "active" and "passive" on standard output. SIGTERM ends it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "crypto/identity_folder.h"
#include "crypto/lmaclient.h"
#include "crypto/secret.h"
#include "crypto/tls.h"
#include "lib/l2/gateway.h"
#include "lib/link/relay.h"
#include "lib/log.h"
#include "lib/scope.h"

enum { TICKETS = 16, FEW = 4 };

static struct {
	struct loop *loop;
	struct loop_timer *timer;
	struct identity id;
	struct l2_gateway *gateway;
	const char *lma, *server, *nic, *relay_name;
	char *tickets[TICKETS];
	unsigned count;
	int tap;
	struct { uint8_t room[FRAME_HEADROOM]; uint8_t frame[FRAME_MAX]; } in;
} g;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "hv_l2_gateway: %s: %s\n", what, why);
	exit(1);
}

/* ---- tickets: asked for while nothing depends on the answer's speed */

static void fetch(void)
{
	struct lmaclient *client;
	struct err err = { .text = "" };
	json_t *ok = NULL, *t;
	size_t i;

	if (lmaclient_open(g.lma, &g.id, NULL, &client, &err))
		die("hull-lma", err.text);
	if (lmaclient_call(client, json_pack("{s:s s:s s:s s:i}", "do", "ticket", "callee", g.server, "nic", g.nic, "count",
			   TICKETS - (int)g.count), &ok, &err))
		die("tickets", err.text);
	json_array_foreach(json_object_get(ok, "tickets"), i, t)
		if (g.count < TICKETS)
			g.tickets[g.count++] = strdup(json_string_value(t));
	json_decref(ok);
	lmaclient_close(client);
}

static void refill(void *ctx)
{
	if (g.count < FEW)
		fetch();
	loop_timer_arm(g.timer, loop_now_ns() + 100000000);
}

static char *ticket(void *ctx) { return g.count ? g.tickets[--g.count] : NULL; }

/* ---- the LAN */

static void on_tap(void *ctx, int fd, uint32_t events)
{
	static struct { struct virtio_net_hdr_v1 hdr; uint8_t frame[FRAME_MAX]; } buf;

	for (;;) {
		ssize_t n = read(fd, &buf, sizeof buf);
		struct frame f = { .hdr = buf.hdr, .data = g.in.frame };

		if (n < (ssize_t)sizeof buf.hdr)
			return;
		f.len = (size_t)n - sizeof buf.hdr;
		memcpy(f.data, buf.frame, f.len);
		if (frame_parse(&f) == FRAME_OK)
			l2_gateway_send(g.gateway, &f);
	}
}

static void on_frame(void *ctx, struct frame *f)
{
	struct iovec iov[2] = { { &f->hdr, sizeof f->hdr }, { f->data, f->len } };

	if (writev(g.tap, iov, 2) < 0)
		log_limited(LOG_WARN, "tap: %s", strerror(errno));
}

static void on_active(void *ctx, bool active)
{
	puts(active ? "active" : "passive");
	fflush(stdout);
}

static void open_tap(const char *name)
{
	struct ifreq ifr = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR) };
	int size = sizeof(struct virtio_net_hdr_v1);

	snprintf(ifr.ifr_name, sizeof ifr.ifr_name, "%s", name);
	g.tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (g.tap < 0 || ioctl(g.tap, TUNSETIFF, &ifr) || ioctl(g.tap, TUNSETVNETHDRSZ, &size) ||
	    ioctl(g.tap, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6))
		die(name, strerror(errno));
}

/* ---- the whole */

/* What the links' secrets are, for a test that looks for them elsewhere. */
static void on_secret(const SSL *ssl, const char *line)
{
	FILE *f = fopen(getenv("KEYLOG"), "ae");

	if (!f || fprintf(f, "%s\n", line) < 0 || fclose(f))
		die("KEYLOG", strerror(errno));
}

static void start(bool relay, const char *segment, const char *address, bool tickets)
{
	static const struct l2_gateway_ops ops = { .frame = on_frame, .active = on_active };
	struct tls_config tls = { .alpn = "hull-l2/1", .ca = g.id.ca, .crl = g.id.crl, .cert = g.id.cert, .key = g.id.key };
	struct l2_gateway_config c = { .server = g.server, .nic = g.nic, .segment = segment, .lanes = 2,
		.ticket = tickets ? ticket : NULL };
	struct pki_id who;
	struct err err = { .text = "" };

	if (cert_id(g.id.cert, &who, &err) || tls_create(&tls, &c.tls, &err))
		die("identity", err.text);
	if (getenv("KEYLOG"))
		SSL_CTX_set_keylog_callback(c.tls, on_secret);
	tls.alpn = RELAY_ALPN;
	if (tls_create(&tls, &c.tls_relay, &err))
		die("identity", err.text);
	c.gateway = who.name;
	if (relay)
		c.relay[0] = address;
	else
		c.direct = address;
	if (l2_gateway_create(g.loop, &c, &ops, NULL, &g.gateway, &err))
		die("gateway", err.text);
	SSL_CTX_free(c.tls);
	SSL_CTX_free(c.tls_relay);
}

static void on_signal(int number) { loop_stop(g.loop); }

int main(int argc, char **argv)
{
	struct loop_watch *watch;
	struct err err = { .text = "" };
	bool tickets = argc == 9;

	if (argc != 9 && argc != 10)
		die("usage", "IDENTITY LMA SERVER NIC SEGMENT relay|direct ADDRESS TAP [no-tickets]");
	secret_harden();
	log_init("gateway", LOG_INFO);
	g.lma = argv[2];
	g.server = argv[3];
	g.nic = argv[4];
	if (identity_load(argv[1], &g.id, &err) || loop_create(&g.loop, &err))
		die("start", err.text);
	open_tap(argv[8]);
	if (tickets)
		fetch();
	signal(SIGTERM, on_signal);
	start(!strcmp(argv[6], "relay"), argv[5], argv[7], tickets);
	if (loop_timer_create(g.loop, refill, NULL, &g.timer) || loop_watch_add(g.loop, g.tap, EPOLLIN, on_tap, NULL, &watch))
		die("loop", "out of memory");
	if (tickets)
		loop_timer_arm(g.timer, 0);
	if (loop_run(g.loop))
		return 1;
	l2_gateway_free(g.gateway);
	return 0;
}
