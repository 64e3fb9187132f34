/* SPDX-License-Identifier: MIT */
/* What the tests of this folder do over and over. */
#ifndef IDEM_TESTS_REDIS_TEST_H
#define IDEM_TESTS_REDIS_TEST_H

#include "server.h"
#include "store_test.h"

#define TOKEN "0123456789abcdef"

#endif
