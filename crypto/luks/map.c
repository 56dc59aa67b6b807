/* SPDX-License-Identifier: Apache-2.0 */
/* A volume as a block device of the kernel's dm-crypt, where there is a device mapper. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "crypto/luks/luks_priv.h"

static int need_mapper(struct err *err)
{
	auto_close int fd = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return 0;
	if (errno == EACCES || errno == EPERM)
		return err_set(err, -errno, "/dev/mapper/control: %s: mapping a volume takes root's rights", strerror(errno));
	return err_set(err, -ENOTSUP, "this kernel has no device mapper (/dev/mapper/control): serve the volume with --nbd instead");
}

int luks_map(const struct luks_place *at, const struct secret *key, const char *name, bool readonly, struct err *err)
{
	auto_session struct luks_session s = { .lock_fd = -1 };
	struct luks_layout *layout;
	int slot, rc = need_mapper(err);

	if (rc)
		return rc;
	layout = secret_alloc(sizeof *layout);
	if (!layout)
		return secret_refused(err, -errno);
	/* The same judgement as everywhere, and a recovery if one is due. */
	rc = luks_open(at, key, layout, &slot, err);
	secret_free(layout);
	if (!rc)
		rc = luks_session_open(&s, at, !readonly, err);
	if (rc)
		return rc;
	rc = crypt_activate_by_passphrase(s.cd, name, slot, (const char *)key->data, key->len,
		readonly ? CRYPT_ACTIVATE_READONLY : CRYPT_ACTIVATE_ALLOW_DISCARDS);
	if (rc == -EEXIST)
		return err_set(err, rc, "/dev/mapper/%s: is there already", name);
	return rc < 0 ? luks_session_fail(&s, rc, err, "the kernel did not map it") : 0;
}

int luks_unmap(const char *name, struct err *err)
{
	int rc = need_mapper(err);

	if (rc)
		return rc;
	rc = crypt_deactivate_by_name(NULL, name, 0);
	if (rc == -ENODEV)
		return err_set(err, rc, "/dev/mapper/%s: is not there", name);
	if (rc == -EBUSY)
		return err_set(err, rc, "/dev/mapper/%s: is in use", name);
	return rc < 0 ? err_set(err, rc, "/dev/mapper/%s: %s", name, strerror(-rc)) : 0;
}
