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

/* The layout with the volume key goes through a pipe, which holds it whole: never an argument, never a file. */
static int key_pipe(const struct luks_layout *layout, struct err *err)
{
	int fds[2];
	ssize_t n;

	if (pipe(fds))
		return err_set(err, -errno, "pipe: %s", strerror(errno));
	n = write(fds[1], layout, sizeof *layout);
	close(fds[1]);
	if (n == (ssize_t)sizeof *layout)
		return fds[0];
	close(fds[0]);
	return err_set(err, -EIO, "pipe: short write");
}

/* In the child: nbdkit finds the socket as descriptor 3 (sd_listen_fds(3)) and the layout as 4. */
static void exec_nbdkit(const struct volume_options *o, const char *plugin, int socket_fd, int layout_fd)
{
	auto_free char *volume = NULL;
	char pid[16];

	socket_fd = fcntl(socket_fd, F_DUPFD, 10);
	layout_fd = fcntl(layout_fd, F_DUPFD, 10);
	if (dup2(socket_fd, 3) < 0 || dup2(layout_fd, 4) < 0 || asprintf(&volume, "volume=%s", o->argument[0]) < 0)
		return;
	close(socket_fd);
	close(layout_fd);
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "1", 1);
	execlp("nbdkit", "nbdkit", "--foreground", "--no-sr", plugin, volume, "layout=4", o->read_only ? "readonly=true" : NULL, NULL);
}

static int serve(const struct volume_options *o, const struct luks_layout *layout, struct err *err)
{
	char plugin[4096];
	int socket_fd, layout_fd, status, rc = find_plugin(plugin, sizeof plugin, err);
	pid_t child;

	if (rc)
		return rc;
	layout_fd = key_pipe(layout, err);
	if (layout_fd < 0)
		return layout_fd;
	socket_fd = listen_at(o->nbd, err);
	if (socket_fd < 0) {
		close(layout_fd);
		return socket_fd;
	}
	volume_catch_signals();
	child = fork();
	if (!child) {
		exec_nbdkit(o, plugin, socket_fd, layout_fd);
		fprintf(stderr, "hull: nbdkit: %s\n", strerror(errno));
		_exit(127);
	}
	close(socket_fd);
	close(layout_fd);
	if (child < 0) {
		unlink(o->nbd);
		return err_set(err, -errno, "fork: %s", strerror(errno));
	}
	printf("%s is served at %s\n", o->argument[0], o->nbd);
	fflush(stdout);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		if (volume_interrupted())
			kill(child, SIGTERM);
	unlink(o->nbd);
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	return err_set(err, -EIO, "%s: nbdkit ended with %s %d", o->nbd, WIFEXITED(status) ? "status" : "signal",
		WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
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
	struct luks_place at;
	struct secret key;
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
	} else if (!rc) {
		rc = luks_open(&at, &key, layout, &slot, &err);
		if (!rc && !o.nbd)
			describe(&o, layout, slot);
	}
	secret_destroy(&key);
	if (!rc && o.nbd)
		rc = serve(&o, layout, &err);
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
