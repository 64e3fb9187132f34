/* SPDX-License-Identifier: MIT */
/*
 * Every call of the library with its connection cut, reset or stalled after every byte of its
 * request, of the greeting before it and of its reply. The positions are found by running: from 0
 * on, until a call is not touched any more.
 *
 * Cut once, a call is as it would be without: the library repeats it over a new connection, the
 * caller is not locked out by its own lost reply, and there is one owner. Cut on every connection,
 * or stalled, it ends by its deadline, as UNCERTAIN or UNAVAILABLE, and the latter only if the
 * server holds what it held before; the same call then works as if nothing had been.
 */
#include "lateness.h"
#include "options.h"
#include "subject.h"

#include <runner.h>
#include <server.h>

#include <pthread.h>

#define THREADS 8

typedef struct {
    relay_fault fault;
    bool always;
    bool greeting; /* the connection is made anew, and its greeting is cut as well */
} manner;

/* One way of one call, and every so many positions of it. */
typedef struct {
    const operation *op;
    const manner *how;
    relay_way way;
    size_t first;
} task;

#define TASKS_MAX 4096

static server redis;
static test_options options;
static task tasks[TASKS_MAX];
static size_t task_count;
static size_t slices; /* residue classes that a way's positions are dealt out in */
static atomic_size_t next_task;
static atomic_ulong positions;
static atomic_ulong uncertain;
static atomic_ulong unavailable;
static atomic_bool failed;
static char failure[640];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

typedef enum { TOUCHED, UNTOUCHED, WRONG } result;

/* ---------------------------------------------------------------------------- one position */

/* The call's error, where one is allowed: in time, of the right kind, and true. */
static bool judge_error(subject *self, int rc, const idem_error *error, uint64_t began_ms)
{
    uint64_t took_ms = idem_monotonic_ms() - began_ms;
    uint64_t may_ms = HASTY_MS + SLACK_MS + lateness_since(began_ms);
    if (took_ms > may_ms)
        return subject_fail(self, "it took %llu ms and may take %llu", (unsigned long long)took_ms,
                            (unsigned long long)may_ms);
    (void)atomic_fetch_add(rc == IDEM_ERR_UNCERTAIN ? &uncertain : &unavailable, 1);
    if (rc != IDEM_ERR_UNAVAILABLE && rc != IDEM_ERR_UNCERTAIN)
        return subject_fail(self, "gave %d: %s", rc, error->message);
    if (rc == IDEM_ERR_UNAVAILABLE && !subject_unchanged(self))
        return subject_fail(self, "UNAVAILABLE (%s), but it was changed", error->message);
    return true;
}

static result try_position(subject *self, const task *at, size_t position)
{
    idem_error error;
    const manner *how = at->how;
    bool patient = !how->always && how->fault != RELAY_STALL;
    if (!subject_prepare(self, at->op) || (!patient && !subject_hurry(self)))
        return WRONG;
    if (how->greeting)
        relay_lead_to(self->relay, self->port);
    relay_arm(self->relay, how->fault, at->way, position, how->always);
    uint64_t began_ms = idem_monotonic_ms();
    int rc = at->op->call(self, patient ? self->store : self->hasty, &error);
    bool right = rc == IDEM_OK || (!patient && judge_error(self, rc, &error, began_ms));
    int fired = relay_disarm(self->relay);
    if (!right) {
        (void)subject_fail(self, "gave %d: %s", rc, error.message);
        return WRONG;
    }
    if (rc != IDEM_OK && at->op->call(self, self->store, &error) != IDEM_OK) {
        (void)subject_fail(self, "called again after it failed: %s", error.message);
        return WRONG;
    }
    if (!at->op->holds(self))
        return WRONG;
    return fired > 0 ? TOUCHED : UNTOUCHED;
}

/* ---------------------------------------------------------------------------- all positions */

static void take_failure(const subject *self, const task *at, size_t position)
{
    static const char *const faults[] = {"", "closed", "reset", "stalled"};
    (void)pthread_mutex_lock(&lock);
    if (!atomic_exchange(&failed, true))
        (void)snprintf(failure, sizeof failure, "%s%s, %s%s after %zu bytes to the %s: %s",
                       at->op->name, at->how->greeting ? " (new connection)" : "",
                       at->how->always ? "always " : "", faults[at->how->fault], position,
                       at->way == RELAY_TO_SERVER ? "server" : "client", self->failure);
    (void)pthread_mutex_unlock(&lock);
}

static void run_task(subject *self, const task *at)
{
    result last = TOUCHED;
    size_t position = at->first;
    for (; last == TOUCHED && !atomic_load(&failed); position += slices) {
        last = try_position(self, at, position);
        if (last == TOUCHED)
            (void)atomic_fetch_add(&positions, 1);
    }
    if (last == WRONG)
        take_failure(self, at, position - slices);
}

static void *work(void *user)
{
    subject *self = user;
    size_t which;
    while ((which = atomic_fetch_add(&next_task, 1)) < task_count && !atomic_load(&failed))
        run_task(self, &tasks[which]);
    return NULL;
}

