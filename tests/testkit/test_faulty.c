/* SPDX-License-Identifier: MIT */
/* A store that fails by what its URL says, and by chance. What each kind of fault does,
   tests/proofs/faulty shows. */
#include <idem/testkit.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KEY idem_str("charge-42")

static idem_error err;

static void set_up(void)
{
    idem_testkit_clock_start(IDEM_TESTKIT_CLOCK_AUTO);
    ck_assert_int_eq(idem_testkit_register(&err), IDEM_OK);
    ck_assert_int_eq(idem_testkit_register(&err), IDEM_OK); /* once more does nothing */
    idem_testkit_faults_clear();
}

static void tear_down(void)
{
    idem_testkit_faults_clear();
    idem_testkit_clock_stop();
}

static idem_store *open_url(const char *url)
{
    idem_store *store = NULL;
    ck_assert_msg(idem_open(url, &store, &err) == IDEM_OK, "%s: %s", url, err.message);
    return store;
}

/* @return what begin returned */
static int begin_on(idem_store *store, idem_bytes key)
{
    idem_outcome out;
    int rc = idem_begin(store, IDEM_REQUEST(.key = key, .timeout_ms = 1000), &out, &err);
    idem_outcome_clear(&out);
    return rc;
}

START_TEST(a_url_alone_makes_a_store_fail)
{
    idem_store *store = open_url("faulty+memory://?fault=before&fault_on=insert,replace");
    ck_assert_int_eq(begin_on(store, KEY), IDEM_ERR_UNAVAILABLE);
    idem_close(store);
    store = open_url("faulty+memory://?fault=after&fault_on=insert");
    ck_assert_int_eq(begin_on(store, KEY), IDEM_ERR_UNCERTAIN);
    idem_close(store);
    store = open_url("faulty+memory://?fault=garbage&fault_on=get");
    idem_record record;
    ck_assert_int_eq(begin_on(store, KEY), IDEM_OK);
    ck_assert_int_eq(idem_get(store, KEY, &record, &err), IDEM_ERR_CORRUPT);
    idem_close(store);
    store = open_url("faulty+memory://?fault=late&fault_late=3s&fault_times=1");
    uint64_t at_ms = idem_monotonic_ms();
    (void)begin_on(store, KEY);
    ck_assert_uint_ge(idem_monotonic_ms() - at_ms, 4000);
    idem_close(store);
}
END_TEST

START_TEST(it_counts_the_operations_of_its_own_store)
{
    idem_store *healthy = open_url("faulty+memory://");
    idem_store *store = open_url("faulty+memory://?fault=delayed&fault_nth=2&fault_times=1&ttl=1h");
    ck_assert_int_eq(begin_on(healthy, KEY), IDEM_OK);
    ck_assert_int_eq(begin_on(healthy, KEY), IDEM_OK);
    ck_assert_int_eq(begin_on(store, KEY), IDEM_OK);
    ck_assert_int_eq(begin_on(store, idem_str("two")), IDEM_OK); /* repeated by the library */
    ck_assert_uint_ge(idem_testkit_fault_seen(IDEM_OP_INSERT), 5);
    idem_close(store);
    idem_close(healthy);
}
END_TEST

static uint64_t hits_of(uint64_t percent, uint64_t seed)
{
    idem_testkit_faults_clear();
    size_t fault =
        IDEM_FAULT(.kind = IDEM_FAULT_BEFORE, .permanent = true, .percent = percent, .seed = seed,
                   .places = IDEM_FAULT_ON(IDEM_OP_INSERT), .times = IDEM_FAULT_ALWAYS);
    idem_store *store = open_url("faulty+memory://");
    uint64_t pattern = 0;
    for (int i = 0; i < 60; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%d", i);
        pattern = pattern << 1 | (begin_on(store, idem_str(key)) != IDEM_OK);
    }
    idem_close(store);
    ck_assert_uint_eq(idem_testkit_fault_hits(fault) > 0, pattern > 0);
    return pattern;
}

START_TEST(a_chance_is_repeated_by_its_seed)
{
    uint64_t pattern = hits_of(30, 7);
    int hits = __builtin_popcountll(pattern);
    ck_assert_int_ge(hits, 8);
    ck_assert_int_le(hits, 30);
    ck_assert_uint_eq(hits_of(30, 7), pattern);
    ck_assert_uint_ne(hits_of(30, 8), pattern);
    ck_assert_int_eq(__builtin_popcountll(hits_of(0, 7)), 60);
}
END_TEST

static int take_record(const idem_record *record, void *user)
{
    (void)record;
    (*(unsigned *)user)++;
    return 0;
}

static void take_finding(void *user, const idem_finding *finding)
{
    (void)finding;
    (*(unsigned *)user)++;
}

/* @return what the call of this place gave */
static int call_place(idem_store *store, unsigned place)
{
    unsigned taken = 0;
    if (place == IDEM_FAULT_SCAN)
        return idem_scan(store, NULL, take_record, &taken, &err);
    if (place == IDEM_FAULT_PURGE)
        return idem_purge(store, 0, NULL, &err);
    return idem_check(store, take_finding, &taken, &err);
}

