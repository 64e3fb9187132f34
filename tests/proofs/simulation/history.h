/* SPDX-License-Identifier: MIT */
/* Histories: made from a seed, and made as short as they can be while they still break something. */
#ifndef IDEM_SIMULATION_HISTORY_H
#define IDEM_SIMULATION_HISTORY_H

#include "world.h"

#define HISTORY_STEPS_MAX 400u

typedef struct {
    size_t count;
    step steps[HISTORY_STEPS_MAX];
} history;

/** The history that belongs to a seed. */
void history_make(history *made, uint64_t seed);

/** Leaves out and simplifies what is not needed to break `what`. @return how many runs it took */
unsigned history_shrink(history *failing, breach what, const rules *how);

#endif
