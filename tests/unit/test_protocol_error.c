/* SPDX-License-Identifier: MIT */
/* Messages of calls whose key is in no state for them: code, key, what to do, and no secret. */
#include "protocol_error.h"

#include "runner.h"

#define TOKEN    "0123456789abcde"
#define STRANGER "fedcba987654321"

static idem__call call;

static void set_up(void)
{
    memset(&call, 0, sizeof call);
    call.key = idem_str("charge\n42");
    memcpy(call.token, TOKEN, sizeof TOKEN);
    call.op.has_found = true;
    call.seen.key = call.key;
    call.seen.attempt = 1;
    call.seen.status = IDEM_STATUS_IN_PROGRESS;
    call.seen.response = idem_str("s3cret");
    memcpy(call.seen.token, STRANGER, sizeof STRANGER);
}

static void tear_down(void)
{
    const idem_error *error = call.op.error.code ? &call.op.error : &call.error;
    ck_assert_ptr_nonnull(strstr(error->message, "charge"));
    ck_assert_ptr_null(strchr(error->message, '\n'));
    ck_assert_ptr_null(strstr(error->message, "s3cret"));
    ck_assert_ptr_null(strstr(error->message, STRANGER));
    ck_assert_ptr_null(strstr(error->message, TOKEN));
}

/* Clears what the last one said: the first message wins. */
#define gives(code_, ask)                           \
    do {                                            \
        call.error = (idem_error){.code = IDEM_OK}; \
        ck_assert_int_eq(ask(&call), code_);        \
        ck_assert_int_eq(call.error.code, code_);   \
    } while (0)

#define says(words) \
    ck_assert_msg(strstr(call.error.message, words) != NULL, "%s", call.error.message)

START_TEST(a_claim_that_is_not_held_is_told_whose_it_is)
{
    gives(IDEM_ERR_LOST, idem__protocol_error_not_held);
    says("another caller holds it; stop this work");
    call.seen.status = IDEM_STATUS_COMPLETED;
    gives(IDEM_ERR_LOST, idem__protocol_error_not_held);
    says("another caller completed it");
    memcpy(call.seen.token, TOKEN, sizeof TOKEN);
    gives(IDEM_ERR_LOST, idem__protocol_error_not_held);
    says("lost: it was completed");
    call.op.has_found = false; /* what was seen before is over */
    gives(IDEM_ERR_NOT_FOUND, idem__protocol_error_not_held);
    says("begin again");
}
END_TEST

START_TEST(an_operator_is_told_what_is_in_the_way)
{
    call.seen.lease_ms = 5000;
    gives(IDEM_ERR_LOST, idem__protocol_error_not_abandoned);
    says("a live owner");
    call.seen.flags = IDEM_RECORD_UNDATED;
    gives(IDEM_ERR_LOST, idem__protocol_error_not_abandoned);
    says("its lease never ends");
    memset(call.seen.token, 0, sizeof call.seen.token);
    gives(IDEM_ERR_LOST, idem__protocol_error_not_abandoned);
    says("older format");
    call.seen.status = IDEM_STATUS_COMPLETED;
    gives(IDEM_ERR_LOST, idem__protocol_error_not_abandoned);
    says("is completed, so there is nothing to decide about");
}
END_TEST

START_TEST(there_is_no_record)
{
    gives(IDEM_ERR_NOT_FOUND, idem__protocol_error_not_found);
}
END_TEST

START_TEST(what_another_program_wrote_fails_for_good_and_restlessness_does_not)
{
    if (_i == 0)
        idem__protocol_error_refused(&call);
    else
        idem__protocol_error_restless(&call);
    ck_assert_int_eq(call.op.error.code, _i == 0 ? IDEM_ERR_CORRUPT : IDEM_ERR_UNAVAILABLE);
    ck_assert_int_eq(call.op.permanent, _i == 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("protocol error");
    ADD_HERE(suite, a_claim_that_is_not_held_is_told_whose_it_is, 1);
    ADD_HERE(suite, an_operator_is_told_what_is_in_the_way, 1);
    ADD_HERE(suite, there_is_no_record, 1);
    ADD_HERE(suite, what_another_program_wrote_fails_for_good_and_restlessness_does_not, 2);
    return run_suite(suite);
}
