/* SPDX-License-Identifier: MIT */
/*
 * fork() at awkward moments. A thread is held at a gate inside the store, at the very operation that the
 * test is about; another opens the gate once the main thread is on its way into fork(), since a fork
 * waits for operations that can't be cut in two.
 */
#include "schedules.h"

#include "gate.h"
#include "leave.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAITING       6
#define TOKENS        40
#define OPENER_MS     60
#define KEPT_LEASE_MS UINT64_C(1500)

static atomic_int failures;

static int cycle_by_both(const char *key, const char *second_key)
{
    int failed = whole_cycle(one, key, "1");
    return failed ? failed : whole_cycle(other, second_key, "2");
}

/* How many inserts that takes, which depends on the store. */
static uint64_t usual_inserts;

static void learn_what_is_usual(void)
{
    uint64_t before = faulty_seen(IDEM_OP_INSERT);
    ck_assert_int_eq(cycle_by_both("before", "before too"), 0);
    usual_inserts = faulty_seen(IDEM_OP_INSERT) - before;
}

/* The child's handles work, and it does nothing but what it is asked: no operation of a thread that it
   does not have. */
static int child_cycles(int to)
{
    (void)to;
    uint64_t before = faulty_seen(IDEM_OP_INSERT);
    int failed = cycle_by_both("of the child", "of the child too");
    return failed ? failed : faulty_seen(IDEM_OP_INSERT) - before == usual_inserts ? 0 : 8;
}

static void *open_soon(void *argument)
{
    sleep_ms(OPENER_MS);
    gate_open(argument);
    return NULL;
}

/* Forks while `held` threads stand at the gate, and sees parent and child work. */
static void fork_at(gate *door, unsigned held)
{
    pthread_t opener;
    gate_await(door, held);
    ck_assert_int_eq(pthread_create(&opener, NULL, open_soon, door), 0);
    child started = start_child(child_cycles);
    join_child(&started);
    (void)pthread_join(opener, NULL);
    ck_assert_int_eq(whole_cycle(one, "of the parent", "\"parent\""), 0);
}

/* ----------------------------------------------------------------------------------- in mid-batch */

static void *cycle_one_key(void *argument)
{
    const char *key = argument;
    if (whole_cycle(one, key, "1"))
        (void)atomic_fetch_add(&failures, 1);
    return NULL;
}

static const idem_op_kind moments[] = {IDEM_OP_INSERT, IDEM_OP_REPLACE};

/* T's operation is in the backend; the process forks; T's operation ends. */
START_TEST(fork_while_an_operation_is_in_the_backend)
{
    static char key[] = "of the thread";
    gate door = GATE_CLOSED;
    pthread_t thread;
    atomic_store(&failures, 0);
    learn_what_is_usual();
    FAULTY(.places = FAULTY_ON(moments[_i]), .before = gate_hold, .user = &door);
    ck_assert_int_eq(pthread_create(&thread, NULL, cycle_one_key, key), 0);
    fork_at(&door, 1);
    (void)pthread_join(thread, NULL);
    ck_assert_int_eq(atomic_load(&failures), 0);
}
END_TEST

/* T1's operation is in the backend; others queue up behind it; the process forks; all go on. The child
   has none of those threads, and nothing of theirs in its queue. */
START_TEST(fork_while_callers_are_in_the_queue)
{
    static char keys[WAITING][8];
    gate door = GATE_CLOSED;
    pthread_t threads[WAITING];
    atomic_store(&failures, 0);
    learn_what_is_usual();
    FAULTY(.places = FAULTY_ON(IDEM_OP_INSERT), .before = gate_hold, .user = &door);
    for (int i = 0; i < WAITING; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "key-%d", i);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, cycle_one_key, keys[i]), 0);
    }
    fork_at(&door, 1);
    for (int i = 0; i < WAITING; i++)
        (void)pthread_join(threads[i], NULL);
    ck_assert_int_eq(atomic_load(&failures), 0);
}
END_TEST

/* T waits for a key that A holds; the process forks; A completes, and T gets the response. */
static void *wait_for_key(void *argument)
{
    idem_outcome out;
    (void)argument;
    const idem_request *request =
        IDEM_REQUEST(.key = KEY, .lease_ms = LONG_MS, .wait_ms = LONG_MS / 2);
    if (idem_begin(other, request, &out, NULL) || out.kind != IDEM_COMPLETED)
        (void)atomic_fetch_add(&failures, 1);
    else
        idem_outcome_clear(&out);
    return NULL;
}