static void fail_place(const char *url, unsigned place)
{
    idem_store *store = open_url(url);
    ck_assert_int_eq(call_place(store, place), IDEM_OK);
    IDEM_FAULT(.kind = IDEM_FAULT_BEFORE, .places = IDEM_FAULT_ON(place), .permanent = true);
    ck_assert_int_eq(call_place(store, place), IDEM_ERR_UNAVAILABLE);
    IDEM_FAULT(.kind = IDEM_FAULT_AFTER, .places = IDEM_FAULT_ON(place), .permanent = true,
               .message = "torn off", .stall = true);
    int rc = call_place(store, place); /* what changes nothing is never uncertain */
    ck_assert_int_eq(rc, place == IDEM_FAULT_PURGE ? IDEM_ERR_UNCERTAIN : IDEM_ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(err.message, "torn off"));
    IDEM_FAULT(.kind = IDEM_FAULT_LATE, .places = IDEM_FAULT_ON(place), .late_ms = 5);
    (void)call_place(store, place);
    ck_assert_uint_ge(idem_testkit_fault_seen(place), 4);
    idem_close(store);
}

START_TEST(what_is_done_to_no_key_fails_too)
{
    fail_place("faulty+memory://", IDEM_FAULT_SCAN);
    fail_place("faulty+memory://", IDEM_FAULT_PURGE);
#ifdef WITH_SQLITE
    fail_place("faulty+sqlite::memory:", IDEM_FAULT_CHECK);
#endif
}
END_TEST

START_TEST(a_store_that_can_not_be_opened)
{
    idem_store *store = NULL;
    IDEM_FAULT(.kind = IDEM_FAULT_BEFORE, .places = IDEM_FAULT_ON(IDEM_FAULT_OPEN), .times = 2);
    ck_assert_int_eq(idem_open("faulty+memory://", &store, &err), IDEM_OK); /* at the third try */
    idem_close(store);
    IDEM_FAULT(.kind = IDEM_FAULT_AFTER, .places = IDEM_FAULT_ON(IDEM_FAULT_OPEN),
               .code = IDEM_ERR_UNAVAILABLE, .permanent = true);
    ck_assert_int_eq(idem_open("faulty+memory://", &store, &err), IDEM_ERR_UNAVAILABLE);
}
END_TEST

START_TEST(a_url_that_says_nonsense_is_refused)
{
    static const char *const urls[] = {
        "faulty+memory://?fault=sometimes",
        "faulty+memory://?fault=before&fault_on=insert,inset",
        "faulty+memory://?fault=before&fault_on=",
        "faulty+memory://?fault_nth=3",
        "faulty+memory://?fault=before&fault_percent=101",
        "memory://?fault=before",
    };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        idem_store *store = NULL;
        ck_assert_msg(idem_open(urls[i], &store, &err) == IDEM_ERR_ARGUMENT, "%s: %d %s", urls[i],
                      err.code, err.message);
    }
}
END_TEST

START_TEST(more_faults_than_there_is_room_for_are_not_added)
{
    for (size_t i = 0; i < 64; i++)
        ck_assert_uint_eq(IDEM_FAULT(.kind = IDEM_FAULT_NONE), i);
    ck_assert_uint_eq(IDEM_FAULT(.kind = IDEM_FAULT_NONE), SIZE_MAX);
    ck_assert_uint_eq(idem_testkit_fault_hits(SIZE_MAX), 0);
    ck_assert_uint_eq(idem_testkit_fault_seen(99), 0);
}
END_TEST

#ifdef WITH_SQLITE
START_TEST(a_store_that_prepares_itself_is_wrapped_too)
{
    idem_store *store =
        open_url("faulty+sqlite::memory:?fault=after&fault_on=replace&synchronous=normal");
    idem_outcome out;
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = KEY), &out, &err), IDEM_OK);
    ck_assert_int_eq(idem_complete(store, out.claim, idem_str("1"), &err), IDEM_ERR_UNCERTAIN);
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

/* The inner store resolves the path before its first instance is opened. */
START_TEST(a_relative_path_goes_to_the_store_behind)
{
    char folder[] = "/tmp/idem-testkit-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    idem_store *store = open_url("faulty+sqlite:records.db?open=lazy");
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(begin_on(store, KEY), IDEM_OK);
    idem_close(store);
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_int_eq(unlink("records.db"), 0);
    (void)unlink("records.db-wal");
    (void)unlink("records.db-shm");
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("faulty");
    TCase *tcase = tcase_create("faulty");
    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_url_alone_makes_a_store_fail);
    tcase_add_test(tcase, it_counts_the_operations_of_its_own_store);
    tcase_add_test(tcase, a_chance_is_repeated_by_its_seed);
    tcase_add_test(tcase, what_is_done_to_no_key_fails_too);
    tcase_add_test(tcase, a_store_that_can_not_be_opened);
    tcase_add_test(tcase, a_url_that_says_nonsense_is_refused);
    tcase_add_test(tcase, more_faults_than_there_is_room_for_are_not_added);
#ifdef WITH_SQLITE
    tcase_add_test(tcase, a_store_that_prepares_itself_is_wrapped_too);
    tcase_add_test(tcase, a_relative_path_goes_to_the_store_behind);
#endif
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
