/* SPDX-License-Identifier: Apache-2.0 */
/* hull volume open and close: try a key, serve the plaintext by nbdkit, map it by the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "lib/scope.h"
#include "tools/hull/volume.h"

static const char plugin_name[] = "lib/nbdkit-hull-plugin.so";

/* BIN/hull → BIN/../lib/nbdkit-hull-plugin.so */
static int find_plugin(char *path, size_t size, struct err *err)
{
	ssize_t n = readlink("/proc/self/exe", path, size - 1);

	for (int up = 0; n > 0 && up < 2; up++)
		while (n > 0 && path[--n] != '/')
			;
	if (n <= 0 || (size_t)n + 1 + sizeof plugin_name > size)
		return err_set(err, -ENOENT, "this program's folder cannot be found");
	memcpy(path + n + 1, plugin_name, sizeof plugin_name);
	return access(path, R_OK) ? err_set(err, -errno, "%s: %s", path, strerror(errno)) : 0;
}

/* Nobody else may connect, from the first moment on. */
static int listen_at(const char *path, struct err *err)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	auto_close int fd = -1;
	mode_t mask;
	int rc;

	if (strlen(path) >= sizeof to.sun_path)
		return err_set(err, -ENAMETOOLONG, "%s: a socket's path has at most %zu bytes", path, sizeof to.sun_path - 1);
	strcpy(to.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	mask = umask(0177);
	rc = bind(fd, (struct sockaddr *)&to, sizeof to) || listen(fd, 16) ? -errno : 0;
	umask(mask);
	if (rc == -EADDRINUSE)
		return err_set(err, rc, "%s: is there already; remove it if nobody serves there", path);
	return rc ? err_set(err, rc, "%s: %s", path, strerror(-rc)) : take_fd(fd);
}

/* In the child: nbdkit finds the socket as descriptor 3 (sd_listen_fds(3)) and the link to us as 4. */
static void exec_nbdkit(const struct volume_options *o, const char *plugin, int socket_fd, int link)
{
	auto_free char *volume = NULL;
	char pid[16];

	socket_fd = fcntl(socket_fd, F_DUPFD, 10);
	link = fcntl(link, F_DUPFD, 10);
	if (dup2(socket_fd, 3) < 0 || dup2(link, 4) < 0 || asprintf(&volume, "volume=%s", o->argument[0]) < 0)
		return;
	close(socket_fd);
	close(link);
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "1", 1);
	execlp("nbdkit", "nbdkit", "--foreground", "--no-sr", plugin, volume, "layout=4", o->read_only ? "readonly=true" : NULL, NULL);
}

/* The header is read under the lock that the plugin has taken, as hull-hv does it; then the layout goes over. */
static int hand_over(const struct luks_place *at, const struct secret *key, int fd, struct err *err)
{
	struct luks_layout *layout = secret_alloc(sizeof *layout);
	struct luks_place locked = *at;
	ssize_t n;
	char ready;
	int rc;

	if (!layout)
		return secret_refused(err, -errno);
	locked.locked = true;
	do
		n = read(fd, &ready, 1);
	while (n < 0 && errno == EINTR);
	rc = n == 1 ? luks_open(&locked, key, layout, NULL, err) : err_set(err, -EIO, "%s: cannot be served", at->volume);
	if (!rc && send(fd, layout, sizeof *layout, MSG_NOSIGNAL) != (ssize_t)sizeof *layout)
		rc = err_set(err, -EIO, "%s: nbdkit has ended", at->volume);
	secret_free(layout);
	return rc;
}

