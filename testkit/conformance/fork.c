/* SPDX-License-Identifier: MIT */
/*
 * Guarantee 10, the part on fork(): handles that were opened before it, on both sides after it.
 */
#include "children.h"

#include "leave.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOKENS 32
#define ROUNDS 50
#define FORKS  8

static int child_cycles(int to)
{
    (void)to;
    for (int i = 0; i < 5; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "child-%d", i);
        int failed = whole_cycle(i % 2 ? other : one, key, "\"child\"");
        if (failed)
            return failed;
    }
    return 0;
}

static void parent_cycles(void)
{
    for (int i = 0; i < 5; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "parent-%d", i);
        ck_assert_int_eq(whole_cycle(i % 2 ? other : one, key, "\"parent\""), 0);
    }
}

START_TEST(guarantee_10_a_handle_opened_before_fork_works_on_in_parent_and_child)
{
    child started = start_child(child_cycles);
    parent_cycles();
    join_child(&started);
    ck_assert_int_eq(whole_cycle(one, "afterwards", "1"), 0);
}
END_TEST

START_TEST(guarantee_10_a_handle_used_before_fork_works_on_in_parent_and_child)
{
    ck_assert_int_eq(whole_cycle(one, "before", "1"), 0);
    ck_assert_int_eq(whole_cycle(other, "before as well", "1"), 0);
    child started = start_child(child_cycles);
    parent_cycles();
    join_child(&started);
    ck_assert_int_eq(whole_cycle(one, "afterwards", "1"), 0);
}
END_TEST

static int child_closes(int to)
{
    (void)to;
    int failed = whole_cycle(one, "child", "1");
    idem_close(one);
    idem_close(other);
    return failed;
}

START_TEST(guarantee_10_a_child_that_closes_its_handles_leaves_the_parents_alone)
{
    idem_outcome out = claim_key(one, LONG_MS);
    child started = start_child(child_closes);
    join_child(&started);
    assert_ok(idem_complete(one, out.claim, idem_str("1"), &err));
    assert_replayed(other, "1");
    parent_cycles();
    idem_outcome_clear(&out);
}
END_TEST

/* ------------------------------------------------------------------------------------- tokens */

/* Begins TOKENS keys and hands out their tokens. @return 0, or the step that failed */
static int draw_tokens(const char *who, uint8_t (*tokens)[IDEM_TOKEN_SIZE])
{
    for (int i = 0; i < TOKENS; i++) {
        char key[32];
        idem_outcome out;
        (void)snprintf(key, sizeof key, "%s-%d", who, i);
        if (idem_begin(one, IDEM_REQUEST(.key = idem_str(key)), &out, NULL) || out.kind != IDEM_NEW)
            return 1;
        memcpy(tokens[i], idem_claim_token(out.claim), IDEM_TOKEN_SIZE);
        idem_outcome_clear(&out);
    }
    return 0;
}

static int child_tokens(int to)
{
    uint8_t tokens[TOKENS][IDEM_TOKEN_SIZE];
    if (draw_tokens("child", tokens))
        return 1;
    return write_to(to, tokens, sizeof tokens) ? 0 : 2;
}

START_TEST(guarantee_10_parent_and_child_share_no_random_bits)
{
    uint8_t tokens[3 * TOKENS][IDEM_TOKEN_SIZE];
    ck_assert_int_eq(draw_tokens("before", tokens), 0);
    child started = start_child(child_tokens);
    ck_assert_int_eq(draw_tokens("parent", tokens + TOKENS), 0);
    read_from(&started, tokens + 2 * TOKENS, TOKENS * IDEM_TOKEN_SIZE);
    join_child(&started);
    for (int i = 0; i < 3 * TOKENS; i++) {
        for (int k = 0; k < i; k++)
            ck_assert_msg(memcmp(tokens[i], tokens[k], IDEM_TOKEN_SIZE) != 0,
                          "two processes have one token: they would be one caller");
    }
}
END_TEST

/* ------------------------------------------------------------------------------ shared records */

static idem_claim *parents_claim;

static int child_completes(int to)
{
    (void)to;
    return idem_complete(one, parents_claim, idem_str("\"by the child\""), NULL);
}

START_TEST(guarantee_10_a_claim_made_before_fork_can_be_completed_by_the_child)
{
    idem_outcome out = claim_key(one, LONG_MS);
    parents_claim = out.claim;
    child started = start_child(child_completes);
    join_child(&started);
    assert_replayed(other, "\"by the child\"");
    idem_record before = record_now();
    assert_ok(idem_complete(one, out.claim, idem_str("\"by the parent\""), &err));
    assert_unchanged(&before);
    idem_outcome_clear(&out);
}
END_TEST

static uint8_t parents_token[IDEM_TOKEN_SIZE];

static int child_resumes(int to)
{
    (void)to;
    idem_claim *claim = NULL;
    if (idem_resume(other, KEY, parents_token, &claim, NULL))
        return 1;
    int rc = idem_complete(other, claim, idem_str("\"resumed\""), NULL);
    idem_claim_free(claim);
    return rc ? 2 : 0;
}

START_TEST(resume_from_another_process_by_token)
{
    idem_outcome out = claim_key(one, LONG_MS);
    memcpy(parents_token, idem_claim_token(out.claim), IDEM_TOKEN_SIZE);
    idem_outcome_clear(&out);
    child started = start_child(child_resumes);
    join_child(&started);
    assert_replayed(one, "\"resumed\"");
}
END_TEST

