/* SPDX-License-Identifier: MIT */
/*
 * Where the workers of a run agree on what to work on: a file that all of them map. For each hot key
 * it has a generation; a key that is completed is left behind by counting it up. Nothing that the
 * checker proves rests on it.
 */
#ifndef IDEM_TESTS_BOARD_H
#define IDEM_TESTS_BOARD_H

#include <stdatomic.h>
#include <stdint.h>

#define BOARD_SLOTS 5

typedef struct {
    _Atomic uint64_t generation[BOARD_SLOTS];
} board;

#endif
