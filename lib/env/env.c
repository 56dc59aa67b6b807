/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libfdt.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/env/env_priv.h"
#include "lib/scope.h"

struct own {	/* what env_load hands out, with the memory behind its strings */
	struct env env;
	void *blob;
	const char *compatible;
	char paths[ENV_MAX_PCI][ENV_MAX_PATH];
};

static const struct env_word firmwares[] = { { "bios", ENV_BIOS }, { "uefi", ENV_UEFI }, { NULL, 0 } };
static const struct env_word clocks[] = { { "utc", ENV_CLOCK_UTC }, { "localtime", ENV_CLOCK_LOCALTIME }, { NULL, 0 } };

static const struct env_prop root_props[] = {
	{ "compatible", ENV_T_TEXT, ENV_FIELD(struct own, compatible), .required = true, .max = 64 },
	{ "hostname", ENV_T_TEXT, ENV_FIELD(struct own, env.hostname), .required = true, .min = 1, .max = 63 },
	{ "uuid", ENV_T_UUID, ENV_FIELD(struct own, env.uuid), .required = true },
	{ "firmware", ENV_T_WORD, ENV_FIELD(struct own, env.firmware), .words = firmwares, .def = ENV_BIOS },
	{ "clock", ENV_T_WORD, ENV_FIELD(struct own, env.clock), .words = clocks, .def = ENV_CLOCK_UTC },
	{ NULL },
};

static const struct env_child root_nodes[] = {
	{ "smbios", false, env_read_smbios }, { "acpi", false, env_read_acpi }, { "cpu", true, env_read_cpu },
	{ "memory", true, env_read_memory }, { "chipset", true, env_read_chipset }, { "pci", true, env_read_pci },
	{ "bmc", false, env_read_bmc }, { NULL },
};

char *env_path_room(struct env *env, unsigned i)
{
	struct own *own = container_of(env, struct own, env);

	bug_on(i >= ENV_MAX_PCI);
	return own->paths[i];
}

static bool is_hostname(const char *s)
{
	if (!isalnum((unsigned char)*s))
		return false;
	while (isalnum((unsigned char)*s) || *s == '.' || *s == '-')
		s++;
	return !*s;
}

static int read_root(struct own *own, const char *name, struct err *err)
{
	const struct env_node root = { .file = name, .fdt = own->blob, .off = 0, .err = err };
	const struct env_prop *const tables[] = { root_props, NULL };
	struct env *env = &own->env;
	int rc = env_node_read(&root, own, tables);

	if (rc)
		return rc;
	if (strcmp(own->compatible, "hull,environment-1"))
		return env_node_fail(&root, "compatible", "\"%s\" is not known; \"hull,environment-1\" is allowed",
			env_shown(own->compatible).s);
	if (!is_hostname(env->hostname))
		return env_node_fail(&root, "hostname",
			"\"%s\" must hold letters, digits, '.' and '-' only and start with a letter or digit",
			env->hostname);
	env_default_smbios(env);
	env_default_acpi(env);
	env->bmc.kind = "";
	rc = env_node_children(&root, env, root_nodes);
	if (rc)
		return rc;
	env->smbios.bios.uefi |= env->firmware == ENV_UEFI;
	return env_check(name, env, err);
}

/* The version comes first: fdt_check_full of libfdt 1.6.1 reads address 0 when a blob before version 16 names its root badly. */
static int check_blob(const char *name, const void *blob, size_t len, struct err *err)
{
	int rc = len < sizeof(struct fdt_header) ? -FDT_ERR_TRUNCATED : fdt_check_header(blob);

	if (!rc && fdt_version(blob) < 17)
		rc = -FDT_ERR_BADVERSION;
	if (!rc)
		rc = fdt_check_full(blob, len);
	if (rc)
		return err_set(err, -EINVAL, "%s: is not a device tree blob (%s); compile a .dts with `hull env compile`", name,
			fdt_strerror(rc));
	if (fdt_num_mem_rsv(blob))
		return err_set(err, -EINVAL, "%s: holds memory reservations, an environment has none", name);
	return 0;
}

int env_parse(const char *name, const void *blob, size_t len, struct env **env, struct err *err)
{
	struct own *own;
	int rc;

	*env = NULL;
	if (len > ENV_MAX_BLOB)
		return err_set(err, -EFBIG, "%s: has more than %u KiB, no environment is that long", name, ENV_MAX_BLOB >> 10);
	own = calloc(1, sizeof *own);
	if (own)
		own->blob = malloc(len ? len : 1);
	if (!own || !own->blob) {
		rc = err_set(err, -ENOMEM, "%s: out of memory", name);
		goto fail;
	}
	if (len)
		memcpy(own->blob, blob, len);
	rc = check_blob(name, own->blob, len, err);
	if (!rc)
		rc = read_root(own, name, err);
	if (rc)
		goto fail;
	*env = &own->env;
	return 0;
fail:
	if (own)
		env_free(&own->env);
	return rc;
}

/* The whole of a regular file of at most ENV_MAX_BLOB bytes. */
static int read_file(const char *path, void **data, size_t *len, struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	auto_free void *buf = NULL;
	struct stat st;
	size_t pos = 0;

	if (fd < 0 || fstat(fd, &st))
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s: is not a regular file", path);
	if (st.st_size > ENV_MAX_BLOB)
		return err_set(err, -EFBIG, "%s: has more than %u KiB, no environment is that long", path, ENV_MAX_BLOB >> 10);
	buf = malloc((size_t)st.st_size + 1);
	if (!buf)
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	while (pos < (size_t)st.st_size) {
		ssize_t n = read(fd, (char *)buf + pos, (size_t)st.st_size - pos);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "%s: %s", path, strerror(errno));
		if (!n)
			break;
		pos += (size_t)n;
	}
	*data = take_ptr(buf);
	*len = pos;
	return 0;
}

int env_load(const char *path, struct env **env, struct err *err)
{
	auto_free void *blob = NULL;
	size_t len = 0;
	int rc = read_file(path, &blob, &len, err);

	*env = NULL;
	return rc ? rc : env_parse(path, blob, len, env, err);
}

void env_free(struct env *env)
{
	struct own *own;

	if (!env)
		return;
	own = container_of(env, struct own, env);
	free(own->blob);
	free(own);
}
