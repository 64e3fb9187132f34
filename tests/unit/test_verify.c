/* SPDX-License-Identifier: MIT */
/*
 * A backend that lies: it gives what a file, a server or a backend of somebody's own could hold,
 * and no call may believe it. Each lie is one field of a record that is otherwise right.
 */
#include <idem/backend.h>

#include "runner.h"

#include <string.h>

#define KEY "charge-42"

static idem_record given; /* what every key holds */
static uint64_t removed;  /* removes of any version */
static uint64_t pages;    /* that a scan was asked for */
static bool in_a_circle;  /* a walk never gets on */
static bool contradicts;  /* every op was made, and something was in its way */
static int fails_with;    /* a code for every op, or 0 */
static idem_error err;

static int open_liar(const idem_config *config, idem_backend **backend, idem_error *error)
{
    static idem_backend liar;
    (void)config;
    (void)error;
    *backend = &liar;
    return IDEM_OK;
}

static int submit(idem_backend *backend, idem_op *const *ops, size_t count, uint64_t deadline_ms,
                  idem_error *error)
{
    (void)backend;
    (void)deadline_ms;
    (void)error;
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->kind == IDEM_OP_REMOVE && ops[i]->any_version) {
            removed++;
            ops[i]->applied = true;
            continue;
        }
        ops[i]->applied = contradicts;
        ops[i]->found = given;
        ops[i]->has_found = !fails_with;
        if (fails_with)
            idem_op_fail(ops[i], true, fails_with, "as it likes");
    }
    return IDEM_OK;
}

static int scan(idem_backend *backend, idem_scan_page *page, uint64_t deadline_ms,
                idem_error *error)
{
    (void)backend;
    (void)deadline_ms;
    pages++;
    page->next = in_a_circle ? 7 : 0;
    return page->emit(page->emit_user, &given, error);
}

static int purge(idem_backend *backend, idem_purge_portion *portion, uint64_t deadline_ms,
                 idem_error *error)
{
    (void)backend;
    (void)deadline_ms;
    (void)error;
    pages++;
    portion->next = in_a_circle ? 7 : 0;
    portion->removed = portion->limit + 1;
    return IDEM_OK;
}

static void close_liar(idem_backend *backend)
{
    (void)backend;
}

static const idem_backend_ops liar_ops = {
    .size = sizeof liar_ops,
    .scheme = "liar",
    .open = open_liar,
    .submit = submit,
    .close = close_liar,
    .scan = scan,
    .purge = purge,
};

static idem_store *open_liars(const char *options)
{
    idem_store *store = NULL;
    given = (idem_record){.key = idem_str(KEY),
                          .response = idem_str("{\"charged\":true}"),
                          .status = IDEM_STATUS_COMPLETED,
                          .attempt = 1,
                          .token = "0123456789abcde",
                          .version = 5,
                          .lease_ms = 60000,
                          .ttl_ms = 60000};
    removed = pages = 0;
    in_a_circle = contradicts = false;
    fails_with = 0;
    ck_assert_int_eq(idem_open_backend(&liar_ops, NULL, options, &store, &err), IDEM_OK);
    return store;
}

static void in_progress(void)
{
    given.status = IDEM_STATUS_IN_PROGRESS;
    given.response = (idem_bytes){NULL, 0};
    given.age_ms = 70000; /* its lease ran out: it could be taken over */
}

/* ------------------------------------------------------------------------------------- the lies */

static void no_status(void)
{
    given.status = (idem_status)0;
}

static void status_of_no_state(void)
{
    given.status = IDEM_STATUS_CORRUPT;
}

static void no_attempt(void)
{
    given.attempt = 0;
}

static void no_token(void)
{
    memset(given.token, 0, sizeof given.token);
}

static void endless_lease(void)
{
    given.lease_ms = IDEM_DURATION_MAX_MS + 1;
}

static void endless_retention(void)
{
    given.ttl_ms = UINT64_MAX;
}

static void no_response(void)
{
    given.response = (idem_bytes){NULL, 0};
}

static void empty_response(void)
{
    given.response.len = 0;
}

