/* SPDX-License-Identifier: MIT */
/* A primary with a synchronous standby: what is acknowledged survives the primary, and what is not
   replicated is not acknowledged. */
#include "pg_test.h"

#include <pthread.h>

static pg_server primary;
static pg_server standby;
static idem_store *store;
static char both[PG_URL_SIZE]; /* the URL that names both hosts */

static const uint8_t token[IDEM_TOKEN_SIZE] = "0123456789abcdef";

static void pair(bool synchronous)
{
    pg_start(&primary, NULL);
    pg_start_standby(&standby, &primary, "second");
    if (synchronous) {
        pg_do(&primary, "ALTER SYSTEM SET synchronous_standby_names = 'second'");
        pg_do(&primary, "SELECT pg_reload_conf()");
        pg_await(&primary, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", 1);
    } else {
        pg_await(&primary, "SELECT count(*) FROM pg_stat_replication", 1);
    }
    (void)snprintf(both, sizeof both,
                   "postgresql://postgres@127.0.0.1:%d,127.0.0.1:%d/postgres?sslmode=disable&"
                   "gssencmode=disable",
                   standby.port, primary.port);
}

static void part(void)
{
    idem_close(store);
    store = NULL;
    pg_remove(&standby);
    pg_remove(&primary);
}

static int begin_as(const uint8_t *who, uint64_t timeout_ms, idem_outcome *out)
{
    return idem_begin(store,
                      IDEM_REQUEST(.key = idem_str(KEY), .token = who, .timeout_ms = timeout_ms,
                                   .lease_ms = LONG_MS),
                      out, &err);
}

/* Ends the wait of whoever waits for the standby, as an impatient administrator would. */
static void *cancel_waits(void *user)
{
    bool *on = user;
    while (__atomic_load_n(on, __ATOMIC_ACQUIRE)) {
        pg_do(&primary, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = "
                        "'SyncRep'");
        wait_ms(20);
    }
    return NULL;
}

START_TEST(a_commit_that_is_not_replicated_is_uncertain_and_never_new)
{
    idem_outcome out;
    pthread_t thread;
    bool on = true;
    pair(true);
    store = open_url(both, "timeout=30s");
    complete(store, "before", "1");
    pg_stop(&standby, SIGKILL);

    /* It hangs, to the deadline. */
    int rc = IDEM_OK;
    assert_in_the_end(rc == IDEM_ERR_UNCERTAIN,
                      assert_in_time(limit_ms, rc = begin_as(token, limit_ms, &out)));

    /* It is cancelled, which is a success with a warning: again and again. */
    ck_assert_int_eq(pthread_create(&thread, NULL, cancel_waits, &on), 0);
    assert_in_the_end(rc == IDEM_ERR_UNCERTAIN, rc = begin_as(token, 2 * limit_ms, &out));
    __atomic_store_n(&on, false, __ATOMIC_RELEASE);
    (void)pthread_join(thread, NULL);
    ck_assert_int_eq(pg_number(&primary, "SELECT count(*) FROM idem_record WHERE key = '" KEY "'"),
                     1);

    /* With the standby back, whoever began it is told. */
    pg_again(&standby, NULL);
    assert_ok(begin_as(token, 40000, &out));
    ck_assert_int_eq(out.kind, IDEM_NEW);
    assert_ok(idem_complete(store, out.claim, idem_str("2"), &err));
    idem_outcome_clear(&out);

    /* The primary is gone for good: both records are on the standby. */
    pg_stop(&primary, SIGKILL);
    pg_promote(&standby);
    pg_do(&standby, "ALTER SYSTEM RESET synchronous_standby_names");
    pg_do(&standby, "SELECT pg_reload_conf()");
    assert_replays(store, "before", "1");
    assert_replays(store, KEY, "2");
    part();
}
END_TEST

typedef struct {
    int rc;
    idem_outcome out;
    idem_error error;
    bool over;
} patient;

static void *begin_patiently(void *user)
{
    patient *self = user;
    self->rc = idem_begin(store,
                          IDEM_REQUEST(.key = idem_str(KEY), .token = token, .timeout_ms = 60000,
                                       .lease_ms = LONG_MS),
                          &self->out, &self->error);
    __atomic_store_n(&self->over, true, __ATOMIC_RELEASE);
    return NULL;
}

/* Until the call waits for the standby; it must not be over. */
static void await_the_wait(const patient *caller)
{
    static const char waits[] =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    for (int tries = 0; tries < 3000; tries++, wait_ms(10)) {
        ck_assert(!__atomic_load_n(&caller->over, __ATOMIC_ACQUIRE));
        if (pg_number(&primary, waits) > 0)
            return;
    }
    ck_abort_msg("nothing waits for the standby");
}

/* The primary has committed, and goes down while it waits for its standby: with a warning, or
   without a word. The call repeats, finds its own record, and waits for the standby again, until
   none is asked for any more. */
START_TEST(a_restart_during_the_wait_for_the_standby_acknowledges_nothing)
{
    static const int ways[] = {SIGINT, SIGKILL};
    pthread_t thread;
    static patient caller;
    caller = (patient){.rc = -1};
    pair(true);
    store = open_url(primary.tcp_url, "timeout=60s");
    complete(store, "before", "1");
    pg_stop(&standby, SIGKILL);
    ck_assert_int_eq(pthread_create(&thread, NULL, begin_patiently, &caller), 0);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        await_the_wait(&caller);
        pg_stop(&primary, ways[i]);
        pg_again(&primary, NULL);
    }
    await_the_wait(&caller);
    ck_assert_int_eq(pg_number(&primary, "SELECT count(*) FROM idem_record WHERE key = '" KEY "'"),
                     1);
    pg_do(&primary, "ALTER SYSTEM RESET synchronous_standby_names");
    pg_do(&primary, "SELECT pg_reload_conf()");
    (void)pthread_join(thread, NULL);
    ck_assert_msg(caller.rc == IDEM_OK, "%s", caller.error.message);
    ck_assert_int_eq(caller.out.kind, IDEM_NEW);
    ck_assert_uint_eq(caller.out.attempt, 1);
    idem_outcome_clear(&caller.out);
    part();
}
END_TEST

