/* SPDX-License-Identifier: MIT */
/* An event loop for tests: poll() and dispatch until something has come, and what callbacks were
   told. */
#ifndef IDEM_TESTS_ASYNC_LOOP_H
#define IDEM_TESTS_ASYNC_LOOP_H

#include <idem/async.h>
#include <idem/backend.h>

#include <check.h>
#include <stdlib.h>

#define LONG_MS UINT64_C(60000) /* stays live while a test runs */

/** What a call's callback was told. */
typedef struct {
    unsigned answers;
    idem_outcome outcome; /* of a begin */
    idem_error error;
} answer;

/** Callbacks whose `user` is an answer. */
void on_begun(void *user, idem_outcome *outcome, const idem_error *error);
void on_changed(void *user, const idem_error *error);

/** Opens a store in the process that no other test has, and a queue on it. @param url its beginning
 *  */
idem_async *loop_open(const char *url, idem_store **store);

/** Dispatches until the answer has come; the test fails if none comes in a minute. */
void loop_until(idem_async *async, const answer *told);

/** Dispatches until nothing is pending. */
void loop_until_idle(idem_async *async);

/** True if the descriptor is readable within so long. */
bool loop_is_readable(idem_async *async, int timeout_ms);

/** Submits a begin of a key, which has to be taken. @return its name */
idem_async_call loop_begin(idem_async *async, const char *key, answer *told);

/** Claims a key through the queue; the test fails unless it is new. */
idem_outcome loop_claim(idem_async *async, const char *key);

/** Fails the test unless a call was told this once. */
#define assert_told(told, expected)                                                      \
    ck_assert_msg((told).answers == 1 && (told).error.code == (int)(expected),           \
                  "%s: %u answers, the last one %d (%s), not %d", #told, (told).answers, \
                  (told).error.code, (told).error.message, (int)(expected))

#endif
