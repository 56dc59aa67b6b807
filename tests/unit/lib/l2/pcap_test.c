/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/pcap.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/log.h"
#include "lib/scope.h"
#include "tests/unit/lib/l2/packets.h"
#include "tests/unit/suite.h"

#define T 1700000000123456789ull

static struct pk_frame frame;
static char file[4096];

static const char *path(const char *name)
{
	char old[4200];

	snprintf(file, sizeof file, "%s", suite_tmp(name));
	for (unsigned i = 0; i < 5; i++) {
		snprintf(old, sizeof old, i ? "%s.%u" : "%s", file, i);
		unlink(old);
	}
	return file;
}

static long size_of(const char *name, unsigned n)
{
	char numbered[4200];
	struct stat st;

	snprintf(numbered, sizeof numbered, n ? "%s.%u" : "%s", name, n);
	return stat(numbered, &st) ? -1 : (long)st.st_size;
}

/* What tcpdump prints, lines counted; false: it complained */
static bool tcpdump(const char *name, const char *options, char *text, size_t cap, unsigned *lines)
{
	char command[4400];
	FILE *out;
	size_t len;

	snprintf(command, sizeof command, "tcpdump -n %s -r '%s' 2>/dev/null", options, name);
	out = popen(command, "r");
	if (!out)
		return false;
	len = fread(text, 1, cap - 1, out);
	text[len] = 0;
	*lines = 0;
	for (size_t i = 0; i < len; i++)
		*lines += text[i] == '\n';
	return !pclose(out);
}

static void tcpdump_reads_it(void)
{
	static char text[65536];
	struct pcap_config config = { .path = path("mirror.pcap") };
	struct pcap_writer *w;
	struct pcap_counters c;
	struct frame *f;
	struct err err;
	unsigned lines;

	if (system("command -v tcpdump >/dev/null 2>&1")) {
		suite_skip("tcpdump is not installed");
		return;
	}
	check_or_return(!pcap_writer_create(&config, &w, &err));
	pcap_writer_frame(w, pk_make(&frame, &(struct pk){ .src = "192.0.2.1", .dst = "192.0.2.10", .proto = PK_UDP, .sport = 5000,
		.dport = 5001, .payload = 11 }), T);
	pcap_writer_frame(w, pk_make(&frame, &(struct pk){ .src = "2001:db8::1", .dst = "2001:db8::2", .proto = PK_UDP, .sport = 5000,
		.dport = 5001, .payload = 12, .vid = 42 }), T);
	/* A super-frame whose checksum is still to come */
	f = pk_make(&frame, &(struct pk){ .src = "192.0.2.1", .dst = "192.0.2.10", .proto = PK_TCP, .sport = 80, .dport = 4000,
		.flags = PK_ACK, .payload = 60000 });
	put_be16(f->data + 50, 0);
	net_sum_store(f->data + 50, net_sum_fold(net_sum_be16(net_sum_pseudo(f->data + 14, 0, 6), 60020)));
	f->hdr = (struct virtio_net_hdr_v1){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.gso_size = htole16(1448), .csum_start = htole16(34), .csum_offset = htole16(16) };
	check_eq(frame_parse(f), FRAME_OK);
	pcap_writer_frame(w, f, T + 1);
	pcap_writer_flush(w);
	pcap_writer_counters(w, &c);
	check_eq(c.frames, 3);
	check_eq(c.drop_busy | c.drop_disk, 0);
	check(tcpdump(file, "-vv -e -ttttt --nano -S", text, sizeof text, &lines));
	check(strstr(text, "192.0.2.1.5000 > 192.0.2.10.5001: [udp sum ok] UDP, length 11") != NULL);
	check(strstr(text, "vlan 42") && strstr(text, "2001:db8::1.5000 > 2001:db8::2.5001: [udp sum ok] UDP, length 12"));
	check(strstr(text, "length 60000") && strstr(text, "(correct)"));
	check(strstr(text, "00:00:00.000000001") != NULL);
	if (!strstr(text, "(correct)"))
		suite_note("%s", text);
	pcap_writer_free(w);
	pcap_writer_free(NULL);
}

