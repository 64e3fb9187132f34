/* SPDX-License-Identifier: MIT */
/* Keys and fingerprints out of parts: that no two lists of parts give the same. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include <idem/idem.h>

#include "runner.h"

#include <openssl/sha.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PARTS(...)                     \
    (const idem_bytes[]){__VA_ARGS__}, \
        sizeof((const idem_bytes[]){__VA_ARGS__}) / sizeof(idem_bytes)

static void assert_key(const idem_bytes *parts, size_t count, const char *expected)
{
    char buf[IDEM_KEY_MAX];
    size_t len = 0;
    idem_error error = {0};
    ck_assert_msg(idem_key_compose(parts, count, buf, sizeof buf, &len, &error) == IDEM_OK, "%s",
                  error.message);
    ck_assert_msg(len == strlen(expected) && memcmp(buf, expected, len) == 0, "%.*s", (int)len,
                  buf);
}

START_TEST(keys_are_readable)
{
    assert_key(PARTS(idem_str("acme"), idem_str("POST"), idem_str("/charges"), idem_str("k-1")),
               "acme:POST:/charges:k-1");
    assert_key(PARTS(idem_str("a:b"), idem_str("100%")), "a%3Ab:100%25");
    assert_key(PARTS(idem_str(""), idem_str("")), ":");
    assert_key(PARTS(idem_str("a"), idem_str("")), "a:");
}
END_TEST

/* Every list of up to three parts over a small alphabet gives a key, and a fingerprint, of its
   own. */
START_TEST(no_two_lists_give_the_same)
{
    static const char *const words[] = {"", ":", "%", "%3A", "a", "a:", ":a", "3A"};
    enum { WORDS = 8, LISTS = WORDS + WORDS * WORDS + WORDS * WORDS * WORDS };
    static char keys[LISTS][64];
    static uint8_t prints[LISTS][32];
    int count = 0;
    for (int n = 1; n <= 3; n++) {
        for (int code = 0; code < (n == 1   ? WORDS
                                   : n == 2 ? WORDS * WORDS
                                            : LISTS - WORDS - 64);
             code++) {
            idem_bytes parts[3] = {idem_str(words[code % WORDS]),
                                   idem_str(words[code / WORDS % WORDS]),
                                   idem_str(words[code / WORDS / WORDS])};
            size_t len = 0;
            ck_assert_int_eq(idem_fingerprint(parts, (size_t)n, prints[count], NULL), IDEM_OK);
            if (idem_key_compose(parts, (size_t)n, keys[count], 63, &len, NULL) == IDEM_OK)
                keys[count][len] = '\0';
            count++;
        }
    }
    ck_assert_int_eq(count, LISTS);
    for (int i = 0; i < count; i++) {
        ck_assert_msg((i == 0) == (keys[i][0] == '\0'), "only one empty part alone is refused");
        for (int k = 0; k < i; k++) {
            ck_assert_msg(strcmp(keys[i], keys[k]) != 0, "%s", keys[i]);
            ck_assert_msg(memcmp(prints[i], prints[k], 32) != 0, "lists %d and %d", i, k);
        }
    }
}
END_TEST

START_TEST(a_long_key_is_too_large_and_nothing_is_written)
{
    static char long_part[IDEM_KEY_MAX + 1];
    char buf[4] = "xyz";
    size_t len = 99;
    idem_error error;
    memset(long_part, 'k', sizeof long_part);
    idem_bytes part = {long_part, sizeof long_part};
    static char room[2 * IDEM_KEY_MAX];
    ck_assert_int_eq(idem_key_compose(&part, 1, room, sizeof room, &len, &error),
                     IDEM_ERR_TOO_LARGE);
    part.len = IDEM_KEY_MAX;
    ck_assert_int_eq(idem_key_compose(&part, 1, room, sizeof room, &len, &error), IDEM_OK);
    ck_assert_uint_eq(len, IDEM_KEY_MAX);
    len = 99;
    part.len = 4;
    ck_assert_int_eq(idem_key_compose(&part, 1, buf, 3, &len, &error), IDEM_ERR_TOO_LARGE);
    ck_assert_uint_eq(len, 99);
    ck_assert_str_eq(buf, "xyz");
    ck_assert_ptr_nonnull(strstr(error.message, "fingerprint"));
}
END_TEST

START_TEST(bad_arguments_are_refused)
{
    char buf[8];
    uint8_t out[32];
    size_t len;
    idem_bytes dangling = {NULL, 3};
    idem_bytes fine = idem_str("a");
    ck_assert_int_eq(idem_key_compose(&fine, 0, buf, 8, &len, NULL), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_key_compose(NULL, 1, buf, 8, &len, NULL), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_key_compose(&dangling, 1, buf, 8, &len, NULL), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_key_compose(&fine, 1, NULL, 8, &len, NULL), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_key_compose(&fine, 1, buf, 8, NULL, NULL), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_fingerprint(&fine, 0, out, NULL), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_fingerprint(NULL, 1, out, NULL), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_fingerprint(&dangling, 1, out, NULL), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_fingerprint(&fine, 1, NULL, NULL), IDEM_ERR_ARGUMENT);
}
END_TEST

