/* SPDX-License-Identifier: MIT */
/* How a child of fork() leaves a test: without the parent's handlers, but counted where coverage
   is. */
#ifndef IDEM_TESTS_LEAVE_H
#define IDEM_TESTS_LEAVE_H

#include <unistd.h>

#ifdef IDEM_COVERAGE
extern void __gcov_dump(void); /* libgcov's */
#endif

static inline _Noreturn void leave(int code)
{
#ifdef IDEM_COVERAGE
    __gcov_dump();
#endif
    _exit(code);
}

#endif
