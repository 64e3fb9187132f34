/* SPDX-License-Identifier: MIT */
/*
 * The keepalive in real time, on the memory backend: many claims at once, claims that end while
 * they are renewed, claims that outlive their store, and what is left of it after a fork(). Where a
 * renewal has to meet its owner's last call, a backend holds both up until they have met.
 */
#include <idem/backend.h>

#include "clock.h"
#include "runner.h"
#include "sanitized.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLAIMS 100
/* A renewal may come two thirds of it late before anybody else is let in: a busy machine needs
   that. */
#define LEASE_MS  1000
#define BEYOND_MS (LEASE_MS + LEASE_MS / 4)

static idem_store *open_memory(const idem_options *options)
{
    idem_store *store = NULL;
    ck_assert_int_eq(idem_open_with("memory://", options, &store, NULL), IDEM_OK);
    return store;
}

static void begin_kept(idem_store *store, int number, idem_outcome *out)
{
    char key[32];
    (void)snprintf(key, sizeof key, "key-%d", number);
    ck_assert_int_eq(idem_begin(store,
                                IDEM_REQUEST(.key = idem_str(key), .lease_ms = LEASE_MS,
                                             .flags = IDEM_KEEPALIVE),
                                out, NULL),
                     IDEM_OK);
    ck_assert_int_eq(out->kind, IDEM_NEW);
}

static idem_outcome_kind ask(idem_store *store, int number)
{
    char key[32];
    idem_outcome out;
    (void)snprintf(key, sizeof key, "key-%d", number);
    if (idem_begin(store,
                   IDEM_REQUEST(.key = idem_str(key), .lease_ms = 60000, .flags = IDEM_NO_TAKEOVER),
                   &out, NULL))
        return 0;
    idem_outcome_kind kind = out.kind;
    idem_outcome_clear(&out);
    return kind;
}

static void sleep_ms(uint64_t ms)
{
    idem__clock_sleep_until(idem__clock_deadline(ms));
}

START_TEST(many_claims_outlive_their_lease)
{
    static idem_outcome outs[CLAIMS];
    idem_store *store = open_memory(NULL);
    for (int i = 0; i < CLAIMS; i++)
        begin_kept(store, i, &outs[i]);
    sleep_ms(BEYOND_MS);
    for (int i = 0; i < CLAIMS; i++) {
        ck_assert_int_eq(ask(store, i), IDEM_IN_PROGRESS);
        ck_assert(!idem_claim_lost(outs[i].claim));
        ck_assert_int_eq(idem_complete(store, outs[i].claim, idem_str("1"), NULL), IDEM_OK);
        ck_assert(!idem_claim_lost(outs[i].claim));
        idem_outcome_clear(&outs[i]);
        ck_assert_int_eq(ask(store, i), IDEM_COMPLETED);
    }
    idem_close(store);
}
END_TEST

START_TEST(a_claim_that_was_cleared_is_not_renewed)
{
    idem_outcome out;
    idem_store *store = open_memory(NULL);
    begin_kept(store, 1, &out);
    idem_outcome_clear(&out);
    sleep_ms(BEYOND_MS);
    ck_assert_int_eq(ask(store, 1), IDEM_IN_DOUBT);
    idem_close(store);
}
END_TEST

/* As another process does, by the token alone: on a store of its own. */
START_TEST(a_resumed_claim_can_be_kept_alive)
{
    idem_outcome out;
    idem_claim *resumed = NULL;
    idem_store *store = open_memory(NULL);
    ck_assert_int_eq(
        idem_begin(store, IDEM_REQUEST(.key = idem_str("key-1"), .lease_ms = LEASE_MS), &out, NULL),
        IDEM_OK);
    ck_assert_int_eq(
        idem_resume(store, idem_str("key-1"), idem_claim_token(out.claim), &resumed, NULL),
        IDEM_OK);
    idem_outcome_clear(&out);
    ck_assert_int_eq(idem_keepalive(store, resumed, NULL), IDEM_OK);
    ck_assert_int_eq(idem_keepalive(store, resumed, NULL), IDEM_OK); /* again: no harm */
    sleep_ms(BEYOND_MS);
    ck_assert_int_eq(ask(store, 1), IDEM_IN_PROGRESS);
    ck_assert(!idem_claim_lost(resumed));
    ck_assert_int_eq(idem_complete(store, resumed, idem_str("1"), NULL), IDEM_OK);
    ck_assert_int_eq(ask(store, 1), IDEM_COMPLETED);
    idem_claim_free(resumed);
    idem_close(store);
}
END_TEST

