/* SPDX-License-Identifier: MIT */
/* What the tests of this folder do over and over. */
#ifndef IDEM_TESTS_PG_TEST_H
#define IDEM_TESTS_PG_TEST_H

#include "pg.h"
#include "store_test.h"

#include <signal.h>

/** Runs a call with longer and longer deadlines, until a condition holds: a machine that is busy
 *  may have no time to ask a server within the first.
 *  @param call  uses the variable `limit_ms` */
#define assert_in_the_end(condition, call)                                         \
    do {                                                                           \
        bool held_ = false;                                                        \
        for (uint64_t limit_ms = 300; !held_ && limit_ms < 40000; limit_ms *= 3) { \
            call;                                                                  \
            held_ = (condition);                                                   \
        }                                                                          \
        ck_assert_msg(held_, "%s: '%s'", #condition, err.message);                 \
    } while (0)

/** The same, until the last message has these words in it. */
#define assert_says_in_the_end(words, call) \
    assert_in_the_end(strstr(err.message, words) != NULL, call)

static inline int try_open_for(const char *base, uint64_t timeout_ms, idem_store **store)
{
    char params[40];
    (void)snprintf(params, sizeof params, "timeout=%llums", (unsigned long long)timeout_ms);
    return try_open(base, params, store);
}

#endif
