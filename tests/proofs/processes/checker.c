/* SPDX-License-Identifier: MIT */
/*
 * The checker: reads the histories of a run and proves that the guarantees held, or shows what
 * contradicts them. It trusts nobody: neither the library, of which it contains no line, nor the
 * processes, but for the order in which each of them wrote down its calls and answers.
 *
 * What is known of a call is an interval [start, end] on the one clock of the machine: whatever the
 * call did to its key, it did at one moment in there. A call without an answer (its process was
 * killed), or with the answer "uncertain", was done at any moment from its start on, or never: a
 * request may lie in a server's socket when its sender is long dead. Of two calls with intervals
 * that touch nothing is known of the order. A violation is noted only where every order that the
 * intervals allow is against the guarantee; so a history that a right store can produce is never
 * refused. Stamps are whole microseconds, rounded down, and "before" is strict: rounding blurs an
 * order but never turns it round.
 *
 * 1. What is certainly live (judge_life.c). The backend starts a lease at a moment m in the call's
 *    [s, e], and its end is m + lease. As m is not known, the claim is certainly live in
 *    [e, s + lease], cut where its own caller starts to complete, release or renew it. Both clocks
 *    count the same seconds, but the backends' in whole milliseconds: the difference of two of its
 *    readings can be 1 ms too large, so the end is taken `grain` earlier. For a server that keeps
 *    time by the wall clock the grain grows by what that clock was moved against ours during the
 *    run (the driver measures it). Only a caller's first begin gives a lease: one that finds its
 *    own token changes nothing. In that span no call that lies wholly inside may show the key held
 *    by somebody else, in doubt, completed, or gone, and the owner must not be turned away.
 *
 * 2. Completion (judge_completion.c). Nothing here forgets a key, and retention (24 h) is longer
 * than
 *    any run. So from the end of the first answer that shows a key completed, be it a complete's
 *    "ok" or a begin's "completed", each begin that starts later must be told "completed"; all are
 *    told the same bytes; these were sent by a complete that was not refused and had started by
 *    then; if a complete was answered "ok", then these are its bytes; and no two callers' completes
 *    are ok.
 *
 * 3. Losing (judge_claims.c). A token holds a key from one of its begins on, without a gap, until
 * the
 *    record changes hands; it can come to hold it again only by another begin. So a call c by token
 *    T that is answered "ok" must have a begin b of T, b not known to have failed, such that no
 *    event strictly between b and c shows that somebody else held the key (that one's "new", or
 *    "ok" to a complete, renew or checkpoint) or that T did not ("lost", "not found", T's own
 *    release). If each b has such an event, the call was let through after its claim was lost.
 *    Releases are answered "ok" in any case: one that fails this test cannot have removed anything,
 *    and then a record that is gone (a "not found", an attempt that starts again) is a violation,
 *    unless another release explains it.
 *
 * 4. Handing on (judge_attempts.c). While no release can have removed the record, attempts of
 * different
 *    callers differ and rise with time, one at a time: each attempt below was somebody's, whose
 *    begin is known or has no answer. A checkpoint that was acknowledged before a begin started is
 *    what that begin is given, or one whose call does not lie before it.
 *
 * 5. The ledger (judge_effects.c). Each effect bears token and attempt of a "new" that was answered
 *    before, and was booked before that caller set out to complete or release, and once. What was
 *    completed was booked.
 *
 * Refusals must have a reason too: "lost" needs somebody who can have taken the key, "in progress"
 * somebody whose lease can be live: so a caller that died does not lock its key up.
 *
 * The rules are necessary conditions, each judged on its own, not a search for one order that
 * explains all answers: a violation that shows only in the combination of several overlapping calls
 * can pass. What the runs need is in the rules, since the calls of a key overlap seldom and its
 * keys are many.
 */
#include "judge.h"

#include <inttypes.h>
#include <stdlib.h>

