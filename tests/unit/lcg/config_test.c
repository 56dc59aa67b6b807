/* SPDX-License-Identifier: Apache-2.0 */
#include "lcg/config.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "lib/env/env.h"
#include "tests/unit/suite.h"

static const char base[] = "identity = /id\nlan.home = packet:eth0\n";

static char *path_of(const char *name)
{
	char *path = strdup(suite_tmp(name));

	CU_ASSERT_FATAL(path != NULL);
	return path;
}

static void write_file(const char *name, const void *data, size_t len)
{
	char *path = path_of(name);
	FILE *f = fopen(path, "w");

	CU_ASSERT_FATAL(f != NULL);
	check_eq(fwrite(data, 1, len, f), len);
	fclose(f);
	free(path);
}

static int read_text(const char *text, struct lcg_config **c, struct err *err)
{
	char *path = path_of("gw.conf");
	int rc;

	write_file("gw.conf", text, strlen(text));
	rc = lcg_config_read(path, c, err);
	unlink(path);
	free(path);
	return rc;
}

/* The message behind the file's name. */
static void refuses(const char *more, int code, const char *message)
{
	struct lcg_config *c;
	struct err err;
	char text[4096];
	const char *said;

	snprintf(text, sizeof text, "%s%s", base, more);
	check_eq(read_text(text, &c, &err), code);
	check(!c);
	said = strstr(err.text, "gw.conf: ");
	check_str(said ? said + 9 : err.text, message);
}

static void reads_lans_and_segments(void)
{
	struct lcg_config *c;
	struct err err;
	const char *text = "name = gw1\nidentity = /id\nlma = lma:7440\ncontrol = /run/gw.sock\npriority = 7\n"
		"lan.home = tap:hull0,bridge:br0\nlan.home.uplink = eth1\nlan.more = macvtap:mv0\n"
		"segment.office = home\nsegment.lab = home vlan 20\nsegment.lab.mirror = pcap:/tmp/x.pcap\nsegment.lab.suppress = on\n"
		"segment.all = more trunk\nsegment.all.mirror = tap:ids0\n";

	if (read_text(text, &c, &err))
		suite_note("%s", err.text);
	CU_ASSERT_FATAL(c != NULL);
	check_str(c->name, "gw1");
	check_eq(c->priority, 7);
	check_eq(c->lans, 2);
	check(c->lan[0].kind == LAN_TAP && c->lan[1].kind == LAN_MACVTAP);
	check_str(c->lan[0].bridge, "br0");
	check_str(c->lan[0].uplink, "eth1");
	check_eq(c->segments, 3);
	check(c->segment[0].vid == FRAME_NO_VID && !c->segment[0].trunk && c->segment[1].vid == 20 && c->segment[2].trunk);
	check(c->segment[1].suppress && c->segment[1].mirror == MIRROR_PCAP && c->segment[2].mirror == MIRROR_TAP);
	check_str(c->segment[2].mirror_to, "ids0");
	check_eq(c->segment[2].lan, 1);
	lcg_config_free(c);
}

static void says_what_is_wrong(void)
{
	refuses("", -EINVAL, "has no segment: write lan.NAME = … and segment.NAME = LAN");
	refuses("segment.a = office\n", -ENOENT, "segment.a: there is no LAN \"office\": write lan.office = …");
	refuses("segment.a = home vlan 4095\n", -EINVAL, "segment.a: vlan \"4095\" is not 1 to 4094");
	refuses("segment.a = home vlan 0\n", -EINVAL, "segment.a: vlan \"0\" is not 1 to 4094");
	refuses("segment.a = home vlan\n", -EINVAL,
		"segment.a: \"vlan\": behind the LAN stands nothing (untagged), \"vlan N\" or \"trunk\"");
	refuses("segment.a = home\nsegment.b = home\n", -EEXIST, "segment.b: segment.a has these frames of home already");
	refuses("segment.a = home vlan 3\nsegment.b = home trunk\n", -EINVAL,
		"segment.b: a trunk has its LAN alone, and segment.a is on home too");
	refuses("segment.a = home\nsegment.a.mirror = disk\n", -EINVAL, "segment.a: mirror: \"disk\" is neither pcap:PATH nor tap:DEVICE");
	refuses("segment.a = home\nsegment.a.suppress = yes\n", -EINVAL, "segment.a: suppress: \"yes\" is neither on nor off");
	refuses("segment.a = home\nsegment.a.mirrow = pcap:x\n", -EINVAL,
		"line 4: segment.a.mirrow is no key of a gateway, or belongs to nothing here");
	refuses("segment.a = home\nlan.b = bridge:br0\n", -EINVAL,
		"lan.b: \"bridge\" is none of tap:DEVICE[,bridge:BRIDGE], packet:INTERFACE, macvtap:INTERFACE");
	refuses("lan.b = packet:a/b\n", -EINVAL,
		"lan.b: \"a/b\" is no name for a network device: 1 to 15 characters without '/', ':' and blanks");
	refuses("lan.b = packet:eth1,bridge:br0\n", -EINVAL,
		"lan.b: \"bridge:br0\": only a tap has something behind a comma, bridge:BRIDGE");
	refuses("lan.b = packet:eth0\n", -EEXIST, "lan.b: device eth0 is lan.home already");
	refuses("priority = high\n", -EINVAL, "priority: \"high\" is not 0 to 1000000");
	refuses("server.a.environment = x\n", -EINVAL, "server.a.environment: needs server.a.placement = FILE, too");
	refuses("segment.a = home\nserver.a.placement = x\n", -EINVAL,
		"line 4: server.a.placement is no key of a gateway, or belongs to nothing here");
}

/* ---- servers */

