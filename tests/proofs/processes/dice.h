/* SPDX-License-Identifier: MIT */
/* Chance that can be repeated: the same seed gives the same throws. */
#ifndef IDEM_TESTS_DICE_H
#define IDEM_TESTS_DICE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t state;
} dice;

static inline uint64_t dice_throw(dice *self)
{
    uint64_t z = self->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/** A number from `least` to `most`, both included. */
static inline uint64_t dice_between(dice *self, uint64_t least, uint64_t most)
{
    return least + dice_throw(self) % (most - least + 1);
}

/** True in so many of a hundred throws. */
static inline bool dice_percent(dice *self, unsigned percent)
{
    return dice_throw(self) % 100 < percent;
}

#endif
