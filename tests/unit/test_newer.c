/* SPDX-License-Identifier: MIT */
/* A program that was built for a newer library: its structs are longer than this one knows. What it
   leaves zero has its default; what it sets cannot be done, and is not passed over in silence. */
#include <idem/idem.h>

#include "runner.h"

#include <string.h>

static idem_store *store;
static idem_error err;

typedef struct {
    idem_options known;
    uint64_t later[2];
} newer_options;

typedef struct {
    idem_request known;
    uint64_t later[2];
} newer_request;

typedef struct {
    idem_filter known;
    uint64_t later[2];
} newer_filter;

static void open_memory(void)
{
    ck_assert_int_eq(idem_open("memory://", &store, &err), IDEM_OK);
}

static void expect_refused(int rc, const char *what)
{
    ck_assert_int_eq(rc, IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(err.code, rc);
    ck_assert_msg(strstr(err.message, what) && strstr(err.message, idem_version()), "%s",
                  err.message);
}

START_TEST(options)
{
    newer_options newer = {.known = {.size = sizeof newer}};
    ck_assert_int_eq(idem_open_with("memory://", &newer.known, &store, &err), IDEM_OK);
    idem_close(store);
    newer.later[1] = UINT64_C(1) << 63;
    expect_refused(idem_open_with("memory://", &newer.known, &store, &err), "options");
}
END_TEST

START_TEST(requests)
{
    idem_outcome out;
    newer_request newer;
    open_memory();
    memset(&newer, 0, sizeof newer);
    newer.known.key = idem_str("k");
    newer.known.size = sizeof newer;
    newer.later[0] = 1;
    expect_refused(idem_begin(store, &newer.known, &out, &err), "request");
    newer.later[0] = 0;
    ck_assert_int_eq(idem_begin(store, &newer.known, &out, &err), IDEM_OK);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

START_TEST(many_requests)
{
    idem_outcome outs[2];
    idem_error errors[2];
    newer_request newer[2];
    open_memory();
    memset(newer, 0, sizeof newer);
    newer[0].known.size = newer[1].known.size = sizeof newer[0];
    newer[0].known.key = idem_str("a");
    newer[1].known.key = idem_str("b");
    newer[1].later[1] = 7;
    expect_refused(idem_begin_many(store, &newer[0].known, 2, outs, errors, &err), "request");
    ck_assert(outs[0].kind == IDEM_NEW && outs[1].kind == 0);
    ck_assert(errors[0].code == IDEM_OK && errors[1].code == IDEM_ERR_ARGUMENT);
    idem_outcome_clear(&outs[0]);
    idem_close(store);
}
END_TEST

static int pass(const idem_record *record, void *user)
{
    (void)record;
    *(unsigned *)user += 1;
    return 0;
}

START_TEST(filters)
{
    unsigned seen = 0;
    newer_filter newer = {.known = {.size = sizeof newer}};
    open_memory();
    ck_assert_int_eq(idem_scan(store, &newer.known, pass, &seen, &err), IDEM_OK);
    newer.later[0] = 1;
    expect_refused(idem_scan(store, &newer.known, pass, &seen, &err), "filter");
    idem_close(store);
}
END_TEST

/* A size that was never set may be anything: nothing is read behind the struct on its word. */
START_TEST(a_size_that_no_version_has)
{
    idem_outcome out;
    idem_request request = {.size = SIZE_MAX, .key = idem_str("k")};
    idem_options with = {.size = SIZE_MAX};
    idem_filter filter = {.size = UINT32_MAX};
    unsigned seen = 0;
    open_memory();
    ck_assert_int_eq(idem_begin(store, &request, &out, &err), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_begin_many(store, &request, 1, &out, NULL, &err), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_scan(store, &filter, pass, &seen, &err), IDEM_ERR_ARGUMENT);
    idem_close(store);
    ck_assert_int_eq(idem_open_with("memory://", &with, &store, &err), IDEM_ERR_ARGUMENT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("newer");
    ADD(suite, options);
    ADD(suite, requests);
    ADD(suite, many_requests);
    ADD(suite, filters);
    ADD(suite, a_size_that_no_version_has);
    return run_suite(suite);
}
