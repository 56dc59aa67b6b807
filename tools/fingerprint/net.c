/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/fingerprint/source.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <limits.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/scope.h"

#define INTERFACES "/sys/class/net"

/* The address burnt into the adapter, which an administrator cannot change. */
static void permanent_fact(const struct source *s, const char *prefix, const char *name)
{
	union {
		struct ethtool_perm_addr head;
		uint8_t bytes[sizeof(struct ethtool_perm_addr) + 32];
	} answer = {0};
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char text[32 * 3 + 1] = "";
	struct ifreq request = {0};

	if (fd < 0 || !source_live(s) || strlen(name) >= IFNAMSIZ)
		return;
	answer.head.cmd = ETHTOOL_GPERMADDR;
	answer.head.size = 32;
	strcpy(request.ifr_name, name);
	request.ifr_data = (void *)&answer;
	if (ioctl(fd, SIOCETHTOOL, &request) || !answer.head.size || answer.head.size > 32)
		return;
	for (unsigned i = 0; i < answer.head.size; i++)
		sprintf(text + strlen(text), "%s%02x", i ? ":" : "", answer.head.data[i]);
	source_add(s, prefix, "permanent_mac", "%s", text);
}

static unsigned mask_bits(const struct sockaddr *mask)
{
	const unsigned char *p = mask->sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)mask)->sin6_addr.s6_addr
							     : (const void *)&((const struct sockaddr_in *)mask)->sin_addr;
	unsigned bits = 0, bytes = mask->sa_family == AF_INET6 ? 16 : 4;

	for (unsigned i = 0; i < bytes; i++)
		bits += (unsigned)__builtin_popcount(p[i]);
	return bits;
}

/* Link-local IPv6 addresses follow from the MAC and come and go with the link: the MAC is the fact. */
static void address_facts(const struct source *s)
{
	struct ifaddrs *list, *a;

	if (!source_live(s) || getifaddrs(&list))
		return;
	for (a = list; a; a = a->ifa_next) {
		char key[PATH_MAX], text[INET6_ADDRSTRLEN];
		int family = a->ifa_addr ? a->ifa_addr->sa_family : AF_UNSPEC;
		const void *raw;

		if (family == AF_INET6) {
			raw = &((struct sockaddr_in6 *)a->ifa_addr)->sin6_addr;
			if (IN6_IS_ADDR_LINKLOCAL((const struct in6_addr *)raw))
				continue;
		} else if (family == AF_INET) {
			raw = &((struct sockaddr_in *)a->ifa_addr)->sin_addr;
		} else {
			continue;
		}
		snprintf(key, sizeof(key), "net.%s.ip", a->ifa_name);
		if (a->ifa_netmask && inet_ntop(family, raw, text, sizeof(text)))
			facts_add(s->facts, key, "%s/%u", text, mask_bits(a->ifa_netmask));
	}
	freeifaddrs(list);
}

static void device_facts(const struct source *s, const char *prefix, const char *folder)
{
	char path[PATH_MAX], *base;

	if (!source_resolve(s, path, sizeof(path), "%s/device", folder))
		return;
	base = strrchr(path, '/');
	source_add(s, prefix, "bus_path", "%s", base ? base + 1 : path);
	if (source_link(s, path, sizeof(path), "%s/device/driver", folder))
		source_add(s, prefix, "driver", "%s", path);
}

void collect_net(const struct source *s)
{
	static const char *const files[] = {
		"address", "addr_assign_type", "name_assign_type", "broadcast", "mtu",		"type",	   "carrier", "speed",
		"duplex",  "operstate",	       "dev_id",	   "dev_port",	"tx_queue_len", "ifalias", NULL};
	struct names n = source_list(s, INTERFACES);

	for (size_t i = 0; i < n.count; i++) {
		char prefix[PATH_MAX], folder[PATH_MAX], device[64];
		auto_free char *index = source_read(s, NULL, INTERFACES "/%s/ifindex", n.list[i]);

		if (!index) /* a file such as bonding_masters */
			continue;
		snprintf(prefix, sizeof(prefix), "net.%s", n.list[i]);
		snprintf(folder, sizeof(folder), INTERFACES "/%s", n.list[i]);
		snprintf(device, sizeof(device), "n%u", (unsigned)strtoul(index, NULL, 10));
		source_facts(s, prefix, folder, files);
		permanent_fact(s, prefix, n.list[i]);
		device_facts(s, prefix, folder);
		source_udev_facts(s, prefix, device);
	}
	names_free(&n);
	address_facts(s);
}