static const char dts[] = "/dts-v1/;\n/ { compatible = \"hull,environment-1\"; hostname = \"Web1\";"
	"uuid = \"4c4c4544-0037-4a10-8052-b4c04f4d3137\"; firmware = \"bios\"; clock = \"utc\";"
	"cpu { sockets = <1>; cores = <1>; threads = <1>; vendor = \"AuthenticAMD\"; model-name = \"x\"; family = <15>; model = <6>;"
	"stepping = <1>; phys-bits = <40>; max-leaf = <13>; max-ext-leaf = <0x80000008>; features = \"fpu\", \"tsc\", \"msr\", \"lm\"; };"
	"memory { size = /bits/ 64 <0x10000000>; }; chipset { model = \"q35\"; serial0; };"
	"pci { net@3,0 { compatible = \"virtio-net\"; label = \"net0\"; segment = \"office\"; mac = [ 52 54 00 00 01 01 ]; };"
	"net@4,0 { compatible = \"e1000\"; label = \"net1\"; mac = [ 52 54 00 00 01 02 ]; }; }; };\n";

static bool make_environment(void)
{
	char *source = path_of("web.dts");
	struct err err;
	void *blob;
	size_t len;
	int rc;

	write_file("web.dts", dts, sizeof dts - 1);
	rc = env_compile(source, &blob, &len, &err);
	if (rc == -ENOENT) {
		suite_skip("dtc is not installed");
	} else if (rc) {
		suite_note("%s", err.text);
		check(!rc);
	} else {
		write_file("web.dtb", blob, len);
		free(blob);
	}
	free(source);
	return !rc;
}

static int read_server(const char *placement, struct lcg_config **c, struct err *err)
{
	char *environment = path_of("web.dtb"), *place = path_of("web.placement"), text[4096];
	int rc;

	write_file("web.placement", placement, strlen(placement));
	snprintf(text, sizeof text, "%ssegment.office = home\nserver.web1.environment = %s\nserver.web1.placement = %s\n", base,
		environment,
		place);
	rc = read_text(text, c, err);
	free(environment);
	free(place);
	return rc;
}

static void reads_servers(void)
{
	struct lcg_config *c;
	struct err err;

	if (!make_environment())
		return;
	if (read_server("disk.sda = /dev/x\nnic.net0 = l2\nnic.net0.relay = csc1:7441 csc2:7441\nnic.net0.lanes = 4\nnic.net0.queues = 2\n"
			"nic.net0.allow.1 = in tcp port 22\nnic.net1 = tap:tap0\n", &c, &err))
		suite_note("%s", err.text);
	CU_ASSERT_FATAL(c != NULL);
	check_eq(c->nics, 1);
	check_str(c->nic[0].server, "Web1");
	check_str(c->nic[0].nic, "net0");
	check_str(c->nic[0].relay[1], "csc2:7441");
	check(!c->nic[0].relay[2] && !c->nic[0].direct && c->nic[0].policy);
	check_eq(c->nic[0].lanes, 4);
	check(!memcmp(c->nic[0].mac, "\x52\x54\0\0\1\1", 6));
	lcg_config_free(c);
}

static void refuses_server(const char *placement, int code, const char *message)
{
	struct lcg_config *c;
	struct err err;
	const char *said;

	check_eq(read_server(placement, &c, &err), code);
	check(!c);
	said = strstr(err.text, "web.placement: ");
	check_str(said ? said + 15 : err.text, message);
}

static void says_what_is_wrong_with_servers(void)
{
	if (!make_environment())
		return;
	refuses_server("nic.net0 = tap:tap0\n", -ENOENT, "none of the NICs is `l2` in a segment of this gateway");
	refuses_server("nic.net0 = l2\nnic.net0.segment = lab\n", -ENOENT, "none of the NICs is `l2` in a segment of this gateway");
	refuses_server("nic.net0 = l2\n", -EINVAL,
		"nic.net0: no way leads to it: write nic.net0.relay = HOST:PORT or nic.net0.direct = HOST:PORT");
	refuses_server("nic.net0 = l2\nnic.net0.relay = csc1\n", -EINVAL, "nic.net0: relay: \"csc1\" is not HOST:PORT");
	refuses_server("nic.net0 = l2\nnic.net0.relay = a:1 b:1 c:1 d:1 e:1\n", -E2BIG, "nic.net0: relay: more than 4 relays");
	refuses_server("nic.net0 = l2\nnic.net0.direct = a:1\nnic.net0.lanes = 9\n", -EINVAL, "nic.net0: lanes: \"9\" is not 1 to 8");
	refuses_server("nic.net0 = l2\nnic.net0.alow.1 = in tcp\n", -EINVAL, "nic.net0.alow.1: is no key of a NIC");
	refuses_server("nic.net7.allow.1 = in tcp\n", -EINVAL, "nic.net7.allow.1: the environment has no such NIC");
}

static void refuses_anothers_environment(void)
{
	char *environment, *place, text[4096], message[4096];

	if (!make_environment())
		return;
	environment = path_of("web.dtb");
	place = path_of("web.placement");
	write_file("web.placement", "nic.net0 = l2\n", 14);
	snprintf(text, sizeof text, "segment.office = home\nserver.db1.environment = %s\nserver.db1.placement = %s\n", environment, place);
	snprintf(message, sizeof message, "server.db1.environment: %s is the environment of Web1", environment);
	refuses(text, -EINVAL, message);
	free(environment);
	free(place);
}

static const struct test tests[] = {
	{ "reads LANs and segments", reads_lans_and_segments },
	{ "says what is wrong", says_what_is_wrong },
	{ "reads servers", reads_servers },
	{ "says what is wrong with servers", says_what_is_wrong_with_servers },
	{ "refuses another's environment", refuses_anothers_environment },
	{ NULL },
};
const struct suite suite_lcg_config = { tests };
