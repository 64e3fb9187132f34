/* SPDX-License-Identifier: MIT */
/*
 * Processes whose wall clock the test sets, by libfaketime: a file holds by how much it is off, and is
 * read anew each time the clock is. The monotonic clocks stay as they are.
 */
#ifndef IDEM_TESTS_FAKED_H
#define IDEM_TESTS_FAKED_H

#include <stdbool.h>

/** Leaves the program if there is no libfaketime: as a failure where IDEM_SKIPS_FAIL=1, else as one that
 *  ctest calls skipped. */
void faked_require(void);

/** Makes the file; the programs that this process starts from now on have the faked clock. */
void faked_begin(void);

/** Takes the file away; programs that are started from now on have the real clock. */
void faked_end(void);

/** True in a program that was started with a faked clock. */
bool faked_inside(void);

/** Starts this program again with a faked clock and an argument. @return its exit code */
int faked_run_again(const char *argument);

/** Sets the wall clock of all faked processes: so many seconds off the real one. */
void faked_set(long seconds);

/** How many seconds this process's wall clock is off the system's. */
long faked_offset(void);

#endif
