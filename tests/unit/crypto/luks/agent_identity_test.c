/* SPDX-License-Identifier: Apache-2.0 */
/* An identity handed over: whole, not whole, of somebody else; and an agent that reads one from a folder. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "crypto/identity_folder.h"
#include "crypto/luks/agent.h"
#include "tests/unit/crypto/pki/pki_rig.h"

static struct pki_rig rig;

static struct identity make(enum pki_role role, const char *name, bool crl)
{
	struct identity id = { .key = rig_key() };

	id.cert = rig_cert(&rig, role, name, id.key);
	id.ca = ca_cert(rig.ca);
	X509_up_ref(id.ca);
	if (crl)
		CU_ASSERT_FATAL(!ca_crl(rig.ca, rig.now, &id.crl, NULL));
	return id;
}

static void passes(bool crl)
{
	struct identity id = make(PKI_HV, "web01", crl), got = { 0 };
	struct agent_message m = { 0 };
	struct err err = { .text = "" };
	int fd = -1;

	check_eq(agent_pack_identity(&m, &id, &fd, &err), 0);
	check_eq(agent_unpack_identity(&m, fd, &got, &err), 0);
	check_str(err.text, "");
	check_or_return(got.cert && got.ca && got.key);
	check(!X509_cmp(got.cert, id.cert) && !X509_cmp(got.ca, id.ca));
	check_eq(EVP_PKEY_eq(got.key, id.key), 1);
	check_eq(got.crl != NULL, crl);
	check(write(fd, "x", 1) < 0);	/* nobody changes it any more */
	close(fd);
	identity_drop(&got);
	identity_drop(&id);
}

static void identity_passes(void)
{
	rig_setup(&rig);
	passes(true);
	passes(false);
	rig_drop(&rig);
}

/* A sealed file with the first len bytes of another one, and more behind them. */
static int copy(int from, size_t len, const char *more)
{
	static uint8_t buf[1 << 16];
	int fd = memfd_create("copy", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	check_eq(pread(from, buf, len, 0), len);
	check_eq(write(fd, buf, len), len);
	check_eq(write(fd, more, strlen(more)), strlen(more));
	check_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
	return fd;
}

static void refuse(const struct agent_message *m, int fd, const char *why)
{
	struct err err = { .text = "" };
	struct identity id = { 0 };

	check_eq(agent_unpack_identity(m, fd, &id, &err), -EPROTO);
	check(!strncmp(err.text, why, strlen(why)));
	if (strncmp(err.text, why, strlen(why)))
		suite_note("%s", err.text);
	check(!id.cert && !id.ca && !id.key && !id.crl);
	if (fd >= 0)
		close(fd);
}

static void half_an_identity_is_refused(void)
{
	struct identity id, other;
	struct agent_message m = { 0 }, wrong = { 0 };
	struct stat st;
	int fd = -1, fd2 = -1, plain;

	rig_setup(&rig);
	id = make(PKI_HV, "web01", true);
	other = make(PKI_HV, "web01", false);
	check_or_return(!agent_pack_identity(&m, &id, &fd, NULL) && !agent_pack_identity(&wrong, &other, &fd2, NULL) && !fstat(fd, &st));
	for (size_t len = 0; len < (size_t)st.st_size; len += 7)
		refuse(&m, copy(fd, len, ""), "identity: certificate, authority and list are not whole");
	refuse(&m, copy(fd, (size_t)st.st_size, "more"), "identity: certificate, authority and list are not whole");
	refuse(&wrong, copy(fd, (size_t)st.st_size, ""), "identity: the key is not the certificate's");
	m.key_len--;
	refuse(&m, copy(fd, (size_t)st.st_size, ""), "identity: the key is not the certificate's");
	refuse(&m, -1, "identity: comes without a sealed memory file");
	plain = memfd_create("plain", MFD_CLOEXEC);
	refuse(&m, plain, "identity: comes without a sealed memory file");
	close(fd);
	close(fd2);
	identity_drop(&id);
	identity_drop(&other);
	rig_drop(&rig);
}

/* ---- the agent itself */

static int ask(int fd, const char *source, struct agent_message *m, int *came)
{
	union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control = { .room = "" };
	struct iovec iov = { m, sizeof *m };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.room };

	*m = (struct agent_message){ .version = AGENT_VERSION, .kind = AGENT_IDENTIFY, .server = "web01" };
	snprintf(m->source, sizeof m->source, "%s", source);
	check_eq(send(fd, m, sizeof *m, MSG_NOSIGNAL), sizeof *m);
	check_eq(recvmsg(fd, &msg, MSG_CMSG_CLOEXEC), sizeof *m);
	check_eq(agent_message_check(m, sizeof *m, true, NULL), 0);
	*came = -1;
	if (CMSG_FIRSTHDR(&msg))
		memcpy(came, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof *came);
	return (int)m->kind;
}

static void agent_reads_a_folder(void)
{
	static struct agent_message m;
	struct identity id, got = { 0 };
	char dir[512], source[600];
	int fds[2], came, status;
	pid_t child;

	rig_setup(&rig);
	snprintf(dir, sizeof dir, "%s", suite_tmp("agent-identity"));
	snprintf(source, sizeof source, "dir:%s", dir);
	mkdir(dir, 0700);
	check_or_return(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds));
	child = fork();
	if (!child) {
		close(fds[0]);
		_exit(agent_serve(fds[1]));
	}
	close(fds[1]);
	check_eq(ask(fds[0], "dir:/nowhere", &m, &came), AGENT_FAILED);
	check_eq(m.code, -ENOENT);
	check_eq(ask(fds[0], "file:/nowhere", &m, &came), AGENT_FAILED);
	check_str(m.text, "an identity comes from lma or dir:PATH");
	check_eq(ask(fds[0], "lma", &m, &came), AGENT_FAILED);
	check_str(m.text, "lma: is not set; it is where a certificate comes from");
	id = make(PKI_LCG, "gw1", true);
	check_eq(identity_save(dir, &id, NULL), 0);
	check_eq(ask(fds[0], source, &m, &came), AGENT_FAILED);
	check_str(m.text, "the certificate is that of lcg/gw1, this server is hv/web01");
	identity_drop(&id);
	id = make(PKI_HV, "web01", true);
	check_eq(identity_save(dir, &id, NULL), 0);
	check_eq(ask(fds[0], source, &m, &came), AGENT_IDENTITY);
	check_eq(agent_unpack_identity(&m, came, &got, NULL), 0);
	check(got.cert && !X509_cmp(got.cert, id.cert));
	close(came);
	close(fds[0]);
	check(waitpid(child, &status, 0) == child && WIFEXITED(status) && !WEXITSTATUS(status));
	identity_drop(&id);
	identity_drop(&got);
	rig_drop(&rig);
}

static const struct test tests[] = {
	{ "an identity passes", identity_passes },
	{ "half an identity is refused", half_an_identity_is_refused },
	{ "an agent reads a folder", agent_reads_a_folder },
	{ NULL, NULL },
};

const struct suite suite_crypto_luks_agent_identity = { tests };
