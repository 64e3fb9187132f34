/* SPDX-License-Identifier: MIT */
/*
 * What a store counts, and what its hook is told of calls: every way in which a call can end is
 * counted once; repeats, connections and waiters on a backend that fails and waits as it is told;
 * threads; fork(); structs of other sizes.
 */
#include <idem/async.h>
#include <idem/backend.h>

#include "clock.h"
#include "runner.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static idem_store_stats stats;

static const idem_store_stats *look(idem_store *store)
{
    idem_error error;
    stats.size = sizeof stats;
    if (idem_stats(store, &stats, &error))
        ck_abort_msg("%s", error.message);
    return &stats;
}

static uint64_t count_of(idem_store *store, idem_call_kind call, int code)
{
    return look(store)->calls[call].by_code[code];
}

static idem_store *open_url(const char *url)
{
    idem_error error;
    idem_store *store = NULL;
    if (idem_open(url, &store, &error))
        ck_abort_msg("%s", error.message);
    return store;
}

/* ------------------------------------------------------------------------------- kinds, codes */

static int begin(idem_store *store, const char *key, const char *fingerprint, idem_outcome *out)
{
    return idem_begin(
        store, IDEM_REQUEST(.key = idem_str(key), .fingerprint = idem_str(fingerprint)), out, NULL);
}

START_TEST(each_outcome_of_a_begin_is_counted_once)
{
    idem_store *store = open_url("memory://");
    idem_outcome first, out;
    ck_assert_int_eq(begin(store, "k", "f", &first), IDEM_OK);
    ck_assert_int_eq(begin(store, "k", "f", &out), IDEM_OK);
    idem_outcome_clear(&out);
    ck_assert_int_eq(begin(store, "k", "g", &out), IDEM_OK);
    idem_outcome_clear(&out);
    ck_assert_int_eq(idem_complete(store, first.claim, idem_str("1"), NULL), IDEM_OK);
    for (int i = 0; i < 5; i++) { /* the last ones by the short way of a replay */
        ck_assert_int_eq(begin(store, "k", "f", &out), IDEM_OK);
        idem_outcome_clear(&out);
    }
    ck_assert_int_eq(begin(store, "", NULL, &out), IDEM_ERR_ARGUMENT);
    const idem_store_stats *now = look(store);
    ck_assert_uint_eq(now->outcomes[IDEM_NEW], 1);
    ck_assert_uint_eq(now->outcomes[IDEM_IN_PROGRESS], 1);
    ck_assert_uint_eq(now->outcomes[IDEM_MISMATCH], 1);
    ck_assert_uint_eq(now->outcomes[IDEM_COMPLETED], 5);
    ck_assert_uint_eq(now->takeovers, 0);
    ck_assert_uint_eq(now->calls[IDEM_CALL_BEGIN].by_code[IDEM_OK], 8);
    ck_assert_uint_eq(now->calls[IDEM_CALL_BEGIN].by_code[IDEM_ERR_ARGUMENT], 1);
    ck_assert_uint_eq(now->calls[IDEM_CALL_BEGIN].latency_count, 0); /* memory is not timed */
    idem_outcome_clear(&first);
    idem_close(store);
}
END_TEST

static int one_record(const idem_record *record, void *user)
{
    (void)record, (void)user;
    return 0;
}

static void no_finding(void *user, const idem_finding *finding)
{
    (void)user, (void)finding;
}

