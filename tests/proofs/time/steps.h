/* SPDX-License-Identifier: MIT */
/* What must be true of a store while its clients' wall clock is set forth and back. */
#ifndef IDEM_TESTS_STEPS_H
#define IDEM_TESTS_STEPS_H

#include <check.h>

/** The tests, on the store of this URL, in a process with a faked clock. @return the exit code */
int steps_run(const char *url);

#endif
