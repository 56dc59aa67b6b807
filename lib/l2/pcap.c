/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/pcap.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/l2/offload.h"
#include "lib/log.h"
#include "lib/scope.h"

#define MAGIC_NS 0xa1b23c4du
#define BUFFER_MIN (256u << 10)
#define FILE_MIN (1u << 20)

/* The file is in the machine's byte order: its magic tells readers. */
struct file_header { uint32_t magic; uint16_t major, minor; uint32_t zone, sigfigs, snaplen, link; };
struct record { uint32_t sec, nsec, captured, len; };
enum { LINK_ETHERNET = 1 };

struct buffer { uint8_t *data; size_t len; };

struct pcap_writer {
	pthread_mutex_t lock;		/* of fill, busy, stop, counters */
	pthread_cond_t work, done;
	struct buffer fill;		/* frames go in here; the thread takes it as a whole */
	struct pcap_counters counters;
	bool busy, stop;
	/* constant */
	pthread_t thread;
	size_t room;
	uint32_t snaplen;
	uint64_t max;
	unsigned files;
	char *path;
	/* the thread's */
	struct buffer drain;
	int fd;
	uint64_t size;
};

/* ---- the file */

static int numbered(const struct pcap_writer *w, unsigned n, char name[PATH_MAX])
{
	int len = n ? snprintf(name, PATH_MAX, "%s.%u", w->path, n) : snprintf(name, PATH_MAX, "%s", w->path);

	return len < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* PATH becomes PATH.1 and so on. */
static int make_room(struct pcap_writer *w)
{
	char from[PATH_MAX], to[PATH_MAX];
	struct stat st;

	/* Asked again and again while a disk is full, it must not push out what is there. */
	if (lstat(w->path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	for (unsigned n = w->files; n-- > 0;) {
		if (numbered(w, n, from) || numbered(w, n + 1, to))
			return -ENAMETOOLONG;
		if ((n + 1 == w->files ? unlink(from) : rename(from, to)) < 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}

static int write_all(int fd, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int start_file(struct pcap_writer *w)
{
	struct file_header h = { .magic = MAGIC_NS, .major = 2, .minor = 4, .snaplen = w->snaplen, .link = LINK_ETHERNET };
	int r = make_room(w);

	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	if (r)
		return r;
	w->fd = open(w->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (w->fd < 0)
		return -errno;
	r = write_all(w->fd, &h, sizeof h);
	if (r) {
		close(w->fd);
		w->fd = -1;
		unlink(w->path);
		return r;
	}
	w->size = sizeof h;
	return 0;
}

/* Whole records, which fit into the file. What the disk took of a part is cut off again, so that readers find no half record. */
static int append(struct pcap_writer *w, const uint8_t *data, size_t len)
{
	int r = write_all(w->fd, data, len);

	if (!r) {
		w->size += len;
		return 0;
	}
	if (ftruncate(w->fd, (off_t)w->size) < 0 || lseek(w->fd, (off_t)w->size, SEEK_SET) < 0) {
		close(w->fd);
		w->fd = -1;
	}
	return r;
}

/* The records at the front of data that go into one file of left bytes, at least one. */
static size_t fitting(const uint8_t *data, size_t len, uint64_t left, unsigned *frames)
{
	size_t at = 0;

	*frames = 0;
	while (at < len) {
		struct record r;

		memcpy(&r, data + at, sizeof r);
		if (at && at + sizeof r + r.captured > left)
			break;
		at += sizeof r + r.captured;
		++*frames;
	}
	return at;
}

static void drain(struct pcap_writer *w)
{
	struct pcap_counters c = { 0 };
	const uint8_t *data = w->drain.data;
	size_t left = w->drain.len;

	while (left) {
		uint64_t room = w->fd >= 0 && w->size < w->max ? w->max - w->size : 0;
		struct record first;
		unsigned frames;
		size_t n;
		int r = 0;

		memcpy(&first, data, sizeof first);
		if (sizeof first + first.captured > room) {
			c.rotations += w->fd >= 0;
			r = start_file(w);
			room = w->max;
		}
		n = fitting(data, left, room, &frames);
		if (!r)
			r = append(w, data, n);
		if (r) {
			c.drop_disk += frames;
			log_limited(LOG_WARN, "%s: %s; frames are missing there", w->path, strerror(-r));
		} else {
			c.frames += frames;
			c.bytes += n;
		}
		data += n;
		left -= n;
	}
	w->drain.len = 0;
	pthread_mutex_lock(&w->lock);
	w->counters.frames += c.frames;
	w->counters.bytes += c.bytes;
	w->counters.drop_disk += c.drop_disk;
	w->counters.rotations += c.rotations;
	pthread_mutex_unlock(&w->lock);
}

static void *run(void *ctx)
{
	struct pcap_writer *w = ctx;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct buffer full = w->fill;

		if (!full.len) {
			w->busy = false;
			pthread_cond_broadcast(&w->done);
			if (w->stop)
				break;
			pthread_cond_wait(&w->work, &w->lock);
			continue;
		}
		w->busy = true;
		w->fill = w->drain;
		w->drain = full;
		pthread_mutex_unlock(&w->lock);
		drain(w);
		pthread_mutex_lock(&w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* ---- the callers' side */

static int check_path(const char *path, struct err *err)
{
	struct stat st;

	if (strlen(path) + 8 >= PATH_MAX)
		return err_set(err, -ENAMETOOLONG, "%.200s…: the path is too long", path);
	if (!lstat(path, &st) && !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s is no regular file", path);
	return 0;
}

static int start(struct pcap_writer *w, struct err *err)
{
	int r = start_file(w);

	if (r)
		return err_set(err, r, "%s: %s", w->path, strerror(-r));
	r = -pthread_create(&w->thread, NULL, run, w);
	if (r)
		return err_set(err, r, "%s: no thread: %s", w->path, strerror(-r));
	pthread_setname_np(w->thread, "pcap");
	return 0;
}

static void destroy(struct pcap_writer *w)
{
	if (w->fd >= 0)
		close(w->fd);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->work);
	pthread_cond_destroy(&w->done);
	free(w->fill.data);
	free(w->drain.data);
	free(w->path);
	free(w);
}

int pcap_writer_create(const struct pcap_config *config, struct pcap_writer **writer, struct err *err)
{
	struct pcap_writer *w;
	int r = check_path(config->path, err);

	if (r)
		return r;
	if (config->files > PCAP_FILES_MAX || (config->max && config->max < FILE_MIN) || config->snaplen > PCAP_SNAPLEN)
		return err_set(err, -EINVAL, "%s: at most %d files of at least 1 MiB, and at most %d bytes of a frame", config->path,
			PCAP_FILES_MAX, PCAP_SNAPLEN);
	w = calloc(1, sizeof *w);
	if (!w)
		return err_set(err, -ENOMEM, "out of memory");
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->work, NULL);
	pthread_cond_init(&w->done, NULL);
	w->fd = -1;
	w->snaplen = config->snaplen ? config->snaplen : PCAP_SNAPLEN;
	w->max = config->max ? config->max : 256u << 20;
	w->files = config->files ? config->files : 4;
	w->room = (config->buffer ? config->buffer : 8u << 20) / 2;
	if (w->room < BUFFER_MIN / 2)
		w->room = BUFFER_MIN / 2;
	w->path = strdup(config->path);
	w->fill.data = malloc(w->room);
	w->drain.data = malloc(w->room);
	r = !w->path || !w->fill.data || !w->drain.data ? err_set(err, -ENOMEM, "out of memory") : start(w, err);
	if (r) {
		destroy(w);
		return r;
	}
	*writer = w;
	return 0;
}

void pcap_writer_free(struct pcap_writer *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	destroy(w);
}

void pcap_writer_frame(struct pcap_writer *w, const struct frame *f, uint64_t time_ns)
{
	struct record r = { .sec = (uint32_t)(time_ns / 1000000000), .nsec = (uint32_t)(time_ns % 1000000000),
		.captured = f->len < w->snaplen ? (uint32_t)f->len : w->snaplen, .len = (uint32_t)f->len };
	uint8_t *at;

	pthread_mutex_lock(&w->lock);
	if (sizeof r + r.captured > w->room - w->fill.len) {
		w->counters.drop_busy++;
		pthread_mutex_unlock(&w->lock);
		log_limited(LOG_WARN, "%s: the disk is too slow; frames are missing there", w->path);
		return;
	}
	at = w->fill.data + w->fill.len;
	memcpy(at, &r, sizeof r);
	memcpy(at + sizeof r, f->data, r.captured);
	/* Whoever looks for attacks takes a wrong checksum for one. */
	if (r.captured == f->len)
		net_offload_complete(&f->hdr, at + sizeof r, f->len);
	w->fill.len += sizeof r + r.captured;
	if (!w->busy)
		pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->lock);
}

void pcap_writer_flush(struct pcap_writer *w)
{
	pthread_mutex_lock(&w->lock);
	while (w->busy || w->fill.len)
		pthread_cond_wait(&w->done, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

void pcap_writer_counters(struct pcap_writer *w, struct pcap_counters *counters)
{
	pthread_mutex_lock(&w->lock);
	*counters = w->counters;
	pthread_mutex_unlock(&w->lock);
}