START_TEST(fork_while_a_caller_waits_for_a_key)
{
    pthread_t thread;
    atomic_store(&failures, 0);
    learn_what_is_usual();
    idem_outcome out = claim_key(one, LONG_MS);
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_for_key, NULL), 0);
    sleep_ms(SHORT_MS);
    child started = start_child(child_cycles);
    join_child(&started);
    assert_ok(idem_complete(one, out.claim, idem_str("1"), &err));
    (void)pthread_join(thread, NULL);
    ck_assert_int_eq(atomic_load(&failures), 0);
    idem_outcome_clear(&out);
}
END_TEST

/* T opens and closes stores without a break; the process forks again and again. */
static atomic_bool opening;

static void *open_and_close(void *argument)
{
    (void)argument;
    while (atomic_load(&opening)) {
        idem_store *store = NULL;
        idem_error error;
        if (idem_open("faulty+memory://forks", &store, &error))
            (void)atomic_fetch_add(&failures, 1);
        idem_close(store);
    }
    return NULL;
}

START_TEST(fork_while_stores_are_opened_and_closed)
{
    pthread_t thread;
    atomic_store(&failures, 0);
    learn_what_is_usual();
    atomic_store(&opening, true);
    ck_assert_int_eq(pthread_create(&thread, NULL, open_and_close, NULL), 0);
    for (int i = 0; i < 10; i++) {
        child started = start_child(i == 0 ? child_cycles : NULL);
        join_child(&started);
    }
    atomic_store(&opening, false);
    (void)pthread_join(thread, NULL);
    ck_assert_int_eq(atomic_load(&failures), 0);
}
END_TEST

/* ------------------------------------------------------------------------ with the keepalive running */

static idem_claim *kept;

/* The child has the claim and no thread that keeps it, until it renews by hand. */
static int child_renews(int to)
{
    int failed = child_cycles(to);
    if (failed)
        return failed;
    if (!has(IDEM_TRAIT_SHARED))
        return 0;
    if (idem_renew(one, kept, 0, NULL))
        return 9;
    uint64_t before = faulty_seen(IDEM_OP_REPLACE);
    sleep_ms(KEPT_LEASE_MS);
    if (faulty_seen(IDEM_OP_REPLACE) == before)
        return 10;
    idem_close(one);
    return 0;
}

/* A's claim is kept alive; its renewal is in the backend; the process forks; the parent's keepalive goes
   on beyond the first lease, the child uses the claim too and ends. */
START_TEST(fork_while_the_keepalive_renews)
{
    gate door = GATE_CLOSED;
    pthread_t opener;
    learn_what_is_usual();
    FAULTY(.places = FAULTY_ON(IDEM_OP_REPLACE), .before = gate_hold, .user = &door);
    idem_outcome out = BEGIN(one, .key = KEY, .lease_ms = KEPT_LEASE_MS, .flags = IDEM_KEEPALIVE);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    kept = out.claim;
    gate_await(&door, 1);
    ck_assert_int_eq(pthread_create(&opener, NULL, open_soon, &door), 0);
    child started = start_child(child_renews);
    join_child(&started);
    (void)pthread_join(opener, NULL);
    sleep_ms(KEPT_LEASE_MS);
    assert_outcome(other, IDEM_IN_PROGRESS);
    ck_assert(!idem_claim_lost(out.claim));
    assert_ok(idem_complete(one, out.claim, idem_str("1"), &err));
    assert_replayed(other, "1");
    idem_outcome_clear(&out);
}
END_TEST

/* The hook for events forks: in the keepalive's own thread, whose copy is all that the child has. */
static atomic_int forked;
static int forked_status;

static void fork_in_hook(void *user, const idem_event *event)
{
    (void)user;
    (void)event;
    if (atomic_exchange(&forked, 1))
        return;
    pid_t pid = fork();
    if (pid == 0) {
        limit_child();
        leave(child_cycles(-1));
    }
    if (pid > 0)
        (void)waitpid(pid, &forked_status, 0);
}

