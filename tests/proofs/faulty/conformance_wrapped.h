/* SPDX-License-Identifier: MIT */
/* The suite through the faulty backend without faults: it passes as on the inner backend itself,
   and the wrapper has seen what was done. */
#ifndef IDEM_TESTS_CONFORMANCE_WRAPPED_H
#define IDEM_TESTS_CONFORMANCE_WRAPPED_H

#define WRAPPED_BY "faulty+"

#include "faulty.h"

#include "main.h"

#include <stdio.h>

START_TEST(operations_go_through_the_wrapper)
{
    uint64_t inserts = faulty_seen(IDEM_OP_INSERT);
    complete_key(one, "1");
    ck_assert_uint_eq(faulty_seen(IDEM_OP_INSERT), inserts + 1);
    ck_assert_uint_ge(faulty_seen(IDEM_OP_REPLACE), 1);
    ck_assert_uint_ge(faulty_seen(FAULTY_OPEN), 2);
}
END_TEST

static inline void wrapped_add_own(Suite *suite)
{
    ADD(suite, "wrapped", 0, ANY_TIME, operations_go_through_the_wrapper);
}

static inline int wrapped_main(const conformance_backend *backend)
{
    faulty_require();
    return conformance_main(backend);
}

#endif