static void response_without_bytes(void)
{
    given.response.data = NULL;
}

static void response_of_two_values(void)
{
    given.response = idem_str("1,\"outcome\":\"new\",\"token\":\"x\"");
}

static void response_cut_off(void)
{
    given.response.len--;
}

static void response_of_no_utf8(void)
{
    given.response = idem_str("\"\xff\"");
}

static void response_with_a_nul(void)
{
    given.response = (idem_bytes){"{}\0", 3};
}

static void response_before_its_time(void)
{
    given.status = IDEM_STATUS_IN_PROGRESS;
}

static void checkpoint_with_a_nul(void)
{
    static const char text[] = "{}\0LD_PRELOAD=./pre.so";
    in_progress();
    given.checkpoint = (idem_bytes){text, sizeof text - 1};
}

static void checkpoint_of_no_json(void)
{
    in_progress();
    given.checkpoint = idem_str("{\"step\":}");
}

static void checkpoint_without_bytes(void)
{
    in_progress();
    given.checkpoint = (idem_bytes){NULL, 9};
}

static void long_fingerprint(void)
{
    static const char bytes[IDEM_FINGERPRINT_MAX + 1];
    given.fingerprint = (idem_bytes){bytes, sizeof bytes};
}

static void fingerprint_without_bytes(void)
{
    given.fingerprint = (idem_bytes){NULL, 32};
}

static void encoding_of_no_kind(void)
{
    given.encoding = (idem_encoding)2;
}

static void encoding_before_its_time(void)
{
    in_progress();
    given.encoding = IDEM_ENCODING_BYTES;
}

static void bytes_without_bytes(void)
{
    given.encoding = IDEM_ENCODING_BYTES;
    given.response.data = NULL;
}

static void bytes_without_a_token(void)
{
    given.encoding = IDEM_ENCODING_BYTES;
    given.version = 0;
    no_token();
}

static void another_key(void)
{
    given.key = idem_str("charge-43");
}

static void longer_key(void)
{
    given.key = idem_str(KEY "0");
}

static void no_key(void)
{
    given.key = (idem_bytes){NULL, 0};
}

typedef struct {
    void (*tell)(void);
    bool of_key; /* a scan does not show it: it is no key of this store, or another one */
} lie;

static const lie lies[] = {
    {no_status, false},
    {status_of_no_state, false},
    {no_attempt, false},
    {no_token, false},
    {endless_lease, false},
    {endless_retention, false},
    {no_response, false},
    {empty_response, false},
    {response_without_bytes, false},
    {response_of_two_values, false},
    {response_cut_off, false},
    {response_of_no_utf8, false},
    {response_with_a_nul, false},
    {response_before_its_time, false},
    {checkpoint_with_a_nul, false},
    {checkpoint_of_no_json, false},
    {checkpoint_without_bytes, false},
    {long_fingerprint, false},
    {fingerprint_without_bytes, false},
    {encoding_of_no_kind, false},
    {encoding_before_its_time, false},
    {bytes_without_bytes, false},
    {bytes_without_a_token, false},
    {another_key, true},
    {longer_key, true},
    {no_key, true},
};

static void expect_corrupt(int rc)
{
    ck_assert_msg(rc == IDEM_ERR_CORRUPT && err.code == rc, "%d: %s", rc, err.message);
    ck_assert_msg(strstr(err.message, "\"" KEY "\"") != NULL, "%s", err.message);
    ck_assert_ptr_null(strstr(err.message, "LD_PRELOAD"));
}

START_TEST(no_call_believes_a_lie)
{
    idem_outcome out = {0};
    idem_record record;
    idem_claim *claim = NULL;
    idem_store *store = open_liars(NULL);
    lies[_i].tell();
    expect_corrupt(idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err));
    ck_assert(!out.claim && !out.response.data && !out.checkpoint.data);
    expect_corrupt(idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY), .flags = IDEM_NO_TAKEOVER),
                              &out, &err));
    expect_corrupt(idem_get(store, idem_str(KEY), &record, &err));
    expect_corrupt(
        idem_resume(store, idem_str(KEY), (const uint8_t *)"0123456789abcde", &claim, &err));
    ck_assert_ptr_null(claim);
    ck_assert_uint_eq(removed, 0); /* it is left as it is */
    idem_close(store);
}
END_TEST

