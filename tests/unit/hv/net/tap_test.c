/* SPDX-License-Identifier: Apache-2.0 */
/* TAP devices of a network namespace of the test's own; skipped, saying why, where there can be none. */
#include "hv/net/tap.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/unit/hv/net/frames.h"
#include "tests/unit/hv/net/wire_rig.h"

enum { TYPE = 0x88b5 };		/* for local experiments */

static uint8_t frame[NET_FRAME_MAX], got[NET_FRAME_MAX];
static int outside = -1;	/* the namespace to go back to */

static void leave(void)
{
	if (outside >= 0) {
		check_eq(setns(outside, CLONE_NEWNET), 0);
		close(outside);
		outside = -1;
	}
}

/* Into a new namespace; false: not possible here. */
static bool enter(void)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		suite_note("skipped: /dev/net/tun: %s", strerror(errno));
		return false;
	}
	close(fd);
	outside = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (outside < 0 || unshare(CLONE_NEWNET) < 0) {
		suite_note("skipped: no network namespace: %s", strerror(errno));
		close(outside);
		outside = -1;
		return false;
	}
	return true;
}

/* A TAP device as an administrator makes it; or, with keep, its descriptor still attached. */
static int make(const char *name, int flags, bool keep)
{
	struct ifreq ifr = { .ifr_flags = (short)(IFF_TAP | flags) };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	snprintf(ifr.ifr_name, sizeof ifr.ifr_name, "%s", name);
	check_eq(ioctl(fd, TUNSETIFF, &ifr), 0);
	check_eq(ioctl(fd, TUNSETPERSIST, 1), 0);
	if (keep)
		return fd;
	close(fd);
	return -1;
}

/* Once somebody is attached: a device that is up first gets its queue later, and loses frames silently until then. */
static void bring_up(const char *name)
{
	struct ifreq ifr = { .ifr_flags = IFF_UP };
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), sys;
	char path[100];

	snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);	/* it would send frames of its own */
	sys = open(path, O_WRONLY | O_CLOEXEC);
	if (sys >= 0) {
		check_eq(write(sys, "1", 1), 1);
		close(sys);
	}
	snprintf(ifr.ifr_name, sizeof ifr.ifr_name, "%s", name);
	check_eq(ioctl(s, SIOCSIFFLAGS, &ifr), 0);
	close(s);
}

/* The kernel's side of the device, which it brings up. */
static int packet_socket(const char *name)
{
	struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	bring_up(name);		/* binding to a device that is down leaves an error on the socket */
	check_eq(bind(fd, (struct sockaddr *)&ll, sizeof ll), 0);
	return fd;
}

static void exchange(struct wire_rig *w, int fd)
{
	struct virtio_net_hdr_v1 gso = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					 .gso_size = htole16(1448), .hdr_len = htole16(54), .csum_start = htole16(34), .csum_offset = htole16(16) };
	size_t len;

	net_port_set_offload(w->port, 0);
	memset(frame, 0xff, 6);
	memset(frame + 6, 2, 6);
	put_be16(frame + 12, TYPE);
	check_eq(write(fd, frame, 100), 100);
	wire_rig_wait(w, w->frames == 1);
	check_eq(w->len, 100);
	check(!memcmp(w->frame, frame, 100));
	wire_rig_send(w, NULL, frame, 99);
	check_eq(recv(fd, got, sizeof got, 0), 99);
	check(!memcmp(got, frame, 99));
	/* a large frame arrives as one */
	len = frames_make(frame, false, true, 20000);
	frames_make_partial(frame, false, true, len);
	wire_rig_send(w, &gso, frame, len);
	check_eq(recv(fd, got, sizeof got, 0), len);
	/* what TUN has no word for is segmented here */
	len = frames_make(frame, false, false, 2000);
	frames_make_partial(frame, false, false, len);
	gso.gso_type = NET_GSO_UDP_L4;
	gso.gso_size = htole16(1000);
	gso.csum_offset = htole16(6);
	wire_rig_send(w, &gso, frame, len);
	for (unsigned i = 0; i < 2; i++) {
		check_eq(recv(fd, got, sizeof got, 0), 1042);
		check(frames_valid(got, false, false, 1042));
	}
	check_eq(w->port->tx.drops, 0);
}

