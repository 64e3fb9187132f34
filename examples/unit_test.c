/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of one's own code with the test kit: the store goes down, loses replies and claims
 * when a test wants it to, time passes when a test lets it, and there is neither a server nor a
 * sleep. Any framework for tests will do.
 */
#include <idem/testkit.h>
#include <stdio.h>
#include <stdlib.h>

/* ----------------------------------------------------------------------- the code under test */

typedef enum { CHARGED, CHARGED_BEFORE, TRY_LATER, NOT_KNOWN } result;

/* NOT_KNOWN: the card was charged, and whether the store knows is not known. */
static result charge_once(idem_store *store, const char *order, void (*charge)(void))
{
    idem_outcome out;
    result it = TRY_LATER;
    if (idem_begin(store, IDEM_REQUEST(.key = idem_str(order), .lease_ms = 30000, .wait_ms = 2000),
                   &out, NULL))
        return TRY_LATER;
    if (out.kind == IDEM_COMPLETED) {
        it = CHARGED_BEFORE;
    } else if (out.kind == IDEM_NEW) {
        charge();
        it = idem_complete(store, out.claim, idem_str("true"), NULL) ? NOT_KNOWN : CHARGED;
    }
    idem_outcome_clear(&out);
    return it;
}

/* --------------------------------------------------------------------------------- the tests */

#define EXPECT(condition)                                                         \
    do {                                                                          \
        if (!(condition)) {                                                       \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(EXIT_FAILURE);                                                   \
        }                                                                         \
    } while (0)

static idem_store *store;
static int charges;

static void charge(void)
{
    charges++;
}

static void it_is_charged_once(void)
{
    EXPECT(charge_once(store, "order-1", charge) == CHARGED);
    EXPECT(charge_once(store, "order-1", charge) == CHARGED_BEFORE);
    EXPECT(charges == 1);
}

static void while_the_store_is_down_nothing_is_charged(void)
{
    IDEM_FAULT(.kind = IDEM_FAULT_BEFORE, .times = IDEM_FAULT_ALWAYS);
    EXPECT(charge_once(store, "order-1", charge) == TRY_LATER);
    EXPECT(charges == 0);
    idem_testkit_faults_clear(); /* it is up again */
    EXPECT(charge_once(store, "order-1", charge) == CHARGED);
}

static void one_lost_reply_is_the_librarys_business(void)
{
    IDEM_FAULT(.kind = IDEM_FAULT_AFTER, .places = IDEM_FAULT_ON(IDEM_OP_INSERT));
    IDEM_FAULT(.kind = IDEM_FAULT_AFTER, .places = IDEM_FAULT_ON(IDEM_OP_REPLACE));
    EXPECT(charge_once(store, "order-1", charge) == CHARGED);
    EXPECT(charges == 1);
}

static void when_no_reply_comes_through_the_next_one_finds_the_answer(void)
{
    IDEM_FAULT(.kind = IDEM_FAULT_AFTER, .places = IDEM_FAULT_ON(IDEM_OP_REPLACE),
               .times = IDEM_FAULT_ALWAYS);
    EXPECT(charge_once(store, "order-1", charge) == NOT_KNOWN);
    idem_testkit_faults_clear();
    EXPECT(charge_once(store, "order-1", charge) == CHARGED_BEFORE);
    EXPECT(charges == 1);
}

/* What a process leaves behind that claimed the key and was killed. */
static void crash_after_claim(const char *order)
{
    idem_outcome out;
    EXPECT(idem_begin(store, IDEM_REQUEST(.key = idem_str(order), .lease_ms = 30000), &out, NULL) ==
           IDEM_OK);
    EXPECT(out.kind == IDEM_NEW);
    idem_outcome_clear(&out);
}

static void after_a_crash_the_lease_is_waited_for(void)
{
    crash_after_claim("order-1");
    EXPECT(charge_once(store, "order-1", charge) == TRY_LATER); /* its wait of 2 s took no time */
    idem_testkit_clock_advance(30000);
    EXPECT(charge_once(store, "order-1", charge) == CHARGED);
}

/* It takes so long that somebody else takes over meanwhile. */
static void charge_slowly(void)
{
    charges++;
    idem_testkit_clock_advance(30001);
    EXPECT(charge_once(store, "order-1", charge) == CHARGED);
}

static void a_claim_that_was_lost_is_not_completed(void)
{
    EXPECT(charge_once(store, "order-1", charge_slowly) == NOT_KNOWN);
    EXPECT(charges == 2); /* this is what a keepalive is for */
}

static void run(void (*test)(void))
{
    idem_error error;
    charges = 0;
    idem_testkit_faults_clear();
    if (idem_open("faulty+memory://", &store, &error)) {
        (void)fprintf(stderr, "%s\n", error.message);
        exit(EXIT_FAILURE);
    }
    test();
    idem_close(store);
}

int main(void)
{
    idem_testkit_clock_start(IDEM_TESTKIT_CLOCK_AUTO); /* before the first store is opened */
    EXPECT(idem_testkit_register(NULL) == IDEM_OK);
    run(it_is_charged_once);
    run(while_the_store_is_down_nothing_is_charged);
    run(one_lost_reply_is_the_librarys_business);
    run(when_no_reply_comes_through_the_next_one_finds_the_answer);
    run(after_a_crash_the_lease_is_waited_for);
    run(a_claim_that_was_lost_is_not_completed);
    idem_testkit_clock_stop();
    (void)puts("6 tests passed");
    return EXIT_SUCCESS;
}
