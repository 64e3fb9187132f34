/* SPDX-License-Identifier: MIT */
/*
 * The simulator's program: runs histories, seed after seed, until its time or its steps are over,
 * or a guarantee is broken. A history that breaks one is told, shrunk, and told again.
 *
 *   simulation                     from a seed of its own, which it prints, for 2 s
 *   simulation --from N            from seed N on
 *   simulation --seed N            this one history, step by step
 *     --seconds N, --steps N       how long
 *     --demand-all                 fail if a row of the table, a fault or a situation never
 *     occurred
 *     --expect-breach              fail if nothing is found broken (for mutants)
 *     --guarantee N                look for a breach of this guarantee, and pass over others
 *     --reuse-stamps               let repeats keep their version, against the driver's rule
 *     --blind                      leave versions unjudged: find what follows from them
 *     --swap-answers, --error-for-all, --deadline-of-all
 *                                  mix up a batch: two calls get each other's answers; the first
 *                                  error stands for all; the earliest deadline ends all
 *     --leaver-untold              tell who leaves that its change was not carried out
 *     --answer-in-order            give answers out in the order asked
 *     --silence-refuses            take what is in flight on a silent connection for refused
 *     --keep-own-end               let the keepalive take an owner's own end for a loss
 *     --keep-outdated              let it take an answer older than the owner's last call
 *     --send-cancelled             send a cancelled call's operation all the same
 */
#include "history.h"

#include <inttypes.h>
#include <stdlib.h>

#define QUICK_SECONDS 2u

typedef struct {
    uint64_t from;
    bool one;
    uint64_t seconds;
    uint64_t steps;
    uint64_t guarantee;
    bool demand_all;
    bool expect_breach;
    rules rules;
} options;

static world simulated;
static history told;

static bool read_number(const char *text, uint64_t *number)
{
    char *end = NULL;
    *number = text ? strtoull(text, &end, 0) : 0;
    return text && *text && !*end;
}

/* Reads an option with a number behind it; *used is how many words it takes. */
static bool read_with_number(options *read, char *const *words, int *used)
{
    static const char *const names[] = {"--from", "--seed", "--seconds", "--steps", "--guarantee"};
    uint64_t *const places[] = {&read->from, &read->from, &read->seconds, &read->steps,
                                &read->guarantee};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(words[0], names[i]) != 0)
            continue;
        *used = 2;
        read->one = read->one || i == 1;
        return read_number(words[1], places[i]);
    }
    return false;
}

static bool read_flag(options *read, const char *word)
{
    static const char *const names[] = {
        "--demand-all",      "--expect-breach",   "--reuse-stamps",    "--blind",
        "--swap-answers",    "--error-for-all",   "--deadline-of-all", "--leaver-untold",
        "--answer-in-order", "--silence-refuses", "--send-cancelled",  "--keep-own-end",
        "--keep-outdated"};
    bool *const places[] = {&read->demand_all,
                            &read->expect_breach,
                            &read->rules.reuse_stamps,
                            &read->rules.blind,
                            &read->rules.swap_answers,
                            &read->rules.error_for_all,
                            &read->rules.deadline_of_all,
                            &read->rules.leaver_untold,
                            &read->rules.answer_in_order,
                            &read->rules.silence_refuses,
                            &read->rules.send_cancelled,
                            &read->rules.keep_own_end,
                            &read->rules.keep_outdated};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(word, names[i]) == 0)
            return *places[i] = true;
    }
    return false;
}

static bool read_options(int argc, char *const *argv, options *read)
{
    *read = (options){.steps = UINT64_MAX};
    if (idem_random(&read->from, sizeof read->from, NULL) != IDEM_OK)
        return false;
    for (int i = 1; i < argc;) {
        int used = 1;
        if (!read_with_number(read, &argv[i], &used) && !read_flag(read, argv[i])) {
            (void)fprintf(stderr, "%s: not understood; see the head of simulation.c\n", argv[i]);
            return false;
        }
        i += used;
    }
    if (read->seconds == 0 && read->steps == UINT64_MAX)
        read->seconds = QUICK_SECONDS;
    return true;
}

/* Tells the history that is in `told`, step by step. */
static void tell(const options *chosen, const char *title)
{
    counts unheeded;
    memset(&unheeded, 0, sizeof unheeded);
    simulated.rules = chosen->rules;
    simulated.rules.trace = stdout;
    simulated.counts = &unheeded;
    (void)printf("%s\n", title);
    (void)world_run(&simulated, told.steps, told.count);
    simulated.rules.trace = NULL;
}

static bool run_seed(const options *chosen, uint64_t seed, counts *seen)
{
    history_make(&told, seed);
    simulated.rules = chosen->rules;
    simulated.counts = seen;
    return world_run(&simulated, told.steps, told.count);
}

static void report_breach(const options *chosen, uint64_t seed)
{
    breach what = simulated.breach;
    (void)printf("seed %" PRIu64 ": %s\n  %s\n", seed, world_breach_text(what), simulated.finding);
    if (chosen->expect_breach)
        return;
    tell(chosen, "The history:");
    unsigned runs = history_shrink(&told, what, &chosen->rules);
    (void)printf("Shrunk to %zu steps in %u runs.\n", told.count - 1, runs);
    tell(chosen, "What it needs:");
    (void)printf("`simulation --seed %" PRIu64 "` shows all of it again.\n", seed);
}

/* True if what was broken is what is looked for. */
static bool is_wanted(const options *chosen)
{
    char prefix[32];
    (void)snprintf(prefix, sizeof prefix, "guarantee %" PRIu64 ":", chosen->guarantee);
    const char *text = world_breach_text(simulated.breach);
    return chosen->guarantee == 0 || strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Runs seeds until something is broken or the time is over. True if something is. */
static bool run_many(const options *chosen, counts *seen)
{
    uint64_t began_ms = idem_monotonic_ms();
    uint64_t limit_ms = chosen->seconds ? chosen->seconds * 1000 : UINT64_MAX;
    for (uint64_t seed = chosen->from; seen->steps < chosen->steps; seed++) {
        if (!run_seed(chosen, seed, seen) && is_wanted(chosen)) {
            report_breach(chosen, seed);
            return true;
        }
        uint64_t passed_ms = idem_monotonic_ms() - began_ms;
        /* Where the machine is slow, what is demanded may come later. */
        bool waits = chosen->demand_all && passed_ms < 20 * chosen->seconds * 1000;
        if (passed_ms >= limit_ms && !(waits && counts_missing(seen, NULL) > 0))
            return false;
    }
    return false;
}

static int run_one(const options *chosen)
{
    history_make(&told, chosen->from);
    tell(chosen, "The history:");
    (void)printf("%s\n", world_breach_text(simulated.breach));
    return simulated.breach == BREACH_NONE ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    options chosen;
    counts seen;
    memset(&seen, 0, sizeof seen);
    if (!read_options(argc, argv, &chosen))
        return EXIT_FAILURE;
    if (chosen.one)
        return run_one(&chosen);
    uint64_t began_ms = idem_monotonic_ms();
    (void)printf("from seed %" PRIu64 "\n", chosen.from);
    bool broken = run_many(&chosen, &seen);
    (void)printf("%" PRIu64 " steps in %" PRIu64 " histories, %.1f s\n", seen.steps, seen.histories,
                 (double)(idem_monotonic_ms() - began_ms) / 1000);
    if (chosen.expect_breach)
        return broken ? EXIT_SUCCESS : EXIT_FAILURE;
    counts_print(&seen, stdout);
    if (broken)
        return EXIT_FAILURE;
    return chosen.demand_all && counts_missing(&seen, stdout) > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