START_TEST(a_claim_that_has_ended_is_not_kept_alive)
{
    idem_error error;
    idem_outcome out;
    idem_store *store = open_memory(NULL);
    idem_store *other = open_memory(NULL);
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str("key-1")), &out, NULL),
                     IDEM_OK);
    ck_assert_int_eq(idem_keepalive(other, out.claim, &error), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_complete(store, out.claim, idem_str("1"), NULL), IDEM_OK);
    ck_assert_int_eq(idem_keepalive(store, out.claim, &error), IDEM_ERR_LOST);
    ck_assert_int_eq(idem_complete(store, out.claim, idem_str("1"), NULL), IDEM_OK);
    ck_assert_int_eq(ask(store, 1), IDEM_COMPLETED);
    idem_outcome_clear(&out);
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str("key-2")), &out, NULL),
                     IDEM_OK);
    ck_assert_int_eq(idem_forget(store, idem_str("key-2"), NULL), IDEM_OK);
    ck_assert_int_eq(idem_keepalive(store, out.claim, &error), IDEM_ERR_NOT_FOUND);
    idem_outcome_clear(&out);
    idem_close(other);
    idem_close(store);
}
END_TEST

static void count_lost(void *user, const idem_event *event)
{
    if (event->kind == IDEM_EVENT_CLAIM_LOST && event->key.len == 5)
        atomic_fetch_add((atomic_int *)user, 1);
}

