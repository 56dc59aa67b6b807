/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mirror into a file that tcpdump, Wireshark and intrusion detection read: pcap 2.4 with nanoseconds, Ethernet. Super-frames stay
 * whole, checksums are complete. Whoever writes frames is never held up by the disk: a thread of its own writes the file, and what
 * it can't take in time is dropped and counted. The file is bounded: at max bytes it becomes PATH.1, that one PATH.2, and so on;
 * the last is deleted. pcap_writer_frame on one thread; the others likewise.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "lib/err.h"
#include "lib/l2/frame.h"

enum { PCAP_SNAPLEN = 262144, PCAP_FILES_MAX = 100 };

struct pcap_writer;

struct pcap_config {
	const char *path;
	uint32_t snaplen;	/* bytes of a frame at most; 0: PCAP_SNAPLEN, all of it */
	uint64_t max;		/* bytes of a file; 0: 256 MiB; at least 1 MiB */
	unsigned files;		/* kept, with the one being written; 0: 4 */
	size_t buffer;		/* bytes waiting for the disk; 0: 8 MiB; at least 256 KiB */
};

struct pcap_counters {
	uint64_t frames, bytes;		/* in the file, with headers */
	uint64_t drop_busy, drop_disk;	/* frames: no room in the buffer; the disk refused */
	uint64_t rotations;
};

/* A file that is there is kept as PATH.1. Errors name the path. */
int pcap_writer_create(const struct pcap_config *config, struct pcap_writer **writer, struct err *err) must_check;
void pcap_writer_free(struct pcap_writer *writer);	/* writes what waits; NULL is fine */
/* time_ns: since 1970 */
void pcap_writer_frame(struct pcap_writer *writer, const struct frame *f, uint64_t time_ns);
void pcap_writer_flush(struct pcap_writer *writer);	/* returns when the disk has all that came before, or refused it */
void pcap_writer_counters(struct pcap_writer *writer, struct pcap_counters *counters);