START_TEST(each_kind_of_call_is_counted_with_its_code)
{
    idem_store *store = open_url("memory://");
    static const uint8_t stranger[IDEM_TOKEN_SIZE] = {1};
    idem_outcome out;
    idem_claim *claim = NULL;
    idem_record record;
    idem_bytes key = idem_str("k");
    ck_assert_int_eq(begin(store, "k", NULL, &out), IDEM_OK);
    ck_assert_int_eq(idem_renew(store, out.claim, 0, NULL), IDEM_OK);
    ck_assert_int_eq(idem_checkpoint(store, out.claim, idem_str("{"), NULL), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_get(store, key, &record, NULL), IDEM_OK);
    idem_record_clear(&record);
    ck_assert_int_eq(idem_resume(store, key, stranger, &claim, NULL), IDEM_ERR_LOST);
    ck_assert_int_eq(idem_forget_expired(store, key, NULL), IDEM_ERR_LOST);
    ck_assert_int_eq(idem_forget(store, key, NULL), IDEM_OK);
    ck_assert_int_eq(idem_complete(store, out.claim, idem_str("1"), NULL), IDEM_ERR_NOT_FOUND);
    ck_assert_int_eq(idem_release(store, out.claim, NULL), IDEM_OK);
    ck_assert_int_eq(idem_settle(store, key, idem_str("1"), NULL), IDEM_ERR_NOT_FOUND);
    ck_assert_int_eq(idem_settle(store, key, idem_str("{"), NULL), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_scan(store, NULL, one_record, NULL, NULL), IDEM_OK);
    ck_assert_int_eq(idem_purge(store, 0, NULL, NULL), IDEM_OK);
    ck_assert_int_eq(idem_check(store, no_finding, NULL, NULL), IDEM_OK);
    static const struct {
        idem_call_kind call;
        int code;
        uint64_t count;
    } wanted[] = {{IDEM_CALL_BEGIN, IDEM_OK, 1},
                  {IDEM_CALL_RENEW, IDEM_OK, 1},
                  {IDEM_CALL_CHECKPOINT, IDEM_ERR_ARGUMENT, 1},
                  {IDEM_CALL_GET, IDEM_OK, 1},
                  {IDEM_CALL_RESUME, IDEM_ERR_LOST, 1},
                  {IDEM_CALL_FORGET, IDEM_ERR_LOST, 1},
                  {IDEM_CALL_FORGET, IDEM_OK, 1},
                  {IDEM_CALL_COMPLETE, IDEM_ERR_NOT_FOUND, 1},
                  {IDEM_CALL_RELEASE, IDEM_OK, 1},
                  {IDEM_CALL_SETTLE, IDEM_ERR_NOT_FOUND, 1},
                  {IDEM_CALL_SETTLE, IDEM_ERR_ARGUMENT, 1},
                  {IDEM_CALL_SCAN, IDEM_OK, 1},
                  {IDEM_CALL_PURGE, IDEM_OK, 1},
                  {IDEM_CALL_CHECK, IDEM_OK, 1}};
    uint64_t all = 0;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        ck_assert_msg(count_of(store, wanted[i].call, wanted[i].code) == wanted[i].count,
                      "call %d, code %d", (int)wanted[i].call, wanted[i].code);
    for (size_t call = 0; call < IDEM_STATS_CALLS; call++) {
        for (size_t code = 0; code < IDEM_STATS_CODES; code++)
            all += stats.calls[call].by_code[code];
    }
    ck_assert_uint_eq(all, sizeof wanted / sizeof wanted[0]);
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

START_TEST(of_a_call_on_many_each_counts)
{
    idem_store *store = open_url("memory://");
    idem_request requests[3];
    idem_outcome outcomes[3];
    for (int i = 0; i < 3; i++)
        idem_request_init(&requests[i]);
    requests[0].key = idem_str("a");
    requests[1].key = idem_str("b"); /* the third has none */
    ck_assert_int_eq(idem_begin_many(store, requests, 3, outcomes, NULL, NULL), IDEM_ERR_ARGUMENT);
    idem_claim *claims[] = {outcomes[0].claim, outcomes[1].claim, NULL};
    const idem_bytes responses[] = {idem_str("1"), idem_str("2"), idem_str("3")};
    ck_assert_int_eq(idem_complete_many(store, claims, responses, 3, NULL, NULL),
                     IDEM_ERR_ARGUMENT);
    ck_assert_uint_eq(count_of(store, IDEM_CALL_BEGIN, IDEM_OK), 2);
    ck_assert_uint_eq(count_of(store, IDEM_CALL_BEGIN, IDEM_ERR_ARGUMENT), 1);
    ck_assert_uint_eq(count_of(store, IDEM_CALL_COMPLETE, IDEM_OK), 2);
    ck_assert_uint_eq(count_of(store, IDEM_CALL_COMPLETE, IDEM_ERR_ARGUMENT), 1);
    for (int i = 0; i < 3; i++)
        idem_outcome_clear(&outcomes[i]);
    idem_close(store);
}
END_TEST

static void begun(void *user, idem_outcome *outcome, const idem_error *error)
{
    ck_assert_int_eq(error->code, IDEM_OK);
    *(idem_claim **)user = outcome->claim;
    outcome->claim = NULL;
    idem_outcome_clear(outcome);
}

static void changed(void *user, const idem_error *error)
{
    *(int *)user = error->code;
}

static void dispatch_all(idem_async *async)
{
    while (idem_async_pending(async) > 0) {
        struct pollfd ready = {.fd = idem_async_fd(async), .events = POLLIN};
        ck_assert_int_ge(poll(&ready, 1, 20000), 1);
        (void)idem_async_dispatch(async, 0);
    }
}

START_TEST(a_submitted_call_is_counted_when_it_is_answered)
{
    idem_store *store = open_url("memory://");
    idem_async *async = NULL;
    idem_claim *claim = NULL;
    int code = -1;
    ck_assert_int_eq(idem_async_open(store, &async, NULL), IDEM_OK);
    ck_assert_int_eq(
        idem_async_begin(async, IDEM_REQUEST(.key = idem_str("k")), begun, &claim, NULL, NULL),
        IDEM_OK);
    dispatch_all(async);
    ck_assert_ptr_nonnull(claim);
    ck_assert_int_eq(idem_async_complete(async, claim, idem_str("1"), changed, &code, NULL, NULL),
                     IDEM_OK);
    dispatch_all(async);
    ck_assert_int_eq(code, IDEM_OK);
    ck_assert_uint_eq(look(store)->outcomes[IDEM_NEW], 1);
    ck_assert_uint_eq(count_of(store, IDEM_CALL_COMPLETE, IDEM_OK), 1);
    idem_claim_free(claim);
    idem_async_close(async);
    idem_close(store);
}
END_TEST

/* ------------------------------------------------------------------------------------- events */

typedef struct {
    int count;
    idem_event last;
    char key[16];
    char message[256];
} told;

static void note(void *user, const idem_event *event)
{
    told *to = user;
    to->count++;
    to->last = *event;
    (void)snprintf(to->key, sizeof to->key, "%.*s", (int)event->key.len,
                   event->key.len ? (const char *)event->key.data : "");
    (void)snprintf(to->message, sizeof to->message, "%s", event->message);
}

static _Atomic uint64_t time_ms;

static uint64_t told_time(void *user)
{
    (void)user;
    return atomic_load(&time_ms);
}

START_TEST(the_hook_is_told_of_every_call_when_asked)
{
    told to = {0};
    idem_store *store = NULL;
    idem_outcome out, second;
    idem_options options = {.size = sizeof options,
                            .clock = {.now_ms = told_time},
                            .on_event = note,
                            .event_user = &to,
                            .flags = IDEM_OBSERVE_CALLS};
    ck_assert_int_eq(idem_open_with("memory://?prefix=app:", &options, &store, NULL), IDEM_OK);
    ck_assert_int_eq(begin(store, "k", NULL, &out), IDEM_OK);
    ck_assert_int_eq(to.count, 1);
    ck_assert(to.last.kind == IDEM_EVENT_CALL && to.last.call == IDEM_CALL_BEGIN);
    ck_assert(to.last.outcome == IDEM_NEW && to.last.attempt == 1 && to.last.code == IDEM_OK);
    ck_assert_uint_ge(to.last.duration_us, 1);
    ck_assert_str_eq(to.key, "k");
    atomic_fetch_add(&time_ms, 61000);
    ck_assert_int_eq(begin(store, "k", NULL, &second), IDEM_OK);
    ck_assert(to.last.outcome == IDEM_NEW && to.last.attempt == 2);
    ck_assert_uint_eq(look(store)->takeovers, 1);
    ck_assert_int_eq(idem_complete(store, out.claim, idem_str("\"secret\""), NULL), IDEM_ERR_LOST);
    ck_assert(to.last.call == IDEM_CALL_COMPLETE && to.last.code == IDEM_ERR_LOST);
    ck_assert_uint_eq(to.last.outcome, 0);
    ck_assert(to.message[0] != '\0' && !strstr(to.message, "secret"));
    ck_assert_int_eq(idem_complete(store, second.claim, idem_str("\"secret\""), NULL), IDEM_OK);
    ck_assert_str_eq(to.message, "");
    for (int i = 0; i < 4; i++) {
        idem_outcome_clear(&second);
        ck_assert_int_eq(begin(store, "k", NULL, &second), IDEM_OK);
    }
    ck_assert_int_eq(to.count, 8);
    ck_assert(to.last.outcome == IDEM_COMPLETED && to.last.attempt == 2);
    ck_assert_uint_eq(look(store)->calls[IDEM_CALL_BEGIN].latency_count, 6);
    idem_outcome_clear(&out);
    idem_outcome_clear(&second);
    idem_close(store);
}
END_TEST

START_TEST(nothing_is_told_unless_asked_and_a_hook_is_needed)
{
    told to = {0};
    idem_store *store = NULL;
    idem_error error;
    idem_outcome out;
    idem_options options = {.size = sizeof options, .on_event = note, .event_user = &to};
    ck_assert_int_eq(idem_open_with("memory://", &options, &store, NULL), IDEM_OK);
    ck_assert_int_eq(begin(store, "k", NULL, &out), IDEM_OK);
    ck_assert_int_eq(to.count, 0);
    idem_outcome_clear(&out);
    idem_close(store);
    options = (idem_options){.size = sizeof options, .flags = IDEM_OBSERVE_CALLS};
    ck_assert_int_eq(idem_open_with("memory://", &options, &store, &error), IDEM_ERR_ARGUMENT);
    ck_assert(strstr(error.message, "on_event"));
}
END_TEST

/* -------------------------------------------------------------------- repeats and connections */

/* A store without records, one call at a time. */
static atomic_int failures; /* so many submits fail */
static atomic_bool closed;  /* submits wait */

static int open_gate(const idem_config *config, idem_backend **backend, idem_error *error)
{
    static idem_backend the_backend;
    (void)config, (void)error;
    *backend = &the_backend;
    return IDEM_OK;
}

static int submit_gate(idem_backend *backend, idem_op *const *ops, size_t count,
                       uint64_t deadline_ms, idem_error *error)
{
    (void)backend, (void)deadline_ms, (void)error;
    while (atomic_load(&closed))
        idem__clock_sleep_until(idem_monotonic_ms() + 1);
    bool fails = atomic_load(&failures) > 0;
    if (fails)
        (void)atomic_fetch_sub(&failures, 1);
    for (size_t i = 0; fails && i < count; i++)
        idem_op_fail(ops[i], false, IDEM_ERR_UNAVAILABLE, "a fault");
    return IDEM_OK;
}

static void close_gate(idem_backend *backend)
{
    (void)backend;
}

static const idem_backend_ops gate_ops = {.size = sizeof gate_ops,
                                          .scheme = "gate",
                                          .open = open_gate,
                                          .submit = submit_gate,
                                          .close = close_gate};

static idem_store *open_on_gate(void)
{
    idem_error error;
    idem_store *store = NULL;
    if (idem_open_backend(&gate_ops, NULL, "timeout=60s", &store, &error))
        ck_abort_msg("%s", error.message);
    return store;
}

static int get(idem_store *store)
{
    idem_record record;
    return idem_get(store, idem_str("k"), &record, NULL);
}

START_TEST(repeats_are_counted_by_their_code_and_calls_are_timed)
{
    idem_store *store = open_on_gate();
    atomic_store(&failures, 3);
    ck_assert_int_eq(get(store), IDEM_ERR_NOT_FOUND);
    const idem_store_stats *now = look(store);
    const idem_call_stats *gets = &now->calls[IDEM_CALL_GET];
    ck_assert_uint_eq(now->repeats[IDEM_ERR_UNAVAILABLE], 3);
    ck_assert_uint_eq(gets->by_code[IDEM_ERR_NOT_FOUND], 1);
    ck_assert_uint_eq(gets->latency_count, 1);
    ck_assert_uint_ge(gets->latency_sum_us, 1000); /* the pauses */
    size_t at = 0;
    while (!gets->latency[at])
        at++;
    ck_assert_uint_ge(idem_stats_bound_us(at), gets->latency_sum_us);
    ck_assert_uint_lt(idem_stats_bound_us(at - 1), gets->latency_sum_us);
    idem_close(store);
}
END_TEST

static void *get_in_thread(void *store)
{
    ck_assert_int_eq(get(store), IDEM_ERR_NOT_FOUND);
    return NULL;
}

static void await_waiters(idem_store *store, uint64_t busy, uint64_t waiters)
{
    for (int i = 0; i < 20000; i++) {
        const idem_store_stats *now = look(store);
        if (now->connections_busy == busy && now->waiters == waiters)
            return;
        idem__clock_sleep_until(idem_monotonic_ms() + 1);
    }
    ck_abort_msg("never %d busy and %d waiting", (int)busy, (int)waiters);
}

START_TEST(connections_and_waiters_are_those_of_this_moment)
{
    pthread_t threads[3];
    idem_store *store = open_on_gate();
    ck_assert_uint_eq(look(store)->connections, 1);
    ck_assert_uint_eq(stats.connections_max, 1);
    ck_assert_uint_eq(stats.connections_busy, 0);
    atomic_store(&closed, true);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, get_in_thread, store), 0);
    await_waiters(store, 1, 2);
    atomic_store(&closed, false);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    await_waiters(store, 0, 0);
    ck_assert_uint_eq(look(store)->calls[IDEM_CALL_GET].by_code[IDEM_ERR_NOT_FOUND], 3);
    idem_close(store);
}
END_TEST