START_TEST(a_lost_claim_is_noticed_and_told)
{
    atomic_int lost = 0;
    idem_outcome out;
    const idem_options options = {
        .size = sizeof options, .on_event = count_lost, .event_user = &lost};
    idem_store *store = open_memory(&options);
    begin_kept(store, 1, &out);
    ck_assert_int_eq(idem_forget(store, idem_str("key-1"), NULL), IDEM_OK);
    for (int i = 0; i < 1000 && !(idem_claim_lost(out.claim) && atomic_load(&lost)); i++)
        sleep_ms(20);
    ck_assert(idem_claim_lost(out.claim));
    sleep_ms(50); /* in which it would be told again */
    ck_assert_int_eq(atomic_load(&lost), 1);
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

START_TEST(claims_may_outlive_their_store)
{
    idem_outcome outs[3];
    idem_store *store = open_memory(NULL);
    for (int i = 0; i < 3; i++)
        begin_kept(store, i, &outs[i]);
    idem_close(store);
    for (int i = 0; i < 3; i++)
        idem_outcome_clear(&outs[i]);
}
END_TEST

typedef struct {
    idem_store *store;
    int number;
    int wrong;
} worker;

/* Claims with so short a lease that renewals run all the time, ended in every way. */
static void *churn(void *argument)
{
    worker *me = argument;
    for (int i = 0; i < 150; i++) {
        char key[32];
        idem_outcome out;
        (void)snprintf(key, sizeof key, "churn-%d-%d", me->number, i);
        if (idem_begin(me->store,
                       IDEM_REQUEST(.key = idem_str(key), .lease_ms = 6, .flags = IDEM_KEEPALIVE),
                       &out, NULL)) {
            me->wrong++;
            continue;
        }
        sleep_ms((uint64_t)(i % 5));
        if (i % 3 == 0 && idem_complete(me->store, out.claim, idem_str("1"), NULL))
            me->wrong++;
        if (i % 3 == 1 && idem_release(me->store, out.claim, NULL))
            me->wrong++;
        if (idem_claim_lost(out.claim))
            me->wrong++;
        idem_outcome_clear(&out);
    }
    return NULL;
}

START_TEST(claims_end_while_they_are_renewed)
{
    pthread_t threads[4];
    worker workers[4];
    idem_store *store = open_memory(NULL);
    for (int i = 0; i < 4; i++) {
        workers[i] = (worker){.store = store, .number = i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, &workers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        (void)pthread_join(threads[i], NULL);
        ck_assert_int_eq(workers[i].wrong, 0);
    }
    idem_close(store);
}
END_TEST

/* In a child the thread is not there; a renewal there starts it anew for that claim. */
static int work_in_child(idem_store *store, idem_outcome *out)
{
    if (idem_renew(store, out->claim, 0, NULL))
        return 1;
    sleep_ms(BEYOND_MS);
    if (ask(store, 1) != IDEM_IN_PROGRESS)
        return 2;
    if (idem_complete(store, out->claim, idem_str("\"child\""), NULL))
        return 3;
    idem_outcome_clear(out);
    idem_close(store);
    return 0;
}

START_TEST(a_fork_with_the_keepalive_running)
{
    idem_outcome out;
    int status = -1;
    idem_store *store = open_memory(NULL);
    begin_kept(store, 1, &out);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(work_in_child(store, &out));
    sleep_ms(BEYOND_MS);
    ck_assert_int_eq(ask(store, 1), IDEM_IN_PROGRESS);
    ck_assert_int_eq(idem_complete(store, out.claim, idem_str("\"parent\""), NULL), IDEM_OK);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child: %x", (unsigned)status);
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

/* ----------------------------------------------------------- an owner that ends, and is renewed */

/* Two records, "a" and "b". The first renewal of "a" waits until "a" was ended by its owner; and
   the owner is not answered before the keeper came back, which it does with "b" at least, having
   taken in what became of that renewal. */
typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    idem_record records[2];
    bool renewal_waits;
    bool ended;
    bool renewal_answered;
    bool keeper_came_back;
} meeting;

typedef struct {
    idem_backend base;
    meeting *at;
} meeting_place;

static meeting_place the_place;

static int open_meeting(const idem_config *config, idem_backend **backend, idem_error *error)
{
    (void)error;
    the_place.at = config->context;
    *backend = &the_place.base;
    return IDEM_OK;
}

static void close_meeting(idem_backend *backend)
{
    (void)backend;
}

static void swap_record(idem_record *there, idem_op *op)
{
    if (op->kind == IDEM_OP_INSERT ? there->version == 0 : there->version == op->expected) {
        idem_record_clear(there);
        if (op->kind != IDEM_OP_REMOVE)
            ck_assert_int_eq(idem_record_copy(op->record, there, NULL), IDEM_OK);
        op->applied = true;
    } else if (there->version != 0) {
        ck_assert_int_eq(idem_record_copy(there, &op->found, NULL), IDEM_OK);
        op->has_found = true;
    }
}

static bool is_renewal(const idem_op *op)
{
    return op->kind == IDEM_OP_REPLACE && op->record->status == IDEM_STATUS_IN_PROGRESS;
}

static void wait_for(meeting *at, const bool *what)
{
    (void)pthread_cond_broadcast(&at->changed);
    while (!*what)
        (void)pthread_cond_wait(&at->changed, &at->lock);
}

static void meet(meeting *at, idem_op *op)
{
    bool first = *(const char *)op->key.data == 'a';
    bool renewal = is_renewal(op);
    if (first && renewal) {
        at->renewal_waits = true;
        wait_for(at, &at->ended);
    }
    swap_record(&at->records[first ? 0 : 1], op);
    if (first && renewal)
        at->renewal_answered = true;
    if (first && !renewal && op->kind != IDEM_OP_INSERT) {
        at->ended = true;
        wait_for(at, &at->keeper_came_back);
    }
}

static int submit_to_meeting(idem_backend *backend, idem_op *const *ops, size_t count,
                             uint64_t deadline_ms, idem_error *error)
{
    meeting *at = ((meeting_place *)backend)->at;
    (void)deadline_ms;
    (void)error;
    (void)pthread_mutex_lock(&at->lock);
    if (is_renewal(ops[0]) && at->renewal_answered) {
        at->keeper_came_back = true;
        (void)pthread_cond_broadcast(&at->changed);
    }
    for (size_t i = 0; i < count; i++)
        meet(at, ops[i]);
    (void)pthread_mutex_unlock(&at->lock);
    return IDEM_OK;
}

static const idem_backend_ops meeting_ops = {
    .size = sizeof meeting_ops,
    .scheme = "meeting",
    .traits = IDEM_TRAIT_CONCURRENT,
    .open = open_meeting,
    .submit = submit_to_meeting,
    .close = close_meeting,
};

/* The owner's complete and its release. */
static const bool completes[] = {true, false};

START_TEST(a_renewal_that_meets_its_owners_end_does_not_call_the_claim_lost)
{
    meeting at = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    idem_outcome outs[2];
    idem_store *store = NULL;
    ck_assert_int_eq(idem_open_backend(&meeting_ops, &at, "timeout=30s", &store, NULL), IDEM_OK);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(idem_begin(store,
                                    IDEM_REQUEST(.key = idem_str(i == 0 ? "a" : "b"),
                                                 .lease_ms = 60, .flags = IDEM_KEEPALIVE),
                                    &outs[i], NULL),
                         IDEM_OK);
    }
    (void)pthread_mutex_lock(&at.lock);
    wait_for(&at, &at.renewal_waits);
    (void)pthread_mutex_unlock(&at.lock);
    int rc = completes[_i] ? idem_complete(store, outs[0].claim, idem_str("1"), NULL)
                           : idem_release(store, outs[0].claim, NULL);
    ck_assert_int_eq(rc, IDEM_OK);
    ck_assert(!idem_claim_lost(outs[0].claim));
    for (int i = 0; i < 2; i++)
        idem_outcome_clear(&outs[i]);
    idem_close(store);
    for (int i = 0; i < 2; i++)
        idem_record_clear(&at.records[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keepalive");
    ADD(suite, many_claims_outlive_their_lease);
    ADD(suite, a_claim_that_was_cleared_is_not_renewed);
    ADD(suite, a_resumed_claim_can_be_kept_alive);
    ADD(suite, a_claim_that_has_ended_is_not_kept_alive);
    ADD(suite, a_lost_claim_is_noticed_and_told);
    ADD(suite, claims_may_outlive_their_store);
    ADD(suite, claims_end_while_they_are_renewed);
    ADD_ROWS(suite, a_renewal_that_meets_its_owners_end_does_not_call_the_claim_lost, completes);
    if (!THREAD_SANITIZED) /* whose children of a threaded parent can start no thread */
        ADD(suite, a_fork_with_the_keepalive_running);
    return run_suite(suite);
}
