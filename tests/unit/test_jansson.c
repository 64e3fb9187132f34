/* SPDX-License-Identifier: MIT */
/* Responses as jansson values: there and back, and what each refusal says. */
#include <idem/jansson.h>

#include "runner.h"

#include <string.h>

static idem_store *store;

static void begin(const char *key, idem_outcome *out)
{
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str(key)), out, NULL), IDEM_OK);
}

START_TEST(a_value_comes_back)
{
    idem_outcome out;
    idem_error error;
    ck_assert_int_eq(idem_open("memory://", &store, NULL), IDEM_OK);
    json_t *value = json_pack("{s:b, s:[i, s]}", "charged", 1, "rest", 42, "x");
    begin("k", &out);
    ck_assert_int_eq(idem_complete_json(store, out.claim, value, &error), IDEM_OK);
    idem_outcome_clear(&out);
    begin("k", &out);
    json_t *read = idem_outcome_json(&out, &error);
    ck_assert(error.code == IDEM_OK && json_equal(read, value));
    idem_outcome_clear(&out);
    json_decref(read);
    json_decref(value);
    idem_close(store);
}
END_TEST

START_TEST(scalars_and_nul_come_back)
{
    static const char *const texts[] = {"1", "null", "\"a\\u0000b\"", "[]", "-0.5"};
    ck_assert_int_eq(idem_open("memory://", &store, NULL), IDEM_OK);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        idem_outcome out;
        begin(texts[i], &out);
        ck_assert_int_eq(idem_complete(store, out.claim, idem_str(texts[i]), NULL), IDEM_OK);
        idem_outcome_clear(&out);
        begin(texts[i], &out);
        json_t *read = idem_outcome_json(&out, NULL);
        ck_assert_msg(read != NULL, "%s", texts[i]);
        json_decref(read);
        idem_outcome_clear(&out);
    }
    idem_close(store);
}
END_TEST

START_TEST(what_jansson_cannot_hold_is_unsupported)
{
    idem_outcome out;
    idem_error error;
    ck_assert_int_eq(idem_open("memory://", &store, NULL), IDEM_OK);
    begin("k", &out);
    ck_assert_ptr_null(idem_outcome_json(&out, &error)); /* New has no response */
    ck_assert_int_eq(error.code, IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_complete_json(store, out.claim, NULL, &error), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(
        idem_complete(store, out.claim, idem_str("[\"hunter2\",18446744073709551616]"), NULL),
        IDEM_OK);
    idem_outcome_clear(&out);
    begin("k", &out);
    ck_assert_ptr_null(idem_outcome_json(&out, &error));
    ck_assert_int_eq(error.code, IDEM_ERR_UNSUPPORTED);
    ck_assert_ptr_null(strstr(error.message, "1844674"));
    ck_assert_ptr_nonnull(strstr(error.message, "line 1"));
    idem_outcome_clear(&out);
    ck_assert_ptr_null(idem_outcome_json(NULL, NULL));
    idem_close(store);
}
END_TEST

/* Even if the bytes happen to be JSON: their owner said that they are not meant as such. */
START_TEST(a_response_of_any_bytes_is_unsupported)
{
    idem_outcome out;
    idem_error error;
    ck_assert_int_eq(idem_open("memory://", &store, NULL), IDEM_OK);
    begin("k", &out);
    ck_assert_int_eq(idem_complete_bytes(store, out.claim, idem_str("[1]"), NULL), IDEM_OK);
    idem_outcome_clear(&out);
    begin("k", &out);
    ck_assert_ptr_null(idem_outcome_json(&out, &error));
    ck_assert_int_eq(error.code, IDEM_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.message, "idem_complete_bytes()"));
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jansson");
    ADD(suite, a_value_comes_back);
    ADD(suite, scalars_and_nul_come_back);
    ADD(suite, what_jansson_cannot_hold_is_unsupported);
    ADD(suite, a_response_of_any_bytes_is_unsupported);
    return run_suite(suite);
}