START_TEST(kept_claims_and_renewals_are_counted)
{
    idem_store *store = open_url("memory://");
    idem_outcome out;
    const idem_request *request =
        IDEM_REQUEST(.key = idem_str("k"), .lease_ms = 30, .flags = IDEM_KEEPALIVE);
    ck_assert_int_eq(idem_begin(store, request, &out, NULL), IDEM_OK);
    ck_assert_uint_eq(look(store)->kept_claims, 1);
    for (int i = 0; i < 20000 && look(store)->renewals[IDEM_OK] == 0; i++)
        idem__clock_sleep_until(idem_monotonic_ms() + 1);
    ck_assert_uint_ge(look(store)->renewals[IDEM_OK], 1);
    idem_outcome_clear(&out);
    ck_assert_uint_eq(look(store)->kept_claims, 0);
    idem_close(store);
}
END_TEST

/* ------------------------------------------------------------------------- threads, processes */

enum { THREADS = 20, CALLS = 500 };

static void *get_often(void *store)
{
    for (int i = 0; i < CALLS; i++)
        ck_assert_int_eq(get(store), IDEM_ERR_NOT_FOUND);
    return NULL;
}

START_TEST(no_call_of_many_threads_is_missed)
{
    pthread_t threads[THREADS];
    idem_store *store = open_url("memory://");
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, get_often, store), 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(count_of(store, IDEM_CALL_GET, IDEM_ERR_NOT_FOUND), THREADS * CALLS);
    idem_close(store);
}
END_TEST

