/* SPDX-License-Identifier: MIT */
/* The tests' event loop: one descriptor. */
#include "loop.h"

#include <poll.h>
#include <stdio.h>

#define PATIENCE_MS 60000

idem_async *loop_open(const char *url, idem_store **store)
{
    static unsigned number;
    char numbered[80];
    idem_async *async = NULL;
    idem_error error;
    (void)snprintf(numbered, sizeof numbered, "%s-%u?timeout=30s", url, number++);
    ck_assert_msg(idem_open(numbered, store, &error) == IDEM_OK, "%s", error.message);
    ck_assert_msg(idem_async_open(*store, &async, &error) == IDEM_OK, "%s", error.message);
    return async;
}

void on_begun(void *user, idem_outcome *outcome, const idem_error *error)
{
    answer *told = user;
    idem_outcome_clear(&told->outcome);
    told->answers++;
    told->outcome = *outcome;
    told->error = *error;
}

void on_changed(void *user, const idem_error *error)
{
    idem_outcome none;
    memset(&none, 0, sizeof none);
    on_begun(user, &none, error);
}

bool loop_is_readable(idem_async *async, int timeout_ms)
{
    struct pollfd fd = {.fd = idem_async_fd(async), .events = POLLIN};
    return poll(&fd, 1, timeout_ms) == 1 && (fd.revents & POLLIN);
}

static void turn(idem_async *async)
{
    ck_assert_msg(loop_is_readable(async, PATIENCE_MS), "nothing came to be dispatched");
    (void)idem_async_dispatch(async, 0);
}

void loop_until(idem_async *async, const answer *told)
{
    while (told->answers == 0)
        turn(async);
}

void loop_until_idle(idem_async *async)
{
    while (idem_async_pending(async) > 0)
        turn(async);
}

idem_async_call loop_begin(idem_async *async, const char *key, answer *told)
{
    idem_error error;
    idem_async_call call = 0;
    const idem_request *request = IDEM_REQUEST(.key = idem_str(key), .lease_ms = LONG_MS);
    int rc = idem_async_begin(async, request, on_begun, told, &call, &error);
    ck_assert_msg(rc == IDEM_OK, "%s was not taken: %s", key, error.message);
    ck_assert_uint_ne(call, 0);
    return call;
}

idem_outcome loop_claim(idem_async *async, const char *key)
{
    answer told = {.answers = 0};
    (void)loop_begin(async, key, &told);
    loop_until(async, &told);
    assert_told(told, IDEM_OK);
    ck_assert_int_eq(told.outcome.kind, IDEM_NEW);
    return told.outcome;
}
