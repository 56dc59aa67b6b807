/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/identity_folder.h"
#include <fcntl.h>
#include <sys/stat.h>
#include "tests/unit/crypto/pki/pki_rig.h"

static char dir[512];

static const char *file(const char *name)
{
	static char path[600];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

static void write_text(const char *name, const char *text)
{
	FILE *f = fopen(file(name), "w");

	CU_ASSERT_FATAL(f != NULL);
	check(fputs(text, f) >= 0);
	fclose(f);
}

static struct identity make(struct pki_rig *r, const char *name)
{
	struct identity id = { .key = rig_key() };

	id.cert = rig_cert(r, PKI_LCG, name, id.key);
	id.ca = ca_cert(r->ca);
	X509_up_ref(id.ca);
	CU_ASSERT_FATAL(!ca_crl(r->ca, r->now, &id.crl, NULL));
	return id;
}

static void setup(struct pki_rig *r)
{
	rig_setup(r);
	snprintf(dir, sizeof dir, "%s", suite_tmp("identity"));
	check(!mkdir(dir, 0700) || errno == EEXIST);
}

static void drop(struct pki_rig *r)
{
	static const char *const names[] = { "ca.pem", "crl.pem", "identity.pem" };

	for (unsigned i = 0; i < 3; i++)
		unlink(file(names[i]));
	rmdir(dir);
	rig_drop(r);
}

static void comes_back(void)
{
	struct identity id, back = { 0 };
	struct pki_rig r;
	struct stat st;
	struct err err;

	setup(&r);
	id = make(&r, "gw1");
	check_eq(identity_save(dir, &id, &err), 0);
	check(!stat(file("identity.pem"), &st) && (st.st_mode & 0777) == 0600);
	check_eq(identity_load(dir, &back, &err), 0);
	check(!X509_cmp(back.cert, id.cert) && !X509_cmp(back.ca, id.ca) && !X509_CRL_cmp(back.crl, id.crl));
	check_eq(EVP_PKEY_eq(back.key, id.key), 1);
	identity_drop(&back);
	unlink(file("crl.pem"));
	check_eq(identity_load(dir, &back, &err), 0);
	check(!back.crl);
	identity_drop(&back);
	identity_drop(&id);
	drop(&r);
}

static void says_which_file_is_bad(void)
{
	struct identity id, other, back = { 0 };
	struct pki_rig r;
	struct err err;

	setup(&r);
	check_eq(identity_load(dir, &back, &err), -ENOENT);
	check(strstr(err.text, "/ca.pem: cannot open: No such file") != NULL);
	id = make(&r, "gw1");
	other = make(&r, "gw2");
	check_eq(identity_save(dir, &id, &err), 0);
	write_text("crl.pem", "no list");
	check_eq(identity_load(dir, &back, &err), -EINVAL);
	check(strstr(err.text, "/crl.pem: ") != NULL);
	unlink(file("crl.pem"));
	write_text("identity.pem", "nothing");
	check(identity_load(dir, &back, &err) && strstr(err.text, "/identity.pem: ") != NULL);
	check(!back.ca && !back.cert && !back.key);
	/* the certificate of one and the key of the other */
	EVP_PKEY_free(id.key);
	id.key = other.key;
	other.key = NULL;
	check_eq(identity_save(dir, &id, &err), 0);
	check_eq(identity_load(dir, &back, &err), -EINVAL);
	check(strstr(err.text, "identity.pem: holds no key that is its certificate's") != NULL);
	identity_drop(&id);
	identity_drop(&other);
	drop(&r);
}

static void refuses_anothers_list(void)
{
	struct identity id, other, back = { 0 };
	struct pki_rig r, foreign;
	struct err err;

	setup(&r);
	rig_setup(&foreign);
	id = make(&r, "gw1");
	other = make(&foreign, "gw1");
	X509_CRL_free(id.crl);
	id.crl = other.crl;
	other.crl = NULL;
	check_eq(identity_save(dir, &id, &err), 0);
	check_eq(identity_load(dir, &back, &err), -EKEYREJECTED);
	check(strstr(err.text, "crl.pem: is not the authority's") != NULL);
	identity_drop(&id);
	identity_drop(&other);
	rig_drop(&foreign);
	drop(&r);
}

static const struct test tests[] = {
	{ "comes back", comes_back },
	{ "says which file is bad", says_which_file_is_bad },
	{ "refuses another's list", refuses_anothers_list },
	{ NULL },
};
const struct suite suite_crypto_identity_folder = { tests };