/* A's renewal fails; the keepalive tells; the hook forks; the keepalive goes on. */
START_TEST(fork_in_the_hook_that_the_keepalive_calls)
{
    static const idem_options options = {.size = sizeof options, .on_event = fork_in_hook};
    idem_store *store = NULL;
    atomic_store(&forked, 0);
    forked_status = -1;
    learn_what_is_usual();
    assert_ok(open_with(&options, &store));
    FAULTY(.kind = FAULTY_BEFORE, .places = FAULTY_ON(IDEM_OP_REPLACE), .permanent = true);
    idem_outcome out = BEGIN(store, .key = KEY, .lease_ms = KEPT_LEASE_MS, .flags = IDEM_KEEPALIVE);
    sleep_ms(KEPT_LEASE_MS + 500);
    ck_assert_int_eq(atomic_load(&forked), 1);
    ck_assert_msg(forked_status == 0, "the child ended with status %d", forked_status);
    assert_outcome(other, IDEM_IN_PROGRESS);
    assert_ok(idem_complete(store, out.claim, idem_str("1"), &err));
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

/* ------------------------------------------------------------------------- with random bits in store */

typedef struct {
    uint8_t bytes[TOKENS][IDEM_TOKEN_SIZE];
} tokens;

static int draw_tokens(const char *who, tokens *drawn)
{
    for (int i = 0; i < TOKENS; i++) {
        char key[32];
        idem_outcome out;
        (void)snprintf(key, sizeof key, "%s-%d", who, i);
        if (idem_begin(one, IDEM_REQUEST(.key = idem_str(key)), &out, NULL) || out.kind != IDEM_NEW)
            return 1;
        memcpy(drawn->bytes[i], idem_claim_token(out.claim), IDEM_TOKEN_SIZE);
        idem_outcome_clear(&out);
    }
    return 0;
}

/* The child draws, and so does a child of its own. */
static int child_draws(int to)
{
    tokens drawn;
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        limit_child();
        _exit(draw_tokens("grandchild", &drawn) || !write_to(to, &drawn, sizeof drawn));
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        return 1;
    return draw_tokens("child", &drawn) || !write_to(to, &drawn, sizeof drawn) ? 2 : 0;
}

/* The parent has drawn some bits and has others in store; it forks, and the child forks; all three draw. */
START_TEST(fork_with_random_bits_in_store)
{
    static tokens all[4];
    ck_assert_int_eq(draw_tokens("before", &all[0]), 0);
    child started = start_child(child_draws);
    ck_assert_int_eq(draw_tokens("parent", &all[1]), 0);
    read_from(&started, &all[2], 2 * sizeof all[2]);
    join_child(&started);
    for (int i = 0; i < 4 * TOKENS; i++) {
        for (int k = 0; k < i; k++)
            ck_assert_msg(memcmp(all[i / TOKENS].bytes[i % TOKENS],
                                 all[k / TOKENS].bytes[k % TOKENS], IDEM_TOKEN_SIZE) != 0,
                          "two processes have one token: they would be one caller");
    }
}
END_TEST

/* ------------------------------------------------------------------------------- inside a callback */

static int fork_in_scan(const idem_record *record, void *user)
{
    (void)record;
    child started = start_child(child_cycles);
    join_child(&started);
    (*(int *)user)++;
    return 0;
}

/* A scan has a page in hand; its callback forks. */
START_TEST(fork_in_the_callback_of_a_scan)
{
    int called = 0;
    learn_what_is_usual();
    complete_key(one, "1");
    assert_ok(idem_scan(one, &(idem_filter){.size = sizeof(idem_filter), .prefix = KEY},
                        fork_in_scan, &called, &err));
    ck_assert_int_eq(called, 1);
}
END_TEST

void schedules_forks(Suite *suite)
{
    const uint64_t busy = CONFORMANCE_FORK | CONFORMANCE_THREADS | CONFORMANCE_BUSY_FORK;
    ADD_LOOP(suite, "fork in mid-batch", busy, REAL_TIME, 2,
             fork_while_an_operation_is_in_the_backend);
    ADD(suite, "fork in mid-batch", busy, REAL_TIME, fork_while_callers_are_in_the_queue,
        fork_while_a_caller_waits_for_a_key, fork_while_stores_are_opened_and_closed);
    ADD(suite, "fork and keepalive", busy | IDEM_TRAIT_KEEPALIVE, REAL_TIME,
        fork_while_the_keepalive_renews, fork_in_the_hook_that_the_keepalive_calls);
    ADD(suite, "fork", CONFORMANCE_FORK, REAL_TIME, fork_with_random_bits_in_store,
        fork_in_the_callback_of_a_scan);
}
