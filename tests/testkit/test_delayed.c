/* SPDX-License-Identifier: MIT */
/* Operations that are on their way, where a second thread submits while they are carried out. */
#include "delayed.h"

#include <check.h>
#include <stdlib.h>

static idem__testkit_delayed on_their_way = {.lock = PTHREAD_MUTEX_INITIALIZER};
static unsigned carried_out;

/* What another thread would do at this moment. */
static int submit(idem_backend *backend, idem_op *const *ops, size_t count, uint64_t deadline_ms,
                  idem_error *error)
{
    (void)ops;
    (void)error;
    carried_out += (unsigned)count;
    idem__testkit_deliver(&on_their_way, backend, deadline_ms);
    return IDEM_OK;
}

START_TEST(each_is_carried_out_once_whoever_comes_between)
{
    static const idem_backend_ops ops = {.size = sizeof ops, .submit = submit};
    idem_backend backend = {.ops = &ops};
    idem_op op = {.kind = IDEM_OP_REMOVE, .key = idem_str("k"), .any_version = true};
    carried_out = 0;
    idem__testkit_delay(&on_their_way, &op, 1);
    idem__testkit_delay(&on_their_way, &op, 1);
    idem__testkit_delay(&on_their_way, &op, 3);
    idem__testkit_deliver(&on_their_way, &backend, 0);
    ck_assert_uint_eq(carried_out, 3);
    idem__testkit_deliver(&on_their_way, &backend, 0);
    ck_assert_uint_eq(carried_out, 3);
    ck_assert_ptr_null(on_their_way.first);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("delayed");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, each_is_carried_out_once_whoever_comes_between);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
