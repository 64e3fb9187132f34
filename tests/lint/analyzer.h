/* SPDX-License-Identifier: MIT */
/* Put in front of every file that clang-tidy reads: its analyzer sees one file at a time, and takes
   it for possible that idem_error_set() returns IDEM_OK. This says what it does return. */
#ifndef IDEM_TESTS_LINT_ANALYZER_H
#define IDEM_TESTS_LINT_ANALYZER_H

#include <idem/backend.h>

#define idem_error_set(error, code, ...) \
    ((void)(idem_error_set)((error), (code), __VA_ARGS__), (code))

#endif
