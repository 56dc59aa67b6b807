/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storage root key is made anew each time from the owner's seed by the standard template (TCG EK Credential Profile and
 * Provisioning Guidance: ECC P-256 storage key), so nothing is kept in the TPM. Secrets cross the bus encrypted: an HMAC session,
 * salted to that key, with AES-128-CFB on the first parameter of TPM2_Create and of TPM2_Unseal's answer.
 */
#include "crypto/tpm.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>

#define DEFAULT_TCTI "device:/dev/tpmrm0"

struct tpm {
	TSS2_TCTI_CONTEXT *tcti;
	ESYS_CONTEXT *esys;
	ESYS_TR root, session;
};

static const TPM2B_PUBLIC root_template = { .publicArea = {
	.type = TPM2_ALG_ECC,
	.nameAlg = TPM2_ALG_SHA256,
	.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
		TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
	.parameters.eccDetail = {
		.symmetric = { .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB },
		.scheme.scheme = TPM2_ALG_NULL,
		.curveID = TPM2_ECC_NIST_P256,
		.kdf.scheme = TPM2_ALG_NULL,
	},
	.unique.ecc = { .x.size = 32, .y.size = 32 },
} };

static const TPM2B_PUBLIC sealed_template = { .publicArea = {
	.type = TPM2_ALG_KEYEDHASH,
	.nameAlg = TPM2_ALG_SHA256,
	.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA,
	.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL,
} };

static int tpm_fail(struct err *err, int code, const char *what, TSS2_RC rc)
{
	return err_set(err, code, "TPM: %s: %s", what, Tss2_RC_Decode(rc));
}

static void tpm_close(struct tpm *t)
{
	if (t->esys) {
		if (t->session != ESYS_TR_NONE)
			Esys_FlushContext(t->esys, t->session);
		if (t->root != ESYS_TR_NONE)
			Esys_FlushContext(t->esys, t->root);
		Esys_Finalize(&t->esys);
	}
	Tss2_TctiLdr_Finalize(&t->tcti);
}

static int start_session(struct tpm *t, struct err *err)
{
	static const TPMT_SYM_DEF cipher = { .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB };
	TSS2_RC rc = Esys_StartAuthSession(t->esys, t->root, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL,
		TPM2_SE_HMAC, &cipher, TPM2_ALG_SHA256, &t->session);

	if (!rc)
		rc = Esys_TRSess_SetAttributes(t->esys, t->session,
			TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, 0xff);
	return rc ? tpm_fail(err, -EIO, "cannot start an encrypted session", rc) : 0;
}

static int tpm_open(struct tpm *t, struct err *err)
{
	static const TPM2B_SENSITIVE_CREATE no_auth;
	static const TPM2B_DATA outside;
	static const TPML_PCR_SELECTION no_pcrs;
	const char *name = getenv("HULL_TPM_TCTI") ?: DEFAULT_TCTI;
	TSS2_RC rc;

	*t = (struct tpm){ .root = ESYS_TR_NONE, .session = ESYS_TR_NONE };
	setenv("TSS2_LOG", "all+none", 0);	/* what it would print on standard error, our message says */
	rc = Tss2_TctiLdr_Initialize(name, &t->tcti);
	if (rc)
		return err_set(err, -ENODEV, "there is no TPM at %s: %s; HULL_TPM_TCTI names another", name, Tss2_RC_Decode(rc));
	rc = Esys_Initialize(&t->esys, t->tcti, NULL);
	if (rc)
		return tpm_fail(err, -EIO, "cannot be used", rc);
	rc = Esys_CreatePrimary(t->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &no_auth, &root_template,
		&outside, &no_pcrs, &t->root, NULL, NULL, NULL, NULL);
	if (rc) {
		t->root = ESYS_TR_NONE;
		return tpm_fail(err, -EIO, "its storage root key cannot be made (an owner's password must be empty)", rc);
	}
	return start_session(t, err);
}

static int pack(const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private, uint8_t *blob, size_t *len)
{
	size_t off = 0;

	if (Tss2_MU_TPM2B_PUBLIC_Marshal(public, blob, TPM_BLOB_MAX, &off) ||
	    Tss2_MU_TPM2B_PRIVATE_Marshal(private, blob, TPM_BLOB_MAX, &off))
		return -EMSGSIZE;
	*len = off;
	return 0;
}

