/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An identity that lives in a folder: identity.pem (certificate and key, mode 0600), ca.pem, and crl.pem once a list was
 * fetched. `hull pki enrol` and `hull pki renew` write it. Any thread.
 */
#pragma once
#include "crypto/identity.h"

/* *id is zeroed before, or has what another load left, which is dropped on success and kept otherwise. */
int identity_load(const char *dir, struct identity *id, struct err *err) must_check;
/* Each file is replaced as a whole, certificate and key together, and is on the medium then. */
int identity_save(const char *dir, const struct identity *id, struct err *err) must_check;