/* The input is count, then length and bytes of each part, numbers as 8 bytes: the digest of
   0000000000000001 0000000000000003 616263 was computed with sha256sum. */
START_TEST(the_fingerprint_is_a_sha256)
{
    uint8_t out[32];
    char hex[65];
    idem_bytes part = idem_str("abc");
    ck_assert_int_eq(idem_fingerprint(&part, 1, out, NULL), IDEM_OK);
    for (int i = 0; i < 32; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", out[i]);
    ck_assert_str_eq(hex, "14e756fc6698a9725a288b34168626915e9bbd4800531d2f91d492d44220151b");
}
END_TEST

/* The n-th call of libcrypto's fails, for n that go up until none is left to fail. */
static int calls_left = -1; /* before one fails; negative: none does */

static bool fails(void)
{
    calls_left -= calls_left >= 0;
    return calls_left == -1;
}

int __real_SHA256_Update(SHA256_CTX *hash, const void *data, size_t len);
int __wrap_SHA256_Update(SHA256_CTX *hash, const void *data, size_t len);
int __real_SHA256_Final(unsigned char *out, SHA256_CTX *hash);
int __wrap_SHA256_Final(unsigned char *out, SHA256_CTX *hash);

int __wrap_SHA256_Update(SHA256_CTX *hash, const void *data, size_t len)
{
    bool counts = calls_left >= 0;
    return counts && fails() ? 0 : __real_SHA256_Update(hash, data, len);
}

int __wrap_SHA256_Final(unsigned char *out, SHA256_CTX *hash)
{
    bool counts = calls_left >= 0;
    return counts && fails() ? 0 : __real_SHA256_Final(out, hash);
}

START_TEST(what_libcrypto_fails_at_is_an_error_and_no_fingerprint)
{
    uint8_t out[32];
    idem_error error;
    int rc = IDEM_ERR_INTERNAL;
    int fail_at = 0;
    for (; rc != IDEM_OK; fail_at++) {
        memset(out, 'x', sizeof out);
        calls_left = fail_at;
        rc = idem_fingerprint(PARTS(idem_str("a"), idem_str("b")), out, &error);
        ck_assert_int_eq(error.code, rc);
        if (rc == IDEM_OK)
            break;
        ck_assert_int_eq(rc, IDEM_ERR_INTERNAL);
        ck_assert_msg(out[0] == 'x' && out[31] == 'x', "it was written");
    }
    calls_left = -1;
    ck_assert_int_eq(fail_at, 6); /* the count, twice a length and a part, final */
}
END_TEST

/* A program that asks for a fingerprint did not ask for what the host's openssl.cnf names. */
START_TEST(the_hosts_configuration_of_openssl_is_not_read)
{
    char path[] = "/tmp/idem-openssl-XXXXXX";
    uint8_t out[32];
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_gt(dprintf(fd,
                             "openssl_conf = init\n[init]\nproviders = all\n[all]\ntrap = trap\n"
                             "[trap]\nmodule = %s\nactivate = 1\n",
                             IDEM_PROVIDER_TRAP),
                     0);
    (void)close(fd);
    ck_assert_int_eq(setenv("OPENSSL_CONF", path, 1), 0);
    int rc = idem_fingerprint(PARTS(idem_str("a")), out, NULL); /* the process lives on */
    (void)unlink(path);
    ck_assert_int_eq(rc, IDEM_OK);
}
END_TEST

static void *fingerprint_often(void *place)
{
    for (int i = 0; i < 200; i++) {
        if (idem_fingerprint(PARTS(idem_str("a"), idem_str("b")), place, NULL))
            return place;
    }
    return NULL;
}

START_TEST(threads_may_ask_for_the_first_fingerprint_at_once)
{
    pthread_t threads[8];
    uint8_t out[8][32];
    for (size_t i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, fingerprint_often, out[i]), 0);
    for (size_t i = 0; i < 8; i++) {
        void *failed;
        ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
        ck_assert_ptr_null(failed);
        ck_assert(memcmp(out[i], out[0], sizeof out[0]) == 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compose");
    ADD(suite, keys_are_readable);
    ADD(suite, no_two_lists_give_the_same);
    ADD(suite, a_long_key_is_too_large_and_nothing_is_written);
    ADD(suite, bad_arguments_are_refused);
    ADD(suite, the_hosts_configuration_of_openssl_is_not_read);
    ADD(suite, threads_may_ask_for_the_first_fingerprint_at_once);
    ADD(suite, the_fingerprint_is_a_sha256);
    ADD(suite, what_libcrypto_fails_at_is_an_error_and_no_fingerprint);
    return run_suite(suite);
}
