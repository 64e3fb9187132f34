/* SPDX-License-Identifier: MIT */
/*
 * All randomness comes out of one number of 64 bits, by SplitMix64 (Steele, Lea and Flood, "Fast
 * splittable pseudorandom number generators", OOPSLA 2014). Each step has words of its own, so one
 * can be left out and the others keep their meaning: shrinking is delta debugging over steps, then
 * over their words, for which 0 is always the plainest choice.
 */
#include "history.h"

#include <stdlib.h>

#define STEPS_MIN 100u
#define RUNS_MAX  20000u

static uint64_t draw(uint64_t *state)
{
    uint64_t bits = *state += UINT64_C(0x9E3779B97F4A7C15);
    bits = (bits ^ (bits >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    bits = (bits ^ (bits >> 27)) * UINT64_C(0x94D049BB133111EB);
    return bits ^ (bits >> 31);
}

void history_make(history *made, uint64_t seed)
{
    uint64_t state = seed;
    made->count = STEPS_MIN + draw(&state) % (HISTORY_STEPS_MAX - STEPS_MIN + 1);
    for (size_t i = 0; i < made->count; i++) {
        for (size_t word = 0; word < STEP_WORDS; word += 4) {
            uint64_t bits = draw(&state);
            memcpy(&made->steps[i].word[word], &bits, sizeof bits);
        }
    }
}

/* ------------------------------------------------------------------------------------ shrinking */

typedef struct {
    history *best;
    history tried;
    breach what;
    rules rules;
    world *world;
    unsigned runs;
} search;

/* Runs `tried`, and keeps it if it still breaks the same. */
static bool keeps_breaking(search *by)
{
    counts unheeded;
    if (by->runs >= RUNS_MAX)
        return false;
    by->runs++;
    memset(&unheeded, 0, sizeof unheeded);
    by->world->rules = by->rules;
    by->world->counts = &unheeded;
    (void)world_run(by->world, by->tried.steps, by->tried.count);
    if (by->world->breach != by->what)
        return false;
    /* nothing after the step that broke it matters */
    by->tried.count =
        by->world->at_step + 1 < by->tried.count ? by->world->at_step + 1 : by->tried.count;
    *by->best = by->tried;
    return true;
}

/* Tries to do without `len` steps from `at` on. */
static bool without(search *by, size_t at, size_t len)
{
    const history *best = by->best;
    by->tried = *best;
    memmove(&by->tried.steps[at], &best->steps[at + len],
            (best->count - at - len) * sizeof best->steps[0]);
    by->tried.count = best->count - len;
    return keeps_breaking(by);
}

static bool drop_steps(search *by)
{
    bool shorter = false;
    for (size_t len = by->best->count / 2; len > 0; len /= 2) {
        size_t at = 1; /* the first step is the world itself */
        while (at + len <= by->best->count) {
            bool dropped = without(by, at, len);
            shorter = shorter || dropped;
            if (!dropped)
                at += len;
        }
    }
    return shorter;
}

/* Tries plainer values for one word. */
static bool simplify_word(search *by, size_t at, size_t word)
{
    uint16_t value = by->best->steps[at].word[word];
    const uint16_t plainer[] = {0, (uint16_t)(value % 100u), (uint16_t)(value % 1000u),
                                (uint16_t)(value / 2)};
    for (size_t i = 0; i < sizeof plainer / sizeof plainer[0]; i++) {
        if (plainer[i] >= value)
            continue;
        by->tried = *by->best;
        by->tried.steps[at].word[word] = plainer[i];
        if (keeps_breaking(by))
            return true;
    }
    return false;
}

static bool simplify_words(search *by)
{
    bool simpler = false;
    for (size_t at = 0; at < by->best->count; at++) {
        for (size_t word = 0; word < STEP_WORDS && at < by->best->count; word++)
            simpler = simplify_word(by, at, word) || simpler;
    }
    return simpler;
}

unsigned history_shrink(history *failing, breach what, const rules *how)
{
    search by = {.best = failing, .what = what, .rules = *how};
    by.rules.trace = NULL;
    by.world = calloc(1, sizeof *by.world);
    if (!by.world)
        return 0;
    bool better = true;
    while (better && by.runs < RUNS_MAX) {
        better = drop_steps(&by);
        better = simplify_words(&by) || better;
    }
    free(by.world);
    return by.runs;
}
