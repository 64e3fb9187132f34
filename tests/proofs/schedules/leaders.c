/* SPDX-License-Identifier: MIT */
/*
 * Leaders that die: a thread or a process that is ended in the middle of a batch, with others' operations in
 * its hands. What was done stays done, what was not is free, and nobody waits for an answer for ever.
 */
#include "schedules.h"

#include "gate.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCH    40
#define BATCHES  2
#define ALL      (BATCH * BATCHES)
#define QUEUE_MS 30 /* for others to queue up behind the leader */

typedef struct {
    idem_request requests[ALL];
    idem_outcome outcomes[ALL];
    char names[ALL][32];
    int failures[BATCHES]; /* of each batch: its first wrong answer */
} batches;

static batches all;
static gate door;
static int started_as[BATCHES] = {0, 1};

static void name_keys(int round, uint64_t lease_ms)
{
    for (int i = 0; i < ALL; i++) {
        (void)snprintf(all.names[i], sizeof all.names[i], "%d-%d", round, i);
        idem_request_init(&all.requests[i]);
        all.requests[i].key = idem_str(all.names[i]);
        all.requests[i].lease_ms = lease_ms;
    }
    door = (gate)GATE_CLOSED;
}

static void *begin_batch(void *argument)
{
    int which = *(const int *)argument;
    idem_outcome *outcomes = &all.outcomes[(size_t)which * BATCH];
    all.failures[which] =
        idem_begin_many(one, &all.requests[(size_t)which * BATCH], BATCH, outcomes, NULL, NULL);
    for (int i = 0; i < BATCH; i++) {
        if (all.failures[which] == IDEM_OK && outcomes[i].kind != IDEM_NEW)
            all.failures[which] = -1;
        idem_outcome_clear(&outcomes[i]);
    }
    pthread_testcancel();
    return NULL;
}

static void *begin_one(void *failed)
{
    idem_outcome out;
    if (idem_begin(one, IDEM_REQUEST(.key = KEY, .lease_ms = LONG_MS), &out, NULL) ||
        out.kind != IDEM_NEW)
        return failed;
    idem_outcome_clear(&out);
    return NULL;
}

/* -------------------------------------------------------------------------------------- a thread */

/* The gate of a backend that is entered directly: there only the test itself waits, and it is not to be
   cancelled in its own hook. */
static void hold_for_good(void *user, const idem_op *op)
{
    int state;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    gate_hold(user, op);
    (void)pthread_setcancelstate(state, &state);
}

/* T1's batch is in the backend; T2's batch, and T3's key, come behind it; T1 is cancelled; its batch goes
   on. All three calls are answered, and T1 ends behind its own. */