/* The backends' clocks count whole milliseconds, and so do the leases' ends. */
#define GRAIN_US    2000u
#define WINDOWS_MAX 64
#define TOO_LITTLE  3 /* the exit code if nothing is wrong, but too little happened */

/* In which the store may lose what it has acknowledged: a failover between servers that replicate
   asynchronously. Of a key that is older than a window, what lies before it is judged: a call that
   was under way when it began counts as one without an answer. A key whose first call lies within a
   window is not judged. */
typedef struct {
    uint64_t from;
    uint64_t to;
} window;

static window windows[WINDOWS_MAX];
static size_t window_count;

typedef struct {
    size_t calls;
    size_t answers[ANSWERS];
    size_t takeovers;
    size_t handed_on; /* takeovers that were given a checkpoint */
    size_t again;     /* begins of the same caller that were told that they hold the key */
    size_t effects;
    size_t completes;
    size_t refused; /* calls on a claim that was lost */
    size_t keys;
    size_t aside;   /* keys that were not judged */
    size_t in_part; /* until a window */
} figures;

static void count_event(figures *sum, const key_history *key, const event *at)
{
    if (at->kind == THE_EFFECT) {
        sum->effects++;
        return;
    }
    bool first = at->kind == CALL_BEGIN && judge_is_first_begin(key, at);
    bool taken_over = at->answer == ANSWER_NEW && at->attempt > 1 && first;
    sum->calls++;
    sum->answers[at->answer]++;
    sum->takeovers += taken_over;
    sum->handed_on += taken_over && *at->given;
    sum->again += at->answer == ANSWER_NEW && !first;
    sum->completes += at->kind == CALL_COMPLETE && at->answer == ANSWER_OK;
    sum->refused += at->answer == ANSWER_LOST;
}

static void judge_key(const key_history *key, figures *sum)
{
    judge_life(key);
    judge_claims(key);
    judge_attempts(key);
    judge_completion(key);
    judge_effects(key);
    sum->keys++;
    for (EACH(at, key))
        count_event(sum, key, at);
}

/* `FROM-TO`, in microseconds of the histories' clock. */
static bool read_window(const char *text)
{
    char *rest;
    if (window_count == WINDOWS_MAX)
        return false;
    window *into = &windows[window_count++];
    into->from = strtoull(text, &rest, 10);
    if (*rest != '-')
        return false;
    into->to = strtoull(rest + 1, &rest, 10);
    return *rest == '\0' && into->to >= into->from;
}

/* The first window that concerns a key that was first used then; NULL: none does. */
static const window *find_window(uint64_t first, uint64_t last)
{
    const window *found = NULL;
    for (size_t i = 0; i < window_count; i++) {
        const window *at = &windows[i];
        if (at->to >= first && at->from <= last && (!found || at->from < found->from))
            found = at;
    }
    return found;
}

/* Events are in the order of their starts. @return how many are left */
static size_t cut(event *events, size_t count, uint64_t from)
{
    size_t left = 0;
    for (; left < count && events[left].start < from; left++) {
        event *at = &events[left];
        if (at->end < from)
            continue;
        at->end = FOREVER;
        at->answer = ANSWER_OPEN;
        at->given = "";
        at->attempt = 0;
        at->code = 0;
    }
    return left;
}

/* @return how many of a key's events can be judged */
static size_t cut_at_window(event *events, size_t count, figures *sum)
{
    uint64_t last = 0;
    for (size_t i = 0; i < count; i++)
        last = events[i].end > last ? events[i].end : last;
    const window *lossy = find_window(events[0].start, last);
    if (!lossy)
        return count;
    size_t left = cut(events, count, lossy->from);
    sum->aside += left == 0;
    sum->in_part += left > 0;
    return left;
}

static void judge_all(const history *all, uint64_t grain, verdict *into, figures *sum)
{
    for (size_t from = 0, to; from < all->count; from = to) {
        to = from + 1;
        while (to < all->count && strcmp(all->events[to].key, all->events[from].key) == 0)
            to++;
        size_t count = cut_at_window(all->events + from, to - from, sum);
        key_history key = {
            .events = all->events + from, .count = count, .grain = grain, .verdict = into};
        if (count > 0)
            judge_key(&key, sum);
    }
}

