/* SPDX-License-Identifier: MIT */
/*
 * Small timeouts. A call may fail for want of time only when its time is over: whoever gives it
 * some milliseconds gets them. How long it really took is measured here, on a clock finer than the
 * library's.
 */
#include "conformance.h"

#include <stdio.h>
#include <time.h>

#define TRIES      12
#define TIMEOUTS   10 /* from 1 ms up */
#define OPEN_TRIES 1000

static idem_store *hasty;
static uint64_t timeout_ms;
static unsigned in_time;

static uint64_t now_ns(void)
{
    struct timespec now;
    ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* True if a call that began then succeeded. One that failed must have had its time. */
static bool judge(int rc, const char *name, uint64_t began_ns)
{
    uint64_t took_ns = now_ns() - began_ns;
    if (rc == IDEM_OK) {
        in_time++;
        return true;
    }
    if (rc == IDEM_ERR_NOT_FOUND ||
        rc == IDEM_ERR_LOST) /* by a change whose outcome is not known */
        return false;
    ck_assert_msg(rc == IDEM_ERR_UNAVAILABLE || rc == IDEM_ERR_UNCERTAIN, "%s gave %d: %s", name,
                  rc, err.message);
    ck_assert_msg(took_ns >= timeout_ms * 1000000, "%s had %llu ms and gave up after %llu us: %s",
                  name, (unsigned long long)timeout_ms, (unsigned long long)took_ns / 1000,
                  err.message);
    return false;
}

/* `call` may use began_ns, which is when it began. */
#define IN_TIME(name, call) (began_ns = now_ns(), judge((call), name, began_ns))

/* @return false: this store takes longer to connect, as one over TLS may that has a few
   milliseconds */
static bool open_hasty(void)
{
    char params[32];
    int rc = IDEM_ERR_UNAVAILABLE;
    (void)snprintf(params, sizeof params, "timeout=%llums", (unsigned long long)timeout_ms);
    for (int i = 0; rc && i < OPEN_TRIES; i++)
        rc = open_anyhow(params, &hasty);
    bool may_take_longer = (idem_traits(one) & IDEM_TRAIT_SHARED) != 0 && timeout_ms < TIMEOUTS;
    ck_assert_msg(rc == IDEM_OK || (rc == IDEM_ERR_UNAVAILABLE && may_take_longer), "%s",
                  err.message);
    return rc == IDEM_OK;
}

/* A key whose lease has run out, under this token. */
static void leave_expired(idem_bytes key, const uint8_t *token)
{
    idem_outcome out = BEGIN(one, .key = key, .token = token, .lease_ms = 1);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    idem_outcome_clear(&out);
}

/* Claims a key through the hasty store and does with it what an owner does. */
static void work(idem_bytes key, const uint8_t *token)
{
    uint64_t began_ns;
    idem_outcome out;
    idem_record record;
    if (!IN_TIME("begin", idem_begin(hasty, IDEM_REQUEST(.key = key, .token = token), &out, &err)))
        return;
    ck_assert_int_eq(out.kind, IDEM_NEW);
    (void)IN_TIME("renew", idem_renew(hasty, out.claim, 0, &err));
    (void)IN_TIME("checkpoint", idem_checkpoint(hasty, out.claim, idem_str("1"), &err));
    (void)IN_TIME("complete", idem_complete(hasty, out.claim, idem_str("1"), &err));
    (void)IN_TIME("release", idem_release(hasty, out.claim, &err));
    if (IN_TIME("get", idem_get(hasty, key, &record, &err)))
        idem_record_clear(&record);
    idem_outcome_clear(&out);
    if (IN_TIME("replay", idem_begin(hasty, IDEM_REQUEST(.key = key), &out, &err)))
        idem_outcome_clear(&out);
}

START_TEST(no_call_gives_up_before_its_time_is_over)
{
    static const uint8_t mine[IDEM_TOKEN_SIZE] = "mine";
    static const uint8_t others[IDEM_TOKEN_SIZE] = "others";
    char name[6][16];
    uint64_t began_ns;
    timeout_ms = (uint64_t)_i + 1;
    in_time = 0;
    if (!open_hasty())
        return;
    for (int i = 0; i < TRIES; i++) {
        idem_bytes keys[6];
        for (int k = 0; k < 6; k++) {
            (void)snprintf(name[k], sizeof name[k], "%d-%d", k, i);
            keys[k] = idem_str(name[k]);
            if (k > 0)
                leave_expired(keys[k], k == 1 ? mine : others);
        }
        advance(2);
        work(keys[0], mine); /* new */
        work(keys[1], mine); /* my own lease has run out */
        work(keys[2], mine); /* taken over */
        (void)IN_TIME("settle", idem_settle(hasty, keys[3], idem_str("1"), &err));
        (void)IN_TIME("forget_expired", idem_forget_expired(hasty, keys[4], &err));
        (void)IN_TIME("forget", idem_forget(hasty, keys[5], &err));
    }
    ck_assert_uint_gt(in_time, TRIES); /* most of them, but on a machine that is very busy */
    idem_close(hasty);
}
END_TEST

void conformance_hurry(Suite *suite)
{
    ADD_LOOP(suite, "hurry", CONFORMANCE_HASTE, ANY_TIME, TIMEOUTS,
             no_call_gives_up_before_its_time_is_over);
}
