/* SPDX-License-Identifier: MIT */
/* Keys as callers name them, and as backends know them. */
#include "call_key.h"

#include "runner.h"
#include "store.h"

static char longest[IDEM_KEY_MAX + 1];
static char prefix[IDEM_PREFIX_MAX];

START_TEST(a_key_has_1_to_so_many_bytes_of_any_kind)
{
    idem_error error = {.code = IDEM_OK};
    static const char zeros[2];
    ck_assert_int_eq(idem__call_key_check((idem_bytes){zeros, 1}, &error), IDEM_OK);
    ck_assert_int_eq(idem__call_key_check((idem_bytes){longest, IDEM_KEY_MAX}, &error), IDEM_OK);
    ck_assert_int_eq(idem__call_key_check((idem_bytes){longest, IDEM_KEY_MAX + 1}, &error),
                     IDEM_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "use a fingerprint of it"));
    error.code = IDEM_OK;
    ck_assert_int_eq(idem__call_key_check((idem_bytes){"k", 0}, &error), IDEM_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "the key is empty"));
    ck_assert_int_eq(idem__call_key_check((idem_bytes){NULL, 1}, &error), IDEM_ERR_ARGUMENT);
}
END_TEST

START_TEST(without_a_prefix_it_is_the_callers_own)
{
    idem_store store = {.id = 1};
    idem__call_key full;
    idem_bytes key = idem_str("charge-42");
    ck_assert_int_eq(idem__call_key_make(&full, &store, key, NULL), IDEM_OK);
    ck_assert_ptr_eq(full.bytes.data, key.data);
    ck_assert_uint_eq(full.bytes.len, key.len);
}
END_TEST

START_TEST(the_longest_of_both_fit)
{
    idem_store store = {.prefix = {prefix, IDEM_PREFIX_MAX}};
    idem__call_key full;
    memset(prefix, 'p', sizeof prefix);
    memset(longest, 'k', sizeof longest);
    ck_assert_int_eq(idem__call_key_make(&full, &store, (idem_bytes){longest, IDEM_KEY_MAX}, NULL),
                     IDEM_OK);
    ck_assert_uint_eq(full.bytes.len, IDEM_PREFIX_MAX + IDEM_KEY_MAX);
    ck_assert_mem_eq(full.bytes.data, prefix, IDEM_PREFIX_MAX);
    ck_assert_mem_eq((const char *)full.bytes.data + IDEM_PREFIX_MAX, longest, IDEM_KEY_MAX);
    ck_assert_int_eq(
        idem__call_key_make(&full, &store, (idem_bytes){longest, IDEM_KEY_MAX + 1}, NULL),
        IDEM_ERR_ARGUMENT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("call key");
    ADD(suite, a_key_has_1_to_so_many_bytes_of_any_kind);
    ADD(suite, without_a_prefix_it_is_the_callers_own);
    ADD(suite, the_longest_of_both_fit);
    return run_suite(suite);
}
