/* SPDX-License-Identifier: MIT */
/* examples/begin_again.c where replies are lost: the work is done, and done once. A backend with
   one record carries operations out and then says that it does not know whether it did. */
#include <idem/backend.h>

#include "runner.h"

#include <stdio.h>
#include <string.h>

#define main example_main
#define puts count_work
static int count_work(const char *text);
#include "../../examples/begin_again.c" // NOLINT(bugprone-suspicious-include)
#undef main
#undef puts

static idem_record held;
static bool is_held;
static unsigned lose; /* so many replies from now on */
static unsigned down; /* so many operations behind them don't reach the store */
static unsigned works;
static idem_error err;

static int count_work(const char *text)
{
    works += strcmp(text, "charged") == 0;
    return 0;
}

static int open_lossy(const idem_config *config, idem_backend **backend, idem_error *error)
{
    static idem_backend lossy;
    (void)config, (void)error;
    *backend = &lossy;
    return IDEM_OK;
}

static void store_record(idem_op *op)
{
    idem_record_clear(&held);
    ck_assert_int_eq(idem_record_copy(op->record, &held, &op->error), IDEM_OK);
    is_held = op->applied = true;
}

static void carry_out(idem_op *op)
{
    bool expected = is_held && held.version == op->expected;
    if ((op->kind == IDEM_OP_INSERT && !is_held) || (op->kind == IDEM_OP_REPLACE && expected))
        store_record(op);
    else if (is_held)
        op->has_found = idem_record_copy(&held, &op->found, &op->error) == IDEM_OK;
}

static void answer(idem_op *op)
{
    if (lose == 0 && down > 0) {
        down--;
        idem_op_fail(op, true, IDEM_ERR_UNAVAILABLE, "lossy: the store is down");
        return;
    }
    carry_out(op);
    if (lose == 0)
        return;
    lose--;
    idem_record_clear(&op->found);
    op->applied = op->has_found = false;
    idem_op_fail(op, true, IDEM_ERR_UNCERTAIN, "lossy: the reply was lost");
}

static int submit(idem_backend *backend, idem_op *const *ops, size_t count, uint64_t deadline_ms,
                  idem_error *error)
{
    (void)backend, (void)deadline_ms, (void)error;
    for (size_t i = 0; i < count; i++)
        answer(ops[i]);
    return IDEM_OK;
}

static void close_lossy(idem_backend *backend)
{
    (void)backend;
}

static const idem_backend_ops lossy_ops = {
    .size = sizeof lossy_ops,
    .scheme = "lossy",
    .open = open_lossy,
    .submit = submit,
    .close = close_lossy,
};

static void charge(unsigned lost, unsigned unreached, int code, unsigned done)
{
    idem_store *store = NULL;
    idem_record_clear(&held);
    is_held = false;
    works = 0;
    ck_assert_int_eq(idem_open_backend(&lossy_ops, NULL, NULL, &store, &err), IDEM_OK);
    lose = lost;
    down = unreached;
    ck_assert_int_eq(charge_once(store, "k", &err), code);
    ck_assert_uint_eq(works, done);
    if (code == IDEM_OK)
        ck_assert(is_held && held.status == IDEM_STATUS_COMPLETED && held.attempt == 1);
    idem_close(store);
    idem_record_clear(&held);
}

START_TEST(a_lost_reply_does_no_harm)
{
    charge(0, 0, IDEM_OK, 1);
    charge(1, 0, IDEM_OK, 1);
    charge(3, 0, IDEM_OK, 1);
}
END_TEST

START_TEST(a_store_that_is_down_after_a_lost_reply_does_no_harm)
{
    charge(1, 2, IDEM_OK, 1);
}
END_TEST

START_TEST(nothing_is_done_where_no_try_has_an_answer)
{
    charge(100, 0, IDEM_ERR_UNCERTAIN, 0);
}
END_TEST

/* What the example is there for: another token meets the claim as a stranger's. */
START_TEST(a_begin_without_the_token_is_in_progress)
{
    idem_store *store = NULL;
    idem_outcome out;
    is_held = false;
    ck_assert_int_eq(idem_open_backend(&lossy_ops, NULL, NULL, &store, &err), IDEM_OK);
    lose = 1;
    down = 0;
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &out, &err),
                     IDEM_ERR_UNCERTAIN);
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &out, &err), IDEM_OK);
    ck_assert_int_eq(out.kind, IDEM_IN_PROGRESS);
    idem_outcome_clear(&out);
    idem_close(store);
    idem_record_clear(&held);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("begin_again");
    (void)example_main;
    ADD(suite, a_lost_reply_does_no_harm);
    ADD(suite, a_store_that_is_down_after_a_lost_reply_does_no_harm);
    ADD(suite, nothing_is_done_where_no_try_has_an_answer);
    ADD(suite, a_begin_without_the_token_is_in_progress);
    return run_suite(suite);
}
