/* SPDX-License-Identifier: MIT */
/* A program's own descriptors are never taken, closed or not. */
#include <idem/backend.h>

#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

START_TEST(what_the_system_gives_below_three_is_raised)
{
    int kept[3];
    for (int i = 0; i < 3; i++)
        kept[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
    (void)close(_i);
    int low = open("/dev/null", O_RDWR);
    int raised = idem_descriptor_raise(low);
    bool free_again = fcntl(low, F_GETFD) < 0 && errno == EBADF;
    int flags = fcntl(raised, F_GETFD);
    for (int i = 0; i < 3; i++)
        (void)dup2(kept[i], i);
    ck_assert_int_eq(low, _i);
    ck_assert_int_gt(raised, 2);
    ck_assert(free_again);
    ck_assert(flags & FD_CLOEXEC);
    ck_assert_int_eq(write(raised, "x", 1), 1); /* it is what it was */
    (void)close(raised);
}
END_TEST

START_TEST(the_others_stay_and_so_does_a_failure)
{
    int fd = fcntl(0, F_DUPFD_CLOEXEC, 20);
    ck_assert_int_eq(idem_descriptor_raise(fd), fd);
    (void)close(fd);
    errno = ENFILE;
    ck_assert_int_eq(idem_descriptor_raise(-1), -1);
    ck_assert_int_eq(errno, ENFILE);
}
END_TEST

int main(void)
{
    static const int lows[3];
    Suite *suite = suite_create("descriptor");
    ADD_ROWS(suite, what_the_system_gives_below_three_is_raised, lows);
    ADD(suite, the_others_stay_and_so_does_a_failure);
    return run_suite(suite);
}