START_TEST(what_is_right_is_believed)
{
    idem_outcome out;
    idem_store *store = open_liars(NULL);
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err), IDEM_OK);
    ck_assert(out.kind == IDEM_COMPLETED && out.response.len == given.response.len);
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

START_TEST(any_bytes_are_believed_where_the_record_says_so)
{
    idem_outcome out;
    idem_store *store = open_liars(NULL);
    given.encoding = IDEM_ENCODING_BYTES;
    for (size_t len = 0; len < 3; len++) {
        given.response = (idem_bytes){"\xff\0", len};
        ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err),
                         IDEM_OK);
        ck_assert(out.kind == IDEM_COMPLETED && out.response.len == len);
        ck_assert_int_eq(out.encoding, IDEM_ENCODING_BYTES);
        idem_outcome_clear(&out);
    }
    idem_close(store);
}
END_TEST

/* The format's first writer knew no tokens. */
START_TEST(a_record_of_the_first_format_is_believed)
{
    idem_outcome out;
    idem_store *store = open_liars(NULL);
    no_token();
    given.version = 0;
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err), IDEM_OK);
    ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

/* ------------------------------------------------------------------------------------- the scan */

typedef struct {
    unsigned count;
    idem_record last; /* its bytes are gone */
    char key[32];
} seen;

static int note(const idem_record *record, void *user)
{
    seen *all = user;
    all->count++;
    all->last = *record;
    ck_assert_uint_lt(record->key.len, sizeof all->key);
    memcpy(all->key, record->key.data, record->key.len);
    all->key[record->key.len] = '\0';
    return 0;
}

START_TEST(a_scan_shows_a_lie_as_corrupt_by_its_key_alone)
{
    seen all = {0};
    idem_store *store = open_liars(NULL);
    lies[_i].tell();
    ck_assert_int_eq(idem_scan(store, NULL, note, &all, &err), IDEM_OK);
    if (!lies[_i].of_key) {
        ck_assert_uint_eq(all.count, 1);
        ck_assert_str_eq(all.key, KEY);
        ck_assert_int_eq(all.last.status, IDEM_STATUS_CORRUPT);
        ck_assert(all.last.attempt == 0 && all.last.version == 0 && all.last.response.len == 0 &&
                  all.last.checkpoint.len == 0 && all.last.lease_ms == 0);
        idem_filter corrupt = {.size = sizeof corrupt, .status = IDEM_STATUS_CORRUPT};
        idem_filter completed = {.size = sizeof completed, .status = IDEM_STATUS_COMPLETED};
        ck_assert_int_eq(idem_scan(store, &corrupt, note, &all, &err), IDEM_OK);
        ck_assert_uint_eq(all.count, 2);
        ck_assert_int_eq(idem_scan(store, &completed, note, &all, &err), IDEM_OK);
        ck_assert_uint_eq(all.count, 2);
    }
    idem_close(store);
}
END_TEST

START_TEST(a_scan_passes_over_keys_that_are_not_the_stores)
{
    seen all = {0};
    static const char *const keys[] = {"", "x", "team-b/x", "team-a/", "team-a"};
    idem_store *store = open_liars("prefix=team-a/");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        given.key = idem_str(keys[i]);
        ck_assert_int_eq(idem_scan(store, NULL, note, &all, &err), IDEM_OK);
    }
    ck_assert_uint_eq(all.count, 0);
    given.key = idem_str("team-a/x");
    ck_assert_int_eq(idem_scan(store, NULL, note, &all, &err), IDEM_OK);
    ck_assert_str_eq(all.key, "x");
    idem_close(store);
}
END_TEST