static void frames_and_offloads_cross_a_device_opened_by_name(void)
{
	struct wire_rig *w;
	struct net_port *p;
	struct err err = { 0 };
	int fd;

	if (!enter())
		return;
	make("hull0", IFF_NO_PI | IFF_VNET_HDR, false);
	w = wire_rig_create();
	check_eq(net_tap_open("hull0", -1, w->loop, &p, &err), 0);
	check_str(err.text, "");
	if (!err.code) {
		wire_rig_connect(w, p);
		check(w->up);
		fd = packet_socket("hull0");
		exchange(w, fd);
		close(fd);
	}
	wire_rig_free(w);
	leave();
}

static void a_descriptor_can_be_handed_over(void)
{
	struct wire_rig *w;
	struct net_port *p;
	int tap, fd;

	if (!enter())
		return;
	tap = make("hull1", IFF_NO_PI | IFF_VNET_HDR, true);
	w = wire_rig_create();
	check_eq(net_tap_open(NULL, tap, w->loop, &p, NULL), 0);
	wire_rig_connect(w, p);
	fd = packet_socket("hull1");
	exchange(w, fd);
	close(fd);
	wire_rig_free(w);
	leave();
}

static void a_refused_frame_waits_in_the_port(void)
{
	struct wire_rig *w;
	struct net_port *p;
	int fd;

	if (!enter())
		return;
	make("hull2", IFF_NO_PI | IFF_VNET_HDR, false);
	w = wire_rig_create();
	check_eq(net_tap_open("hull2", -1, w->loop, &p, NULL), 0);
	wire_rig_connect(w, p);
	fd = packet_socket("hull2");
	w->full = true;
	memset(frame, 0xff, 12);
	put_be16(frame + 12, TYPE);
	for (unsigned i = 0; i < 3; i++)
		check_eq(write(fd, frame, 100 + i), 100 + i);
	wire_rig_wait(w, w->refused == 1);
	wire_rig_round(w);
	check_eq(w->refused, 1);
	w->full = false;
	net_port_resume(w->port);
	check_eq(w->len, 100);
	wire_rig_wait(w, w->frames == 3);
	check_eq(w->bytes, 303);
	close(fd);
	wire_rig_free(w);
	leave();
}

static void refuse(struct wire_rig *w, const char *name, int fd, int code, const char *text)
{
	struct err err = { 0 };
	struct net_port *p;

	check_eq(-net_tap_open(name, fd, w->loop, &p, &err), -code);
	if (!strstr(err.text, text))
		check_str(err.text, text);
}

static void what_is_wrong_is_said(void)
{
	struct wire_rig *w;
	int busy;

	if (!enter())
		return;
	w = wire_rig_create();
	refuse(w, "hull3", -1, -ENODEV, "does not exist: make it with");
	refuse(w, "", -1, -EINVAL, "is no name for a network device");
	refuse(w, "a/b", -1, -EINVAL, "is no name for a network device");
	refuse(w, "sixteenletters01", -1, -EINVAL, "is no name for a network device");
	refuse(w, "lo", -1, -EINVAL, "is not a TAP device");
	busy = make("hull4", IFF_NO_PI | IFF_VNET_HDR, true);
	refuse(w, "hull4", -1, -EBUSY, "in use by another program");
	close(busy);
	refuse(w, NULL, make("hull5", IFF_NO_PI, true), -EINVAL, "with vnet_hdr and without packet information");
	refuse(w, NULL, open("/dev/null", O_RDWR | O_CLOEXEC), -EINVAL, "is not an attached TAP device");
	net_port_free(NULL);
	loop_free(w->loop);
	free(w);
	leave();
}

static const struct test tests[] = {
	{ "frames and offloads cross a device opened by name", frames_and_offloads_cross_a_device_opened_by_name },
	{ "a descriptor can be handed over", a_descriptor_can_be_handed_over },
	{ "a refused frame waits in the port", a_refused_frame_waits_in_the_port },
	{ "what is wrong is said", what_is_wrong_is_said },
	{ NULL, NULL },
};
const struct suite suite_hv_net_tap = { tests };