static int wait_for(pid_t child, const char *path, struct err *err)
{
	int status;

	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		if (volume_interrupted())
			kill(child, SIGTERM);
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	return err_set(err, -EIO, "%s: nbdkit ended with %s %d", path, WIFEXITED(status) ? "status" : "signal",
		WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

static int start_nbdkit(const struct volume_options *o, int socket_fd, int *link, pid_t *child, struct err *err)
{
	char plugin[4096];
	int fds[2], rc = find_plugin(plugin, sizeof plugin, err);

	if (rc)
		return rc;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return err_set(err, -errno, "socketpair: %s", strerror(errno));
	*child = fork();
	if (!*child) {
		exec_nbdkit(o, plugin, socket_fd, fds[1]);
		fprintf(stderr, "hull: nbdkit: %s\n", strerror(errno));
		_exit(127);
	}
	close(fds[1]);
	*link = fds[0];
	if (*child > 0)
		return 0;
	close(fds[0]);
	return err_set(err, -errno, "fork: %s", strerror(errno));
}

static int serve(const struct volume_options *o, const struct luks_place *at, const struct secret *key, struct err *err)
{
	int socket_fd = listen_at(o->nbd, err), link = -1, rc;
	struct err after = { .text = "" };
	pid_t child = -1;

	if (socket_fd < 0)
		return socket_fd;
	volume_catch_signals();
	rc = start_nbdkit(o, socket_fd, &link, &child, err);
	close(socket_fd);
	if (!rc) {
		rc = hand_over(at, key, link, err);
		close(link);
		if (rc) {
			kill(child, SIGTERM);
		} else {
			printf("%s is served at %s\n", o->argument[0], o->nbd);
			fflush(stdout);
		}
		if (wait_for(child, o->nbd, rc ? &after : err) && !rc)
			rc = err->code;
	}
	unlink(o->nbd);
	return rc;
}

/* A rotation that was cut short is recovered before anybody reads beside us: read-only service shares its lock. */
static int recover_first(const struct volume_options *o, const struct luks_place *at, const struct secret *key,
	struct luks_layout *layout, struct err *err)
{
	struct luks_info info;
	int rc = luks_info(at, &info, err);

	return rc || !info.rotating || !o->read_only ? rc : luks_open(at, key, layout, NULL, err);
}

static void describe(const struct volume_options *o, const struct luks_layout *l, int slot)
{
	char text[32];

	printf("%s: opened by key slot %d: LUKS%u, AES-XTS of %u bits, sectors of %u bytes, %s\n", o->argument[0], slot, l->version,
		l->segment[0].key_len * 8, l->segment[0].sector, l->data_len ? volume_size_text(l->data_len, text) : "to its end");
	if (l->segment_count == 2)
		printf("%s: a rotation is unfinished: %s are under the new key\n", o->argument[0], volume_size_text(l->segment[0].len, text));
}

int volume_open(const struct command *c, int argc, char **argv)
{
	struct err err = { .text = "" };
	struct luks_layout *layout;
	struct volume_options o;
	struct secret key = { 0 };
	struct luks_place at;
	int rc, slot;

	if (!volume_options_parse(c, argc, argv, 1, &o))
		return HULL_TROUBLE;
	if (o.nbd && o.map)
		return command_fail("%s: --nbd or --map, not both", c->words);
	secret_harden();
	at = volume_place(&o, o.argument[0]);
	layout = secret_alloc(sizeof *layout);
	rc = layout ? volume_key_read(&o, o.key, false, &key, &err) : secret_refused(&err, -errno);
	if (!rc && o.map) {
		rc = luks_map(&at, &key, o.map, o.read_only, &err);
	} else if (!rc && o.nbd) {
		rc = recover_first(&o, &at, &key, layout, &err);
		if (!rc)
			rc = serve(&o, &at, &key, &err);
	} else if (!rc) {
		rc = luks_open(&at, &key, layout, &slot, &err);
		if (!rc)
			describe(&o, layout, slot);
	}
	secret_destroy(&key);
	secret_free(layout);
	return rc ? volume_fail(&err) : HULL_OK;
}

int volume_close(const struct command *c, int argc, char **argv)
{
	struct err err = { .text = "" };
	struct volume_options o;

	if (!volume_options_parse(c, argc, argv, 1, &o))
		return HULL_TROUBLE;
	return luks_unmap(o.argument[0], &err) ? volume_fail(&err) : HULL_OK;
}
