/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A macvtap device, made by `ip link add link IF name NAME type macvtap mode passthru`: the whole of an interface, without a
 * bridge.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "lcg/lan_priv.h"
#include "lib/log.h"
#include "lib/scope.h"

/* Other modes show a device frames for its own MAC only, and the servers' are others. */
static int check(struct lan *lan, const struct netdev *dev, struct err *err)
{
	const char *name = lan->config.device;

	if (!dev)
		return err_set(err, -ENODEV, "network device %s does not exist: make it with "
			"`ip link add link IF name %s type macvtap mode passthru`", name, name);
	if (strcmp(dev->kind, "macvtap"))
		return err_set(err, -EINVAL, "network device %s is no macvtap device", name);
	if (dev->macvlan_mode != MACVLAN_MODE_PASSTHRU)
		return err_set(err, -EINVAL, "network device %s: gets frames for its own MAC only: make it with mode passthru", name);
	return 0;
}

/* Numbers of interfaces are a network namespace's own, /dev may be many namespaces': is it this one's? */
static bool is_its_own(const struct lan *lan)
{
	char path[80 + IFNAMSIZ];
	auto_fclose FILE *f = NULL;
	unsigned major_, minor_;
	struct stat st;

	snprintf(path, sizeof path, "/sys/class/net/%s/tap%d/dev", lan->config.device, lan->index);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%u:%u", &major_, &minor_) != 2)
		return true;
	return !fstat(lan->fd, &st) && major(st.st_rdev) == major_ && minor(st.st_rdev) == minor_;
}

static int open_device(struct lan *lan, struct err *err)
{
	struct ifreq r = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR) };
	char path[32];

	snprintf(path, sizeof path, "/dev/tap%d", lan->index);
	lan->fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (lan->fd < 0)
		return err_set(err, -errno, "network device %s: %s: %m%s", lan->config.device, path, errno != ENOENT ? "" :
			": make it with mknod, as /sys/class/net/NAME/tap*/dev says");
	if (!is_its_own(lan))
		return err_set(err, -ENODEV, "network device %s: %s belongs to another one: make it anew with mknod, as "
			"/sys/class/net/%s/tap%d/dev says", lan->config.device, path, lan->config.device, lan->index);
	if (ioctl(lan->fd, TUNSETIFF, &r) < 0)
		return err_set(err, -errno, "network device %s: cannot attach: %m", lan->config.device);
	return 0;
}

static int open_macvtap(struct lan *lan, struct err *err)
{
	const struct netdev *dev = netdevs_find(lan->devs, lan->config.device);
	int rc = check(lan, dev, err);

	if (rc)
		return rc;
	lan->index = dev->index;
	rc = open_device(lan, err);
	return rc ? rc : lan_tun_start(lan, err);
}

const struct lan_ops lan_macvtap_ops = { .name = "macvtap", .open = open_macvtap, .send = lan_tun_send, .close = lan_tun_stop };