START_TEST(a_leader_is_cancelled_in_mid_batch)
{
    bool direct = (idem_traits(one) & IDEM_TRAIT_CONCURRENT) != 0;
    pthread_t threads[BATCHES];
    pthread_t third;
    void *left = NULL;
    name_keys(0, LONG_MS);
    FAULTY(.places = FAULTY_ON(IDEM_OP_INSERT), .nth = BATCH / 2,
           .before = direct ? hold_for_good : gate_hold, .user = &door);
    ck_assert_int_eq(pthread_create(&threads[0], NULL, begin_batch, &started_as[0]), 0);
    gate_await(&door, 1);
    ck_assert_int_eq(pthread_create(&threads[1], NULL, begin_batch, &started_as[1]), 0);
    ck_assert_int_eq(pthread_create(&third, NULL, begin_one, &all), 0);
    sleep_ms(QUEUE_MS);
    ck_assert_int_eq(pthread_cancel(threads[0]), 0);
    gate_open(&door);
    ck_assert_int_eq(pthread_join(threads[0], &left), 0);
    ck_assert_ptr_eq(left, PTHREAD_CANCELED);
    ck_assert_int_eq(pthread_join(threads[1], &left), 0);
    ck_assert_ptr_null(left);
    ck_assert_int_eq(pthread_join(third, &left), 0);
    ck_assert_ptr_null(left);
    ck_assert_int_eq(all.failures[0], IDEM_OK);
    ck_assert_int_eq(all.failures[1], IDEM_OK);
    assert_ok(idem_begin_many(other, all.requests, ALL, all.outcomes, NULL, &err));
    for (int i = 0; i < ALL; i++) {
        ck_assert_int_eq(all.outcomes[i].kind, IDEM_IN_PROGRESS);
        idem_outcome_clear(&all.outcomes[i]);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------- a process */

static void die(void *user, const idem_op *op)
{
    (void)user;
    (void)op;
    (void)kill(getpid(), SIGKILL);
}

static uint64_t last_moment;

/* A key's operation is held in the backend until two batches have queued up; whoever leads them then is
   killed in front of one of their operations, or behind it. */
static int lead_and_die(int to)
{
    pthread_t threads[BATCHES];
    pthread_t first;
    (void)to;
    FAULTY(.places = FAULTY_ON(IDEM_OP_INSERT), .before = gate_hold, .user = &door);
    if (last_moment % 2)
        FAULTY(.places = FAULTY_ON(IDEM_OP_INSERT), .nth = 1 + last_moment, .before = die);
    else
        FAULTY(.places = FAULTY_ON(IDEM_OP_INSERT), .nth = 1 + last_moment, .after = die);
    if (pthread_create(&first, NULL, begin_one, &all))
        return 1;
    gate_await(&door, 1);
    for (int i = 0; i < BATCHES; i++) {
        if (pthread_create(&threads[i], NULL, begin_batch, &started_as[i]))
            return 2;
    }
    sleep_ms(QUEUE_MS);
    gate_open(&door);
    (void)pthread_join(threads[0], NULL);
    (void)pthread_join(threads[1], NULL);
    return 3;
}

/* A process dies in mid-batch; others find each of its keys free, or held by a claim that runs out, and do
   the work. @return how many were held */
static int die_at(uint64_t moment)
{
    int status = 0;
    int held = 0;
    static idem_claim *claims[ALL];
    static idem_bytes responses[ALL];
    last_moment = moment;
    child started = start_child(lead_and_die);
    ck_assert_int_eq(waitpid(started.pid, &status, 0), started.pid);
    (void)close(started.from);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %d", status);
    advance(SHORT_MS);
    assert_ok(idem_begin_many(other, all.requests, ALL, all.outcomes, NULL, &err));
    for (int i = 0; i < ALL; i++) {
        ck_assert_int_eq(all.outcomes[i].kind, IDEM_NEW);
        ck_assert_uint_le(all.outcomes[i].attempt, 2);
        held += all.outcomes[i].attempt == 2;
        claims[i] = all.outcomes[i].claim;
        responses[i] = idem_str("1");
    }
    assert_ok(idem_complete_many(other, claims, responses, ALL, NULL, &err));
    for (int i = 0; i < ALL; i++)
        idem_outcome_clear(&all.outcomes[i]);
    return held;
}

START_TEST(a_process_is_killed_while_it_leads_a_batch)
{
    static const uint64_t moments[] = {1, 2, BATCH - 1, BATCH, BATCH + 2, ALL - 1, ALL};
    const int rounds = (int)(sizeof moments / sizeof moments[0]);
    int held = 0;
    for (int round = 0; round < rounds; round++) {
        name_keys(round, SHORT_MS);
        held += die_at(moments[round]);
        assert_ok(idem_forget(other, KEY, &err));
    }
    ck_assert_msg(held > 0 && held < ALL * rounds, "%d keys were held", held);
}
END_TEST

void schedules_leaders(Suite *suite)
{
    ADD(suite, "leaders that die", CONFORMANCE_THREADS, REAL_TIME,
        a_leader_is_cancelled_in_mid_batch);
    ADD(suite, "leaders that die",
        CONFORMANCE_THREADS | CONFORMANCE_FORK | CONFORMANCE_BUSY_FORK | IDEM_TRAIT_SHARED,
        ANY_TIME, a_process_is_killed_while_it_leads_a_batch);
}