static void run_tasks(const char *name)
{
    pthread_t threads[THREADS];
    static subject subjects[THREADS];
    uint64_t began_ms = idem_monotonic_ms();
    server_do(&redis, "FLUSHALL");
    lateness_watch();
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_msg(subject_open(&subjects[i], redis.port, i), "%s", subjects[i].failure);
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &subjects[i]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        subject_close(&subjects[i]);
    ck_assert_msg(!atomic_load(&failed), "%s", failure);
    ck_assert_uint_gt(atomic_load(&positions), 100);
    printf("wire_cuts: %s: %lu positions (every %u.), %lu uncertain, %lu unavailable, %llu ms\n",
           name, atomic_load(&positions), options.stride, atomic_load(&uncertain),
           atomic_load(&unavailable), (unsigned long long)(idem_monotonic_ms() - began_ms));
    (void)fflush(stdout);
}

/* Deals out the positions of one manner: all of them, or one in `stride`, which one by the seed. */
static void add_tasks(const manner *how, unsigned stride)
{
    slices = stride > 1 ? stride : 4;
    for (size_t slice = 0; slice < slices; slice++) {
        if (stride > 1 && slice != options.seed % stride)
            continue;
        for (size_t i = 0; i < OPERATIONS; i++) {
            for (int way = 0; way < 2; way++) {
                ck_assert_uint_lt(task_count, TASKS_MAX);
                tasks[task_count++] = (task){&operations[i], how, (relay_way)way, slice};
            }
        }
    }
}

/* -------------------------------------------------------------------------------- the tests */

START_TEST(a_call_outlives_one_cut_after_any_byte)
{
    static const manner manners[] = {{.fault = RELAY_CLOSE}, {.fault = RELAY_RESET}};
    for (size_t i = 0; i < 2; i++)
        add_tasks(&manners[i], options.stride);
    run_tasks("cut once");
}
END_TEST

START_TEST(a_call_outlives_one_cut_after_any_byte_of_a_new_connection)
{
    static const manner how = {.fault = RELAY_CLOSE, .greeting = true};
    add_tasks(&how, options.stride);
    run_tasks("cut once, with the greeting");
}
END_TEST

/* Each position takes a deadline's time: every third of them where the others are all. */
START_TEST(a_call_that_is_always_cut_ends_by_its_deadline_and_tells_the_truth)
{
    static const manner how = {.fault = RELAY_CLOSE, .always = true, .greeting = true};
    add_tasks(&how, 3 * options.stride);
    run_tasks("always cut");
}
END_TEST

START_TEST(a_call_that_is_stalled_ends_by_its_deadline_and_tells_the_truth)
{
    static const manner how = {.fault = RELAY_STALL};
    add_tasks(&how, 3 * options.stride);
    run_tasks("stalled");
}
END_TEST

/* However the bytes arrive, nothing is noticed. */
START_TEST(splits_and_joins_are_not_noticed)
{
    static subject self;
    server_do(&redis, "FLUSHALL");
    ck_assert_msg(subject_open(&self, redis.port, 0), "%s", self.failure);
    for (int round = 0; round < (options.stride > 1 ? 3 : 12); round++) {
        relay_set_pace(self.relay, (relay_pace)(RELAY_BYTE_BY_BYTE + round % 3));
        for (size_t i = 0; i < OPERATIONS; i++) {
            idem_error error = {0};
            bool right = subject_prepare(&self, &operations[i]) &&
                         operations[i].call(&self, self.store, &error) == IDEM_OK &&
                         operations[i].holds(&self);
            ck_assert_msg(right, "%s: %s%s", operations[i].name, self.failure, error.message);
            ck_assert_int_eq(atomic_load(&self.retries), 0);
        }
    }
    ck_assert_int_eq(relay_connections(self.relay), 2);
    subject_close(&self);
}
END_TEST

/* idem_open() is repeated as calls are: over a new connection, after a cut behind any byte. */
START_TEST(an_open_outlives_a_cut_anywhere_in_the_greeting)
{
    char url[120];
    unsigned long cuts = 0;
    relay *between = relay_start(redis.port, options.seed);
    (void)snprintf(url, sizeof url, "redis://default:secret@127.0.0.1:%d/3?timeout=30s",
                   relay_port(between));
    for (int way = 0; way < 2; way++) {
        int fired = 1;
        for (size_t position = 0; fired > 0; position++) {
            idem_store *store = NULL;
            idem_error error;
            relay_arm(between, position % 2 ? RELAY_CLOSE : RELAY_RESET, (relay_way)way, position,
                      false);
            int rc = idem_open(url, &store, &error);
            fired = relay_disarm(between);
            ck_assert_msg(rc == IDEM_OK && store, "cut at %zu: %s", position, error.message);
            cuts += fired > 0;
            idem_close(store);
        }
    }
    ck_assert_uint_gt(cuts, 80);
    relay_stop(between);
}
END_TEST

int main(int count, char **words)
{
    /* Each test has a minute by ADD(); all positions on a busy machine may take longer. */
    (void)setenv("CK_TIMEOUT_MULTIPLIER", "4", 0);
    Suite *suite = suite_create("wire cuts");
    options = read_options(count, words, (test_options){.stride = 1});
    server_require();
    server_start(&redis, NULL);
    ADD(suite, splits_and_joins_are_not_noticed);
    ADD(suite, an_open_outlives_a_cut_anywhere_in_the_greeting);
    ADD(suite, a_call_outlives_one_cut_after_any_byte);
    ADD(suite, a_call_outlives_one_cut_after_any_byte_of_a_new_connection);
    ADD(suite, a_call_that_is_always_cut_ends_by_its_deadline_and_tells_the_truth);
    ADD(suite, a_call_that_is_stalled_ends_by_its_deadline_and_tells_the_truth);
    return run_suite(suite);
}