static int child_claims(int to)
{
    (void)to;
    idem_outcome out;
    return idem_begin(one, IDEM_REQUEST(.key = KEY, .lease_ms = SHORT_MS), &out, NULL) ||
           out.kind != IDEM_NEW ||
           idem_checkpoint(one, out.claim, idem_str("{\"done\":\"half\"}"), NULL);
}

START_TEST(guarantee_4_a_claim_of_a_dead_process_is_taken_over_with_its_checkpoint)
{
    child started = start_child(child_claims);
    join_child(&started);
    advance(SHORT_MS);
    idem_outcome out = take_over(2);
    assert_text(out.checkpoint, "{\"done\":\"half\"}");
    idem_outcome_clear(&out);
}
END_TEST

/* Begins every round's key. @return 0, or the step that failed */
static int begin_rounds(uint8_t kinds[ROUNDS])
{
    for (int round = 0; round < ROUNDS; round++) {
        char key[32];
        idem_outcome out;
        (void)snprintf(key, sizeof key, "race-%d", round);
        if (idem_begin(one, IDEM_REQUEST(.key = idem_str(key), .lease_ms = LONG_MS), &out, NULL))
            return 1;
        kinds[round] = (uint8_t)out.kind;
        idem_outcome_clear(&out);
    }
    return 0;
}

static int child_races(int to)
{
    uint8_t kinds[ROUNDS];
    if (begin_rounds(kinds))
        return 1;
    return write_to(to, kinds, sizeof kinds) ? 0 : 2;
}

START_TEST(guarantee_1_of_two_processes_exactly_one_is_told_new)
{
    uint8_t mine[ROUNDS];
    uint8_t theirs[ROUNDS];
    child started = start_child(child_races);
    ck_assert_int_eq(begin_rounds(mine), 0);
    read_from(&started, theirs, sizeof theirs);
    join_child(&started);
    for (int round = 0; round < ROUNDS; round++) {
        ck_assert_int_eq((mine[round] == IDEM_NEW) + (theirs[round] == IDEM_NEW), 1);
        ck_assert_int_eq((mine[round] == IDEM_IN_PROGRESS) + (theirs[round] == IDEM_IN_PROGRESS),
                         1);
    }
}
END_TEST

/* --------------------------------------------------------------------- threads and keepalive */

static int child_idles(int to)
{
    (void)to;
    int failed = whole_cycle(one, "child", "1");
    sleep_ms(800);
    return failed;
}

START_TEST(guarantee_10_keepalive_goes_on_in_the_parent)
{
    idem_outcome out = BEGIN(one, .key = KEY, .lease_ms = 1500, .flags = IDEM_KEEPALIVE);
    child started = start_child(child_idles);
    sleep_ms(2000);
    assert_outcome(other, IDEM_IN_PROGRESS);
    assert_ok(idem_complete(one, out.claim, idem_str("1"), &err));
    join_child(&started);
    idem_outcome_clear(&out);
}
END_TEST

static atomic_bool working;
static atomic_int failures;

static void *work_on(void *argument)
{
    const char *name = argument;
    for (int i = 0; atomic_load(&working); i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "%s-%d", name, i);
        if (whole_cycle(name[0] == 'a' ? one : other, key, "1"))
            (void)atomic_fetch_add(&failures, 1);
    }
    return NULL;
}

/* A fork in the middle of other threads' calls: the child finds every lock in a known state. */
START_TEST(guarantee_10_fork_while_other_threads_call_the_store)
{
    static char names[][2] = {"a", "b"};
    pthread_t threads[2];
    atomic_store(&working, true);
    atomic_store(&failures, 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work_on, names[i]), 0);
    int status[FORKS];
    for (int i = 0; i < FORKS; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            limit_child();
            char key[32];
            (void)snprintf(key, sizeof key, "child-%d", i);
            leave(whole_cycle(i % 2 ? one : other, key, "1"));
        }
        status[i] = -1;
        if (pid > 0)
            (void)waitpid(pid, &status[i], 0);
    }
    atomic_store(&working, false);
    for (int i = 0; i < 2; i++)
        (void)pthread_join(threads[i], NULL);
    for (int i = 0; i < FORKS; i++)
        ck_assert_msg(status[i] == 0, "child %d ended with status %d", i, status[i]);
    ck_assert_int_eq(atomic_load(&failures), 0);
}
END_TEST

void conformance_fork(Suite *suite)
{
    const uint64_t shared = CONFORMANCE_FORK | IDEM_TRAIT_SHARED;
    ADD(suite, "guarantee 10 fork", CONFORMANCE_FORK, ANY_TIME,
        guarantee_10_a_handle_opened_before_fork_works_on_in_parent_and_child,
        guarantee_10_a_handle_used_before_fork_works_on_in_parent_and_child,
        guarantee_10_a_child_that_closes_its_handles_leaves_the_parents_alone,
        guarantee_10_parent_and_child_share_no_random_bits);
    ADD(suite, "processes", shared, ANY_TIME,
        guarantee_10_a_claim_made_before_fork_can_be_completed_by_the_child,
        resume_from_another_process_by_token,
        guarantee_4_a_claim_of_a_dead_process_is_taken_over_with_its_checkpoint,
        guarantee_1_of_two_processes_exactly_one_is_told_new);
    ADD(suite, "fork and keepalive", CONFORMANCE_FORK | IDEM_TRAIT_KEEPALIVE, REAL_TIME,
        guarantee_10_keepalive_goes_on_in_the_parent);
    ADD(suite, "fork and threads", CONFORMANCE_FORK | CONFORMANCE_THREADS | CONFORMANCE_BUSY_FORK,
        REAL_TIME, guarantee_10_fork_while_other_threads_call_the_store);
}