START_TEST(a_forked_child_counts_from_zero)
{
    int status = -1;
    idem_store *store = open_url("memory://");
    ck_assert_int_eq(get(store), IDEM_ERR_NOT_FOUND);
    pid_t child = fork();
    if (child == 0) {
        (void)get(store);
        _exit(count_of(store, IDEM_CALL_GET, IDEM_ERR_NOT_FOUND) == 1 ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(count_of(store, IDEM_CALL_GET, IDEM_ERR_NOT_FOUND), 1);
    idem_close(store);
}
END_TEST

/* --------------------------------------------------------------------------------- the struct */

START_TEST(a_struct_of_another_version_is_given_what_it_has_room_for)
{
    union {
        idem_store_stats stats;
        unsigned char bytes[sizeof(idem_store_stats) + 64];
    } *room = malloc(sizeof *room);
    idem_store *store = open_url("memory://");
    ck_assert_ptr_nonnull(room);
    ck_assert_int_eq(get(store), IDEM_ERR_NOT_FOUND);
    memset(room, 0xAA, sizeof *room);
    room->stats.size = 0;
    ck_assert_int_eq(idem_stats(store, &room->stats, NULL), IDEM_ERR_ARGUMENT);
    room->stats.size = offsetof(idem_store_stats, takeovers);
    ck_assert_int_eq(idem_stats(store, &room->stats, NULL), IDEM_OK);
    ck_assert_uint_eq(room->stats.outcomes[IDEM_NEW], 0);
    ck_assert_uint_eq(room->bytes[offsetof(idem_store_stats, takeovers)], 0xAA);
    room->stats.size = sizeof *room;
    ck_assert_int_eq(idem_stats(store, &room->stats, NULL), IDEM_OK);
    ck_assert_uint_eq(room->stats.size, sizeof *room);
    ck_assert_uint_eq(room->stats.calls[IDEM_CALL_GET].by_code[IDEM_ERR_NOT_FOUND], 1);
    ck_assert_uint_eq(room->bytes[sizeof *room - 1], 0);
    idem_close(store);
    free(room);
}
END_TEST

START_TEST(bounds_are_nine_to_a_decade)
{
    ck_assert_uint_eq(idem_stats_bound_us(0), 1);
    ck_assert_uint_eq(idem_stats_bound_us(8), 9);
    ck_assert_uint_eq(idem_stats_bound_us(9), 10);
    ck_assert_uint_eq(idem_stats_bound_us(71), 90000000);
    ck_assert_uint_eq(idem_stats_bound_us(72), UINT64_MAX);
    ck_assert_uint_eq(idem_stats_bound_us(SIZE_MAX), UINT64_MAX);
}
END_TEST

static void take_text(const char *text, size_t len, void *user)
{
    ck_assert(len > 6 && memcmp(text + len - 6, "# EOF\n", 6) == 0);
    char *copy = strndup(text, len);
    ck_assert_ptr_nonnull(copy);
    ck_assert_ptr_nonnull(strstr(copy, "idem_waiters{store=\"a\\\"\\\\\\nb\"} 0\n"));
    free(copy);
    ++*(int *)user;
}

START_TEST(the_text_is_given_once_and_names_are_escaped)
{
    idem_store *store = open_url("memory://");
    idem_error error;
    int count = 0;
    char longer[102];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    ck_assert_int_eq(idem_stats_text(store, "a\"\\\nb", take_text, &count, NULL), IDEM_OK);
    ck_assert_int_eq(count, 1);
    ck_assert_int_eq(idem_stats_text(store, longer, take_text, &count, &error), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_stats_text(NULL, NULL, take_text, &count, NULL), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_stats_text(store, NULL, NULL, &count, NULL), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(count, 1);
    idem_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stats");
    ADD(suite, each_outcome_of_a_begin_is_counted_once);
    ADD(suite, each_kind_of_call_is_counted_with_its_code);
    ADD(suite, of_a_call_on_many_each_counts);
    ADD(suite, a_submitted_call_is_counted_when_it_is_answered);
    ADD(suite, the_hook_is_told_of_every_call_when_asked);
    ADD(suite, nothing_is_told_unless_asked_and_a_hook_is_needed);
    ADD(suite, repeats_are_counted_by_their_code_and_calls_are_timed);
    ADD(suite, connections_and_waiters_are_those_of_this_moment);
    ADD(suite, kept_claims_and_renewals_are_counted);
    ADD(suite, no_call_of_many_threads_is_missed);
    ADD(suite, a_forked_child_counts_from_zero);
    ADD(suite, a_struct_of_another_version_is_given_what_it_has_room_for);
    ADD(suite, bounds_are_nine_to_a_decade);
    ADD(suite, the_text_is_given_once_and_names_are_escaped);
    return run_suite(suite);
}