static void files_are_bounded_and_kept(void)
{
	static char text[1 << 20];
	struct pcap_config config = { .path = path("turn.pcap"), .max = 1 << 20, .files = 3, .buffer = 64u << 20, .snaplen = 1000 };
	struct frame *f = pk_make(&frame, &(struct pk){ .src = "192.0.2.1", .dst = "192.0.2.10", .proto = PK_UDP, .payload = 3000 });
	bool have = !system("command -v tcpdump >/dev/null 2>&1");
	struct pcap_writer *w;
	struct pcap_counters c;
	struct err err;
	unsigned lines;

	check_or_return(!pcap_writer_create(&config, &w, &err));
	for (unsigned i = 0; i < 5000; i++)
		pcap_writer_frame(w, f, T);
	pcap_writer_flush(w);
	pcap_writer_counters(w, &c);
	check_eq(c.frames, 5000);
	check_eq(c.bytes, 5000 * 1016);
	check_eq(c.rotations, 4);
	for (unsigned i = 0; i < 3; i++)
		check(size_of(file, i) > 0 && size_of(file, i) <= 1 << 20);
	check_eq(size_of(file, 3), -1);
	check_eq(size_of(file, 1), 24 + 1032 * 1016);
	pcap_writer_free(w);
	if (have) {
		check(tcpdump(file, "", text, sizeof text, &lines));
		check_eq(lines, 5000 - 4 * 1032);
	}
	/* The file of an earlier run is kept. */
	check_or_return(!pcap_writer_create(&config, &w, &err));
	pcap_writer_free(w);
	check_eq(size_of(file, 0), 24);
	check_eq(size_of(file, 1), 24 + (5000 - 4 * 1032) * 1016);
}

static void a_full_disk_is_counted_and_leaves_whole_records(void)
{
	static char text[1 << 20];
	struct pcap_config config = { .path = path("full.pcap") };
	struct frame *f = pk_make(&frame, &(struct pk){ .src = "192.0.2.1", .dst = "192.0.2.10", .proto = PK_UDP, .payload = 958 });
	struct rlimit old, tight = { .rlim_cur = 10000 };
	struct pcap_writer *w;
	struct pcap_counters c;
	struct err err;
	unsigned lines;

	log_init("unit", LOG_ERROR);
	signal(SIGXFSZ, SIG_IGN);
	check_or_return(!getrlimit(RLIMIT_FSIZE, &old));
	tight.rlim_max = old.rlim_max;
	check_or_return(!pcap_writer_create(&config, &w, &err));
	check_eq(setrlimit(RLIMIT_FSIZE, &tight), 0);
	for (unsigned i = 0; i < 20; i++) {
		pcap_writer_frame(w, f, T);
		pcap_writer_flush(w);
	}
	check_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
	pcap_writer_counters(w, &c);
	check_eq(c.frames, 9);
	check_eq(c.drop_disk, 11);
	check_eq(size_of(file, 0), 24 + 9 * 1016);
	/* There is room again. */
	pcap_writer_frame(w, f, T);
	pcap_writer_free(w);
	check_eq(size_of(file, 0), 24 + 10 * 1016);
	check_eq(size_of(file, 1), -1);
	if (!system("command -v tcpdump >/dev/null 2>&1")) {
		check(tcpdump(file, "", text, sizeof text, &lines));
		check_eq(lines, 10);
	}
}

static void a_slow_disk_costs_frames_not_time(void)
{
	struct pcap_config config = { .path = path("slow.pcap"), .buffer = 1 };
	struct frame *f = pk_make(&frame, &(struct pk){ .src = "192.0.2.1", .dst = "192.0.2.10", .proto = PK_UDP, .payload = 60000 });
	struct pcap_writer *w;
	struct pcap_counters c;
	struct err err;

	log_init("unit", LOG_ERROR);
	check_or_return(!pcap_writer_create(&config, &w, &err));
	for (unsigned i = 0; i < 1000; i++)
		pcap_writer_frame(w, f, T);
	pcap_writer_flush(w);
	pcap_writer_counters(w, &c);
	check_eq(c.frames + c.drop_busy, 1000);
	check_eq(c.bytes, c.frames * (16 + 60042));
	pcap_writer_free(w);
}

static void bad_places_are_refused(void)
{
	struct pcap_writer *w;
	struct err err;

	check_eq(pcap_writer_create(&(struct pcap_config){ .path = "/dev/null" }, &w, &err), -EINVAL);
	check_str(err.text, "/dev/null is no regular file");
	check_eq(pcap_writer_create(&(struct pcap_config){ .path = "/nowhere/at/all.pcap" }, &w, &err), -ENOENT);
	check_str(err.text, "/nowhere/at/all.pcap: No such file or directory");
	check_eq(pcap_writer_create(&(struct pcap_config){ .path = path("x"), .max = 1000 }, &w, &err), -EINVAL);
}

static const struct test pcap_tests[] = {
	{ "tcpdump reads it", tcpdump_reads_it },
	{ "files are bounded and kept", files_are_bounded_and_kept },
	{ "a full disk is counted and leaves whole records", a_full_disk_is_counted_and_leaves_whole_records },
	{ "a slow disk costs frames, not time", a_slow_disk_costs_frames_not_time },
	{ "bad places are refused", bad_places_are_refused },
	{ 0 }
};
const struct suite suite_lib_l2_pcap = { pcap_tests };
