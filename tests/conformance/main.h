/* SPDX-License-Identifier: MIT */
/*
 * A program of the suite in this tree: one backend, with tests of its own. The environment is
 * libcheck's: CK_FORK=no, CK_RUN_CASE, CK_TIMEOUT_MULTIPLIER.
 */
#ifndef IDEM_TESTS_CONFORMANCE_MAIN_H
#define IDEM_TESTS_CONFORMANCE_MAIN_H

#include "conformance.h"

/** A backend whose store is at a URL: opened there, and there to stay.
 *  @param unreachable  a URL where nothing is; NULL with CONFORMANCE_UNREACHABLE in `lacks`
 *  @return static */
const conformance_backend *conformance_at(const conformance_backend *own, const char *url,
                                          const char *unreachable);

/** Runs the suite. @return the process's exit code */
int conformance_main(const conformance_backend *own);

/** Runs other tests in the suite's frame: `add` adds them. @return the process's exit code */
int conformance_main_with(const conformance_backend *own, void (*add)(Suite *suite));

#endif
