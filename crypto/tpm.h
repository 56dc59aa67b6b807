/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing small secrets with a TPM 2.0 (TCG TPM 2.0 Library, Part 3: TPM2_Create, TPM2_Load, TPM2_Unseal) under the owner's storage
 * root key. HULL_TPM_TCTI names the TPM (tss2-tctildr syntax); default: /dev/tpmrm0. The sealed blob opens only with that TPM.
 */
#pragma once
#include "crypto/secret.h"

enum { TPM_BLOB_MAX = 1024, TPM_SECRET_MAX = 64 };

/* -ENODEV: no TPM here. */
int tpm_seal(const struct secret *secret, uint8_t blob[TPM_BLOB_MAX], size_t *len, struct err *err) must_check;
/* -EPERM: another TPM, or one that was cleared. */
int tpm_unseal(const uint8_t *blob, size_t len, struct secret *secret, struct err *err) must_check;
