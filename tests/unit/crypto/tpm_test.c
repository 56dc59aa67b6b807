/* SPDX-License-Identifier: Apache-2.0 */
/* Against swtpm, the software TPM 2.0 of Debian: one process with a folder and two loopback ports for each TPM. */
#include "crypto/tpm.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>
#include <unistd.h>
#include "crypto/keystore.h"
#include "lib/scope.h"
#include "tests/unit/suite.h"

struct soft_tpm { pid_t pid; int port; char folder[600], tcti[64]; };

static struct err err;

static int bind_port(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The library takes the control port to be the next one. */
static int find_ports(void)
{
	for (int i = 0; i < 1000; i++) {
		int port = 20000 + (int)((unsigned)getpid() * 37 + (unsigned)i * 2) % 12000;
		auto_close int a = bind_port(port), b = bind_port(port + 1);

		if (a >= 0 && b >= 0)
			return port;
	}
	return 0;
}

static bool answers(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && !connect(fd, (struct sockaddr *)&a, sizeof a);
}

static void stop_tpm(struct soft_tpm *t)
{
	if (t->pid <= 0)
		return;
	kill(t->pid, SIGTERM);
	waitpid(t->pid, NULL, 0);
	t->pid = 0;
	unsetenv("HULL_TPM_TCTI");
}
#define TPM cleanup(stop_tpm) struct soft_tpm

/* Start, on the state that the folder has; false when swtpm is not here. */
static bool start_tpm(struct soft_tpm *t, const char *folder)
{
	char state[640], server[64], ctrl[64];
	int status;

	snprintf(t->folder, sizeof t->folder, "%s", folder);
	mkdir(folder, 0700);
	t->port = find_ports();
	snprintf(t->tcti, sizeof t->tcti, "swtpm:host=127.0.0.1,port=%d", t->port);
	snprintf(state, sizeof state, "dir=%s", folder);
	snprintf(server, sizeof server, "type=tcp,bindaddr=127.0.0.1,port=%d", t->port);
	snprintf(ctrl, sizeof ctrl, "type=tcp,bindaddr=127.0.0.1,port=%d", t->port + 1);
	t->pid = fork();
	if (!t->pid) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 1);
		dup2(null, 2);
		execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", state, "--server", server, "--ctrl", ctrl,
			"--flags", "not-need-init,startup-clear", (char *)NULL);
		_exit(127);
	}
	for (int i = 0; t->pid > 0 && i < 1000; i++) {
		if (waitpid(t->pid, &status, WNOHANG) == t->pid) {
			t->pid = 0;
			return false;
		}
		/* The control port: a connection to the other would take the TPM's only place. */
		if (answers(t->port + 1)) {
			setenv("HULL_TPM_TCTI", t->tcti, 1);
			return true;
		}
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	stop_tpm(t);
	return false;
}

static const uint8_t text[32] = "thirty-two bytes of some secret";

static bool seal_text(uint8_t blob[TPM_BLOB_MAX], size_t *len)
{
	cleanup(secret_destroy) struct secret s = { 0 };

	err.text[0] = 0;
	check_eq(secret_copy(&s, text, sizeof text), 0);
	check_eq(tpm_seal(&s, blob, len, &err), 0);
	check_str(err.text, "");
	return !err.text[0];
}

static int unseal(const uint8_t *blob, size_t len)
{
	cleanup(secret_destroy) struct secret s = { 0 };
	int rc = tpm_unseal(blob, len, &s, &err);

	check(rc ? !s.data : s.len == sizeof text && !memcmp(s.data, text, sizeof text));
	return rc;
}

#define NEED(t, folder) \
	do { \
		if (!start_tpm(t, suite_tmp(folder))) { \
			suite_skip("swtpm does not start here"); \
			return; \
		} \
	} while (0)

static void seals_and_unseals(void)
{
	TPM t = { 0 };
	uint8_t blob[TPM_BLOB_MAX], again[TPM_BLOB_MAX];
	size_t len, len2;

	NEED(&t, "tpm-a");
	check_or_return(seal_text(blob, &len));
	check(len > 64 && len < TPM_BLOB_MAX);
	for (size_t i = 0; i + sizeof text <= len; i++)
		check(memcmp(blob + i, text, 8));
	/* Often: nothing stays behind in the TPM, which has place for three objects and three sessions. */
	for (int i = 0; i < 8; i++)
		check_eq(unseal(blob, len), 0);
	check(seal_text(again, &len2) && (len != len2 || memcmp(blob, again, len)));
	stop_tpm(&t);
	NEED(&t, "tpm-a");	/* and after it was off */
	check_eq(unseal(blob, len), 0);
}

/* TPM2_Clear, by the lockout hierarchy, as an owner would. */
static bool clear_tpm(const struct soft_tpm *t)
{
	TSS2_TCTI_CONTEXT *tcti = NULL;
	ESYS_CONTEXT *esys = NULL;
	TSS2_RC rc = Tss2_TctiLdr_Initialize(t->tcti, &tcti);

	if (!rc)
		rc = Esys_Initialize(&esys, tcti, NULL);
	if (!rc)
		rc = Esys_Clear(esys, ESYS_TR_RH_LOCKOUT, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE);
	Esys_Finalize(&esys);
	Tss2_TctiLdr_Finalize(&tcti);
	return !rc;
}