START_TEST(a_walk_that_does_not_get_on_ends)
{
    seen all = {0};
    uint64_t dropped = 0;
    idem_store *store = open_liars("timeout=100ms");
    in_a_circle = true;
    ck_assert_int_eq(idem_scan(store, NULL, note, &all, &err), IDEM_ERR_UNAVAILABLE);
    ck_assert_int_eq(idem_purge(store, 0, &dropped, &err), IDEM_ERR_UNAVAILABLE);
    ck_assert(dropped == 0);
    in_a_circle = false;
    ck_assert_int_eq(idem_purge(store, 10, &dropped, &err), IDEM_OK);
    ck_assert_uint_eq(dropped, 11); /* more than it was asked for */
    in_a_circle = true;
    ck_assert_int_eq(idem_purge(store, 10, &dropped, &err), IDEM_OK);
    idem_close(store);
}
END_TEST

/* ------------------------------------------------------------------------- answers, not records */

/* A get makes no change, whatever the backend says of it: so nothing was claimed. */
START_TEST(nothing_is_new_by_a_read)
{
    static idem_backend_ops looks_first;
    idem_store *store = NULL;
    idem_outcome outcome;
    idem_claim *claim = NULL;
    idem_close(open_liars("timeout=100ms"));
    looks_first = liar_ops;
    looks_first.traits = IDEM_BACKEND_READ_FIRST;
    ck_assert_int_eq(idem_open_backend(&looks_first, NULL, "timeout=100ms", &store, &err), IDEM_OK);
    contradicts = true;
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY)), &outcome, &err),
                     IDEM_OK);
    ck_assert_int_eq(outcome.kind, IDEM_COMPLETED);
    ck_assert_uint_eq(outcome.response.len, given.response.len);
    idem_outcome_clear(&outcome);
    ck_assert_int_eq(idem_resume(store, idem_str(KEY), given.token, &claim, &err), IDEM_OK);
    idem_claim_free(claim);
    idem_close(store);
}
END_TEST

START_TEST(a_change_that_was_made_and_not_made_is_uncertain)
{
    idem_outcome outcome;
    idem_claim *claim = NULL;
    idem_store *store = open_liars("timeout=100ms");
    in_progress();
    given.age_ms = 0;
    ck_assert_int_eq(idem_resume(store, idem_str(KEY), given.token, &claim, &err), IDEM_OK);
    contradicts = true;
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY)), &outcome, &err),
                     IDEM_ERR_UNCERTAIN);
    ck_assert_int_eq(outcome.kind, 0);
    ck_assert_int_eq(idem_renew(store, claim, 0, &err), IDEM_ERR_UNCERTAIN);
    ck_assert_int_eq(idem_complete(store, claim, idem_str("1"), &err), IDEM_ERR_UNCERTAIN);
    ck_assert_ptr_nonnull(strstr(err.message, "contradict"));
    idem_claim_free(claim);
    idem_close(store);
}
END_TEST

static const int codes[] = {-1, 13, 999, INT32_MIN, INT32_MAX};

START_TEST(a_code_that_is_none_is_internal)
{
    idem_record record;
    idem_store *store = open_liars("timeout=100ms");
    fails_with = codes[_i];
    ck_assert_int_eq(idem_get(store, idem_str(KEY), &record, &err), IDEM_ERR_INTERNAL);
    ck_assert_int_eq(err.code, IDEM_ERR_INTERNAL);
    ck_assert_str_eq(err.message, "as it likes");
    idem_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("verify");
    ADD_ROWS(suite, no_call_believes_a_lie, lies);
    ADD(suite, what_is_right_is_believed);
    ADD(suite, any_bytes_are_believed_where_the_record_says_so);
    ADD(suite, a_record_of_the_first_format_is_believed);
    ADD_ROWS(suite, a_scan_shows_a_lie_as_corrupt_by_its_key_alone, lies);
    ADD(suite, a_scan_passes_over_keys_that_are_not_the_stores);
    ADD(suite, a_walk_that_does_not_get_on_ends);
    ADD(suite, nothing_is_new_by_a_read);
    ADD(suite, a_change_that_was_made_and_not_made_is_uncertain);
    ADD_ROWS(suite, a_code_that_is_none_is_internal, codes);
    return run_suite(suite);
}
