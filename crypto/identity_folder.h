/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An identity in a folder, as `hull pki enrol` writes it: ca.pem, identity.pem (certificate and key, mode 0600) and crl.pem, which need not
 * be there. For programs that are started again by themselves. Blocks on the disk; any thread.
 */
#pragma once
#include "crypto/identity.h"

/* The key lies in secret memory. Errors name the file. *id is empty after a failure. */
int identity_load(const char *dir, struct identity *id, struct err *err) must_check;
/* Certificate and key are replaced as one file: no crash parts them. */
int identity_save(const char *dir, const struct identity *id, struct err *err) must_check;
