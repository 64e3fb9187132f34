/* SPDX-License-Identifier: MIT */
/* SHA-256 (FIPS 180-4) of what is on a command line: libcrypto takes longer to load than a
   replay. */
#ifndef IDEM_CLI_SHA256_H
#define IDEM_CLI_SHA256_H

#include <idem/idem.h>

#define CLI_SHA256_SIZE 32

/** The digest of some pieces, one behind the other. */
void cli_sha256(const idem_bytes *pieces, size_t count, uint8_t digest[CLI_SHA256_SIZE]);

/** What idem_fingerprint() gives of one part. */
void cli_sha256_fingerprint(idem_bytes part, uint8_t digest[CLI_SHA256_SIZE]);

#endif