static void another_or_cleared_tpm_refuses(void)
{
	TPM t = { 0 };
	uint8_t blob[TPM_BLOB_MAX];
	size_t len;

	NEED(&t, "tpm-b");
	check_or_return(seal_text(blob, &len));
	stop_tpm(&t);
	NEED(&t, "tpm-c");
	check_eq(unseal(blob, len), -EPERM);
	check(strstr(err.text, "it was sealed with another TPM, or this one was cleared since") != NULL);
	stop_tpm(&t);
	NEED(&t, "tpm-b");
	check_eq(unseal(blob, len), 0);
	check_or_return(clear_tpm(&t));
	check_eq(unseal(blob, len), -EPERM);
}

/* Whether the file holds 16 bytes of the text. */
static bool holds_text(const char *path, long *size)
{
	auto_fclose FILE *f = fopen(path, "re");
	auto_free char *data = malloc(1 << 20);
	size_t n = f && data ? fread(data, 1, 1 << 20, f) : 0;

	*size = (long)n;
	return n && memmem(data, n, text, 16);
}

/* The library's own recorder stands between us and the TPM; the bus of a real one is as easy to listen to. */
static void the_secret_crosses_the_bus_encrypted(void)
{
	TPM t = { 0 };
	const char *record = suite_tmp("tpm.pcap");
	uint8_t blob[TPM_BLOB_MAX];
	char tcti[128];
	long size;
	size_t len;

	NEED(&t, "tpm-g");
	snprintf(tcti, sizeof tcti, "pcap:%s", t.tcti);
	setenv("HULL_TPM_TCTI", tcti, 1);
	setenv("TCTI_PCAP_FILE", record, 1);
	check_or_return(seal_text(blob, &len));
	check(!holds_text(record, &size));
	check(size > 1000);
	unlink(record);
	check_eq(unseal(blob, len), 0);
	check(!holds_text(record, &size));
	check(size > 1000);
	unsetenv("TCTI_PCAP_FILE");
}

static void a_wrong_blob_is_refused(void)
{
	TPM t = { 0 };
	uint8_t blob[TPM_BLOB_MAX];
	size_t len;

	NEED(&t, "tpm-d");
	check_or_return(seal_text(blob, &len));
	for (size_t n = 0; n < len; n += 7)
		check_eq(unseal(blob, n), -EINVAL);
	check_str(err.text, "TPM: this is no sealed blob");
	blob[len] = 0;
	check_eq(unseal(blob, len + 1), -EINVAL);
	for (size_t i = 0; i < len; i += 5) {
		int rc;

		blob[i] ^= 0x10;
		rc = unseal(blob, len);
		check(rc == -EINVAL || rc == -EPERM);
		if (rc != -EINVAL && rc != -EPERM)
			suite_note("byte %zu: %d %s", i, rc, err.text);
		blob[i] ^= 0x10;
	}
	check_eq(unseal(blob, len), 0);
}

static void no_tpm_is_said(void)
{
	cleanup(secret_destroy) struct secret s = { 0 };
	uint8_t blob[TPM_BLOB_MAX];
	size_t len;

	setenv("HULL_TPM_TCTI", "device:/nonexistent/tpm", 1);
	check_eq(secret_copy(&s, text, sizeof text), 0);
	check_eq(tpm_seal(&s, blob, &len, &err), -ENODEV);
	check(strstr(err.text, "there is no TPM at device:/nonexistent/tpm: ") != NULL);
	secret_destroy(&s);
	check_eq(tpm_seal(&s, blob, &len, &err), -EINVAL);
	check_eq(secret_create(&s, TPM_SECRET_MAX + 1), 0);
	check_eq(tpm_seal(&s, blob, &len, &err), -EINVAL);
	check_str(err.text, "TPM: a secret has 1 to 64 bytes");
	unsetenv("HULL_TPM_TCTI");
}

static void a_key_store_opens_by_its_tpm(void)
{
	TPM t = { 0 };
	const char *path = suite_tmp("tpm-store");
	struct keystore_unlock u = { .way = KEYSTORE_TPM };
	struct keystore *ks = NULL;
	unsigned dropped;

	NEED(&t, "tpm-e");
	check_eq(keystore_create(path, &u, &ks, &err), 0);
	check_or_return(ks);
	check_eq(keystore_begin(ks, &err), 0);
	check_eq(keystore_rotate_root(ks, &u, &dropped, &err), 0);
	check_eq(dropped, 0);
	check_eq(keystore_commit(ks, &err), 0);
	keystore_close(ks);
	check_eq(keystore_open(path, &u, &ks, &err), 0);
	keystore_close(ks);
	stop_tpm(&t);
	NEED(&t, "tpm-f");
	check_eq(keystore_open(path, &u, &ks, &err), -EPERM);
	check(strstr(err.text, "tpm-store: TPM: does not open this") != NULL);
	stop_tpm(&t);
	setenv("HULL_TPM_TCTI", "device:/nonexistent/tpm", 1);
	check_eq(keystore_open(path, &u, &ks, &err), -ENODEV);
	unsetenv("HULL_TPM_TCTI");
}

static const struct test tests[] = {
	{ "seals and unseals", seals_and_unseals },
	{ "another or cleared TPM refuses", another_or_cleared_tpm_refuses },
	{ "the secret crosses the bus encrypted", the_secret_crosses_the_bus_encrypted },
	{ "a wrong blob is refused", a_wrong_blob_is_refused },
	{ "no TPM is said", no_tpm_is_said },
	{ "a key store opens by its TPM", a_key_store_opens_by_its_tpm },
	{ NULL, NULL },
};
const struct suite suite_crypto_tpm = { tests };