static int seal(struct tpm *t, const TPM2B_SENSITIVE_CREATE *in, uint8_t *blob, size_t *len, struct err *err)
{
	static const TPM2B_DATA outside;
	static const TPML_PCR_SELECTION no_pcrs;
	TPM2B_PRIVATE *private = NULL;
	TPM2B_PUBLIC *public = NULL;
	TSS2_RC rc = Esys_Create(t->esys, t->root, t->session, ESYS_TR_NONE, ESYS_TR_NONE, in, &sealed_template, &outside, &no_pcrs,
		&private, &public, NULL, NULL, NULL);
	int ret;

	if (rc)
		return tpm_fail(err, -EIO, "cannot seal", rc);
	ret = pack(public, private, blob, len);
	Esys_Free(private);
	Esys_Free(public);
	return ret ? err_set(err, ret, "TPM: its sealed blob has more than %d bytes", TPM_BLOB_MAX) : 0;
}

int tpm_seal(const struct secret *secret, uint8_t blob[TPM_BLOB_MAX], size_t *len, struct err *err)
{
	TPM2B_SENSITIVE_CREATE *in;
	struct tpm t;
	int rc;

	if (!secret->len || secret->len > TPM_SECRET_MAX)
		return err_set(err, -EINVAL, "TPM: a secret has 1 to %d bytes", TPM_SECRET_MAX);
	in = secret_alloc(sizeof *in);
	if (!in)
		return secret_refused(err, -errno);
	in->sensitive.data.size = (uint16_t)secret->len;
	memcpy(in->sensitive.data.buffer, secret->data, secret->len);
	rc = tpm_open(&t, err);
	if (!rc)
		rc = seal(&t, in, blob, len, err);
	tpm_close(&t);
	secret_free(in);
	return rc;
}

static int unpack(const uint8_t *blob, size_t len, TPM2B_PUBLIC *public, TPM2B_PRIVATE *private, struct err *err)
{
	size_t off = 0;

	if (len > TPM_BLOB_MAX || Tss2_MU_TPM2B_PUBLIC_Unmarshal(blob, len, &off, public) ||
	    Tss2_MU_TPM2B_PRIVATE_Unmarshal(blob, len, &off, private) || off != len)
		return err_set(err, -EINVAL, "TPM: this is no sealed blob");
	return 0;
}

/* What the TPM says to a blob that is not its own; everything else is trouble with the TPM. */
static bool is_foreign(TSS2_RC rc)
{
	if ((rc & TSS2_RC_LAYER_MASK) || !(rc & TPM2_RC_FMT1))
		return false;
	switch (rc & (TPM2_RC_FMT1 | 0x3f)) {
	case TPM2_RC_INTEGRITY:
	case TPM2_RC_SIZE:
	case TPM2_RC_TYPE:
	case TPM2_RC_HASH:
	case TPM2_RC_SCHEME:
	case TPM2_RC_ATTRIBUTES:
	case TPM2_RC_BINDING:
	case TPM2_RC_KEY:
	case TPM2_RC_VALUE:
	case TPM2_RC_SYMMETRIC:
	case TPM2_RC_INSUFFICIENT:
	case TPM2_RC_RESERVED_BITS:
	case TPM2_RC_AUTH_FAIL:
	case TPM2_RC_BAD_AUTH:
		return true;
	}
	return false;
}

static int refused(struct err *err, const char *what, TSS2_RC rc)
{
	if (is_foreign(rc))
		return err_set(err, -EPERM, "TPM: does not open this: it was sealed with another TPM, or this one was cleared since (%s)",
			Tss2_RC_Decode(rc));
	return tpm_fail(err, -EIO, what, rc);
}

static int unseal(struct tpm *t, const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private, struct secret *secret, struct err *err)
{
	TPM2B_SENSITIVE_DATA *out = NULL;
	ESYS_TR object = ESYS_TR_NONE;
	TSS2_RC rc = Esys_Load(t->esys, t->root, t->session, ESYS_TR_NONE, ESYS_TR_NONE, private, public, &object);
	int ret;

	if (rc)
		return refused(err, "cannot load the sealed blob", rc);
	rc = Esys_Unseal(t->esys, object, t->session, ESYS_TR_NONE, ESYS_TR_NONE, &out);
	Esys_FlushContext(t->esys, object);
	if (rc)
		return refused(err, "cannot unseal", rc);
	ret = secret_copy(secret, out->buffer, out->size);
	secret_wipe(out, sizeof *out);
	Esys_Free(out);
	return ret ? secret_refused(err, ret) : 0;
}

int tpm_unseal(const uint8_t *blob, size_t len, struct secret *secret, struct err *err)
{
	TPM2B_PRIVATE private = { 0 };
	TPM2B_PUBLIC public = { 0 };
	struct tpm t;
	int rc = unpack(blob, len, &public, &private, err);

	*secret = (struct secret){ 0 };
	if (rc)
		return rc;
	rc = tpm_open(&t, err);
	if (!rc)
		rc = unseal(&t, &public, &private, secret, err);
	tpm_close(&t);
	return rc;
}