/* ------------------------------------------------------------------------------- under load */

#define WORKERS 4
#define KEYS    400

typedef struct {
    unsigned from;
    const bool *on;
    char acknowledged[KEYS]; /* completed, as the caller was told */
} worker;

static void *work(void *user)
{
    worker *self = user;
    for (unsigned i = self->from; i < KEYS && __atomic_load_n(self->on, __ATOMIC_ACQUIRE);
         i += WORKERS) {
        char key[32];
        idem_outcome out;
        idem_error error;
        (void)snprintf(key, sizeof key, "load-%u", i);
        if (idem_begin(store, IDEM_REQUEST(.key = idem_str(key), .timeout_ms = 20000), &out,
                       &error))
            continue;
        self->acknowledged[i] =
            out.kind == IDEM_NEW && idem_complete(store, out.claim, idem_str(key + 5), &error) == 0;
        idem_outcome_clear(&out);
    }
    return NULL;
}

START_TEST(nothing_that_was_acknowledged_is_lost_by_a_promotion_under_load)
{
    static worker workers[WORKERS];
    pthread_t threads[WORKERS];
    bool on = true;
    unsigned acknowledged = 0;
    pair(true);
    store = open_url(both, "timeout=30s");
    memset(workers, 0, sizeof workers);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (worker){.from = i, .on = &on};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    pg_await(&primary, "SELECT (count(*) > 60)::int FROM idem_record", 1);
    pg_stop(&primary, SIGKILL);
    pg_do(&standby, "ALTER SYSTEM SET synchronous_standby_names = ''");
    pg_promote(&standby);
    pg_do(&standby, "SELECT pg_reload_conf()");
    pg_await(&standby, "SELECT (count(*) > 200)::int FROM idem_record", 1);
    __atomic_store_n(&on, false, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < WORKERS; i++)
        (void)pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < KEYS; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "load-%u", i);
        if (!workers[i % WORKERS].acknowledged[i])
            continue;
        assert_replays(store, key, key + 5);
        acknowledged++;
    }
    ck_assert_uint_gt(acknowledged, 60);
    part();
}
END_TEST

/* Split brain by hand: the old primary goes on, cut off from its standby, which was promoted. */
START_TEST(an_old_primary_that_goes_on_acknowledges_nothing)
{
    idem_outcome out;
    pair(true);
    idem_store *old = open_url(primary.tcp_url, "timeout=30s");
    complete(old, "before", "1");
    (void)kill(-primary.pid, SIGSTOP);
    pg_promote(&standby);
    pg_do(&standby, "ALTER SYSTEM SET synchronous_standby_names = ''");
    pg_do(&standby, "SELECT pg_reload_conf()");
    store = open_url(standby.tcp_url, "");
    complete(store, KEY, "2");
    (void)kill(-primary.pid, SIGCONT);
    int rc = idem_begin(old, IDEM_REQUEST(.key = idem_str(KEY), .timeout_ms = 1000), &out, &err);
    ck_assert_msg(rc == IDEM_ERR_UNCERTAIN || rc == IDEM_ERR_UNAVAILABLE, "it says %d", rc);
    idem_close(old);
    part();
}
END_TEST

static unsigned told;

static void hear(void *user, const idem_finding *finding)
{
    told += strstr(finding->what, (const char *)user) != NULL;
}

START_TEST(a_standby_alone_is_no_store_and_the_doctor_tells_how_it_follows)
{
    idem_store *none = NULL;
    pair(false);
    store = open_url(primary.tcp_url, "");
    complete(store, KEY, "1");
    assert_says_in_the_end(
        "hot standby",
        assert_code(IDEM_ERR_UNAVAILABLE, try_open_for(standby.tcp_url, limit_ms, &none)));
    told = 0;
    assert_ok(
        idem_check(store, hear, (void *)(uintptr_t) "synchronous_standby_names is empty", &err));
    ck_assert_uint_eq(told, 1);
    pg_do(&primary, "ALTER SYSTEM SET synchronous_standby_names = 'second'");
    pg_do(&primary, "SELECT pg_reload_conf()");
    pg_await(&primary, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", 1);
    told = 0;
    assert_ok(idem_check(store, hear, (void *)(uintptr_t) "standby", &err));
    ck_assert_uint_eq(told, 0);
    part();
}
END_TEST

static void nothing(void)
{
}

#define set_up    nothing
#define tear_down nothing

int main(void)
{
    pg_require();
    Suite *suite = suite_create("postgres replication");
    ADD_HERE(suite, a_commit_that_is_not_replicated_is_uncertain_and_never_new, 1);
    ADD_HERE(suite, a_restart_during_the_wait_for_the_standby_acknowledges_nothing, 1);
    ADD_HERE(suite, nothing_that_was_acknowledged_is_lost_by_a_promotion_under_load, 1);
    ADD_HERE(suite, an_old_primary_that_goes_on_acknowledges_nothing, 1);
    ADD_HERE(suite, a_standby_alone_is_no_store_and_the_doctor_tells_how_it_follows, 1);
    return run_suite(suite);
}
