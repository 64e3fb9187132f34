/* SPDX-License-Identifier: MIT */
/* SHA-256 as the command has it, beside libcrypto's, and the library's fingerprint. */
#include "sha256.h"

#include "runner.h"

#include <openssl/sha.h>
#include <string.h>

enum { LONGEST = 300 };

static void fill(unsigned char data[LONGEST])
{
    for (size_t i = 0; i < LONGEST; i++)
        data[i] = (unsigned char)(i * 37 + i / 7);
}

/* Each length meets the padding in another way. */
START_TEST(libcrypto_agrees_on_every_length)
{
    unsigned char data[LONGEST];
    fill(data);
    for (size_t len = 0; len <= LONGEST; len++) {
        unsigned char expected[CLI_SHA256_SIZE];
        uint8_t digest[CLI_SHA256_SIZE];
        (void)SHA256(data, len, expected);
        cli_sha256(&(idem_bytes){data, len}, 1, digest);
        ck_assert_mem_eq(digest, expected, sizeof digest);
        const idem_bytes pieces[] = {{data, len / 3}, {NULL, 0}, {data + len / 3, len - len / 3}};
        cli_sha256(pieces, 3, digest);
        ck_assert_mem_eq(digest, expected, sizeof digest);
    }
}
END_TEST

START_TEST(a_long_fingerprint_is_the_librarys)
{
    unsigned char data[LONGEST];
    fill(data);
    for (size_t len = IDEM_FINGERPRINT_MAX + 1; len <= LONGEST; len++) {
        uint8_t expected[CLI_SHA256_SIZE];
        uint8_t digest[CLI_SHA256_SIZE];
        const idem_bytes part = {data, len};
        ck_assert_int_eq(idem_fingerprint(&part, 1, expected, NULL), IDEM_OK);
        cli_sha256_fingerprint(part, digest);
        ck_assert_mem_eq(digest, expected, sizeof digest);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sha256");
    ADD(suite, libcrypto_agrees_on_every_length);
    ADD(suite, a_long_fingerprint_is_the_librarys);
    return run_suite(suite);
}
