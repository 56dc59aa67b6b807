/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two copies of a LUKS2 header, by eye (LUKS2 On-Disk Format Specification 1.1, 2.1): libcryptsetup uses the good one and
 * does not tell that the other is damaged.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include "crypto/luks/luks_priv.h"
#include "lib/bits.h"
#include "lib/buf.h"
#include "lib/scope.h"

enum { ONE_ROUNDS_AT = 164, BINARY = 4096, CHECKSUM_AT = 448, CHECKSUM = 64, COPY_MAX = 4 << 20, COPY_MIN = 16384 };

static const uint8_t magic_first[6] = "LUKS\xba\xbe", magic_second[6] = "SKUL\xba\xbe";

int luks_open_file(const char *path, int flags, uint64_t *size, struct err *err)
{
	/* A FIFO must not hold us up. */
	auto_close int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 && errno == EISDIR)
		return err_set(err, -EISDIR, "%s: is a directory; a volume is a file or a block device", path);
	if (fd < 0 && errno == ENXIO)
		return err_set(err, -EINVAL, "%s: is neither a file nor a block device", path);
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (fstat(fd, &st))
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return err_set(err, -EISDIR, "%s: is a directory; a volume is a file or a block device", path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(err, -EINVAL, "%s: is neither a file nor a block device", path);
	if (size) {
		*size = (uint64_t)st.st_size;
		if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, size))
			return err_set(err, -errno, "%s: its size cannot be read: %s", path, strerror(errno));
	}
	return take_fd(fd);
}

static bool checksum_right(const uint8_t *data, size_t len, const char *name)
{
	static const uint8_t zero[CHECKSUM];
	const EVP_MD *md = EVP_get_digestbyname(name);
	EVP_MD_CTX *ctx = md && EVP_MD_get_size(md) <= CHECKSUM ? EVP_MD_CTX_new() : NULL;
	uint8_t sum[EVP_MAX_MD_SIZE];
	bool right;

	if (!ctx)
		return false;
	right = EVP_DigestInit_ex(ctx, md, NULL) && EVP_DigestUpdate(ctx, data, CHECKSUM_AT) &&
		EVP_DigestUpdate(ctx, zero, CHECKSUM) &&
		EVP_DigestUpdate(ctx, data + CHECKSUM_AT + CHECKSUM, len - CHECKSUM_AT - CHECKSUM) &&
		EVP_DigestFinal_ex(ctx, sum, NULL) && !memcmp(sum, data + CHECKSUM_AT, (size_t)EVP_MD_get_size(md));
	EVP_MD_CTX_free(ctx);
	return right;
}

bool luks_probe_copy(const uint8_t *data, size_t len, uint64_t offset, struct luks_probe *probe)
{
	struct rbuf b = rbuf_of(data, len);
	const uint8_t *magic = rbuf_take(&b, sizeof magic_first);
	uint16_t version = rbuf_be16(&b);
	uint64_t size = rbuf_be64(&b), seqid = rbuf_be64(&b), place;
	char label[48], checksum[32], uuid[LUKS_UUID_MAX];

	rbuf_copy(&b, label, sizeof label);
	rbuf_copy(&b, checksum, sizeof checksum);
	rbuf_skip(&b, 64);
	rbuf_copy(&b, uuid, sizeof uuid);
	rbuf_skip(&b, 48);
	place = rbuf_be64(&b);
	if (b.failed || memcmp(magic, offset ? magic_second : magic_first, sizeof magic_first))
		return false;
	probe->marks = true;
	if (version != 2)
		return false;
	if (size < COPY_MIN || size > COPY_MAX || size > len || place != offset || (offset && offset != size))
		return false;
	if (label[sizeof label - 1] || checksum[sizeof checksum - 1] || uuid[sizeof uuid - 1])
		return false;
	if (!checksum_right(data, (size_t)size, checksum))
		return false;
	probe->version = 2;
	probe->seqid[offset > 0] = seqid;
	memcpy(probe->label, label, sizeof label);
	memcpy(probe->uuid, uuid, sizeof uuid);
	return true;
}

static ssize_t read_at(int fd, uint8_t *data, size_t len, uint64_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, data + done, len - done, (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int luks_probe_fd(int fd, const char *path, struct luks_probe *probe, struct err *err)
{
	auto_free uint8_t *data = malloc(COPY_MAX);
	ssize_t n;

	*probe = (struct luks_probe){ 0 };
	if (!data)
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	n = read_at(fd, data, COPY_MAX, 0);
	if (n < 0)
		return err_set(err, (int)n, "%s: its header cannot be read: %s", path, strerror((int)-n));
	if (n >= 8 && !memcmp(data, magic_first, sizeof magic_first) && get_be16(data + 6) == 1) {
		probe->version = 1;
		probe->marks = probe->primary_ok = true;
		probe->digest_rounds = n >= ONE_ROUNDS_AT + 4 ? get_be32(data + ONE_ROUNDS_AT) : 0;
		return 0;
	}
	probe->primary_ok = luks_probe_copy(data, (size_t)n, 0, probe);
	/* The second copy stands behind the first one, whose size is a power of two. */
	for (uint64_t at = COPY_MIN; at <= COPY_MAX && !probe->secondary_ok; at *= 2) {
		n = read_at(fd, data, (size_t)at, at);
		if (n < 0)
			return err_set(err, (int)n, "%s: its header cannot be read: %s", path, strerror((int)-n));
		probe->secondary_ok = luks_probe_copy(data, (size_t)n, at, probe);
	}
	if (probe->primary_ok && probe->secondary_ok && probe->seqid[0] != probe->seqid[1]) {
		probe->primary_ok = probe->seqid[0] > probe->seqid[1];
		probe->secondary_ok = !probe->primary_ok;
	}
	return 0;
}