static void print_figures(const history *all, const figures *sum)
{
    (void)printf("checker: %zu processes, %zu keys, %zu calls, %zu torn lines; answers:",
                 all->process_count, sum->keys, sum->calls, all->torn_count);
    for (int i = 0; i < ANSWERS; i++) {
        if (sum->answers[i] > 0)
            (void)printf(" %s %zu", history_answer_name((answer_kind)i), sum->answers[i]);
    }
    if (window_count > 0)
        (void)printf(
            "\nchecker: %zu windows, in which the store may lose: %zu keys not judged, %zu "
            "until then",
            window_count, sum->aside, sum->in_part);
    (void)printf("\nchecker: %zu takeovers, %zu with a checkpoint, %zu begins again, %zu effects, "
                 "%zu completes, %zu replays, %zu calls on lost claims\n",
                 sum->takeovers, sum->handed_on, sum->again, sum->effects, sum->completes,
                 sum->answers[ANSWER_COMPLETED], sum->refused);
}

/* A run in which too little happened proves nothing. */
static bool saw_enough(const figures *sum, size_t need)
{
    const struct {
        const char *what;
        size_t count;
    } situations[] = {
        {"takeovers", sum->takeovers},
        {"takeovers with a checkpoint", sum->handed_on},
        {"begins again", sum->again},
        {"effects", sum->effects},
        {"completes", sum->completes},
        {"replays", sum->answers[ANSWER_COMPLETED]},
        {"keys in progress", sum->answers[ANSWER_IN_PROGRESS]},
        {"keys in doubt", sum->answers[ANSWER_IN_DOUBT]},
        {"calls on lost claims", sum->refused},
        {"calls cut off by a kill", sum->answers[ANSWER_OPEN]},
    };
    bool enough = true;
    for (size_t i = 0; i < sizeof situations / sizeof situations[0]; i++) {
        if (situations[i].count >= need)
            continue;
        enough = false;
        (void)printf("too little happened: %zu %s, and %zu are needed\n", situations[i].count,
                     situations[i].what, need);
    }
    return enough;
}

static int usage(void)
{
    (void)fputs("usage: checker [--need N] [--grain-us N] [--window FROM-TO]... HISTORY...\n"
                "       checker --kinds\n",
                stderr);
    return 2;
}

int main(int argc, char **argv)
{
    history all = {0};
    figures sum = {0};
    verdict result = {.out = stdout};
    size_t need = 0;
    uint64_t grain = GRAIN_US;
    int first = 1;
    if (argc == 2 && strcmp(argv[1], "--kinds") == 0) {
        verdict_list(stdout);
        return 0;
    }
    for (; first + 1 < argc && argv[first][0] == '-'; first += 2) {
        if (strcmp(argv[first], "--need") == 0)
            need = strtoull(argv[first + 1], NULL, 10);
        else if (strcmp(argv[first], "--grain-us") == 0)
            grain = strtoull(argv[first + 1], NULL, 10);
        else if (strcmp(argv[first], "--window") == 0 && read_window(argv[first + 1]))
            continue;
        else
            return usage();
    }
    if (first >= argc)
        return usage();
    bool read = true;
    for (int i = first; i < argc && read; i++)
        read = history_read(&all, argv[i], stdout);
    if (read) {
        history_sort(&all);
        judge_all(&all, grain, &result, &sum);
        print_figures(&all, &sum);
    }
    for (int i = 0; i < VIOLATION_KINDS; i++) {
        if (result.found[i] > 0)
            (void)printf("violations: %s %zu\n", violation_name((violation)i), result.found[i]);
    }
    history_clear(&all);
    if (!read || result.total > 0)
        return EXIT_FAILURE;
    return saw_enough(&sum, need) ? EXIT_SUCCESS : TOO_LITTLE;
}
