/* SPDX-License-Identifier: MIT */
/*
 * Running trials. Nothing of check's is called between the moments at which allocations are
 * counted, since it allocates too: what goes wrong is written down, and asserted in the end.
 */
#include "trial.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS_MAX 10
#define TRIALS_MAX 5000u

idem_error clean;

static char problem[600];
static char where[160];

static struct {
    uint64_t calls;
    uint64_t refused;
    uint64_t no_memory;
    uint64_t uncertain;
    uint64_t spared; /* answered as if nothing had happened */
} figures;

void wrong(const char *format, ...)
{
    va_list arguments;
    if (problem[0])
        return;
    int len = snprintf(problem, sizeof problem, "%s: ", where);
    va_start(arguments, format);
    (void)vsnprintf(problem + len, sizeof problem - (size_t)len, format, arguments);
    va_end(arguments);
}

/* --------------------------------------------------------------------------- what subjects use */

bool all_untouched(const void *output, size_t size)
{
    const unsigned char *at = output;
    for (size_t i = 0; i < size; i++) {
        if (at[i] != UNTOUCHED)
            return false;
    }
    return true;
}

bool is_blank(const idem_outcome *outcome)
{
    static const idem_outcome blank;
    return memcmp(outcome, &blank, sizeof blank) == 0;
}

bool is_text(idem_bytes bytes, const char *text)
{
    return bytes.len == strlen(text) && memcmp(bytes.data, text, bytes.len) == 0;
}

void hold(trial *t, uint64_t lease_ms, uint64_t flags)
{
    const idem_request *request = IDEM_REQUEST(.key = t->key, .fingerprint = idem_str("body"),
                                               .lease_ms = lease_ms, .flags = flags);
    expect_ok(idem_begin(t->store, request, &t->held, &clean));
    expect(t->held.kind == IDEM_NEW);
    expect_ok(idem_checkpoint(t->store, t->held.claim, idem_str(CHECKPOINT), &clean));
}

void hold_completed(trial *t)
{
    hold(t, LONG_MS, 0);
    expect_ok(idem_complete(t->store, t->held.claim, idem_str(RESPONSE), &clean));
}

void remember(trial *t)
{
    expect_ok(idem_get(t->witness, t->key, &t->before, &clean));
}

bool is_unchanged(trial *t)
{
    idem_record now;
    if (idem_get(t->witness, t->key, &now, NULL))
        return false;
    bool same = now.version == t->before.version && now.status == t->before.status &&
                now.attempt == t->before.attempt && now.checkpoint.len == t->before.checkpoint.len;
    idem_record_clear(&now);
    return same;
}

bool is_absent(trial *t)
{
    idem_record now;
    int rc = idem_get(t->witness, t->key, &now, NULL);
    if (rc == IDEM_OK)
        idem_record_clear(&now);
    return rc == IDEM_ERR_NOT_FOUND;
}

void expect_begin(trial *t, const uint8_t *token, idem_outcome_kind kind, uint32_t attempt)
{
    idem_outcome out = {0};
    idem_store *store = token == t->token ? t->store : t->witness;
    expect_ok(idem_begin(store, IDEM_REQUEST(.key = t->key, .token = token, .lease_ms = LONG_MS),
                         &out, &clean));
    if (out.kind != kind || out.attempt != attempt)
        wrong("a clean begin is told %d, attempt %u, not %d, attempt %u", (int)out.kind,
              (unsigned)out.attempt, (int)kind, (unsigned)attempt);
    if (out.kind == IDEM_NEW) {
        expect(attempt == 1 || is_text(out.checkpoint, CHECKPOINT));
        expect_ok(idem_complete(store, out.claim, idem_str(RESPONSE), &clean));
    }
    if (out.kind == IDEM_COMPLETED)
        expect(is_text(out.response, RESPONSE));
    idem_outcome_clear(&out);
}

/* ------------------------------------------------------------------------------------ one trial */

static bool may_answer(const trial *t, const subject *what, int rc, heap_mode mode)
{
    if (rc == IDEM_ERR_NO_MEMORY)
        return true;
    /* If memory comes back, the library's own repeat finds out. */
    return rc == IDEM_ERR_UNCERTAIN && what->changes && (mode == HEAP_FOR_GOOD || t->at->callers) &&
           (t->at->remote || t->at->transactional);
}

static void judge_error(const trial *t, const subject *what, int rc, heap_mode mode,
                        const idem_error *error)
{
    if (error->code != rc)
        wrong("returned %d, but the error says %d (%s)", rc, error->code, error->message);
    if ((error->message[0] == '\0') != (rc == IDEM_OK) || strchr(error->message, '\n'))
        wrong("returned %d with a message that is not one line: '%s'", rc, error->message);
    if (rc != IDEM_OK && !may_answer(t, what, rc, mode))
        wrong("returned %d (%s)", rc, error->message);
}

static void count(int rc, uint64_t refused)
{
    figures.calls++;
    figures.refused += refused;
    figures.no_memory += rc == IDEM_ERR_NO_MEMORY;
    figures.uncertain += rc == IDEM_ERR_UNCERTAIN;
    figures.spared += rc == IDEM_OK && refused > 0;
}

/* @return how many allocations failed */
static uint64_t try_once(trial *t, const subject *what, uint64_t nth, heap_mode mode)
{
    idem_error error = {.code = -1};
    memset(&t->held, 0, sizeof t->held);
    memset(&t->before, 0, sizeof t->before);
    if (what->prepare)
        what->prepare(t);
    memset(&t->made, UNTOUCHED, sizeof t->made);
    memset(&t->record, UNTOUCHED, sizeof t->record);
    memset(&t->claim, UNTOUCHED, sizeof t->claim);
    memset(&t->opened, UNTOUCHED, sizeof t->opened);
    if (t->at->enter)
        t->at->enter();
    heap_arm(nth, mode);
    int rc = what->call(t, &error);
    uint64_t refused = heap_disarm();
    bool stands = !t->at->leave || t->at->leave();
    count(rc, refused);
    judge_error(t, what, rc, mode, &error);
    if (!stands && rc == IDEM_OK)
        wrong("said OK, and the caller's transaction was rolled back");
    if (refused == 0 && rc != IDEM_OK)
        wrong("failed without a reason: %d (%s)", rc, error.message);
    if (!problem[0])
        what->judge(t, rc);
    idem_outcome_clear(&t->held);
    idem_record_clear(&t->before);
    expect_ok(idem_forget(t->witness, t->key, &clean));
    return refused;
}

static void make_key(trial *t, uint64_t nth, heap_mode mode)
{
    static uint64_t number;
    int len = snprintf(t->key_text, sizeof t->key_text, "key-%llu-%d-%llu", (unsigned long long)nth,
                       (int)mode, (unsigned long long)number++);
    t->key = (idem_bytes){t->key_text, (size_t)len};
    memset(t->token, 0, sizeof t->token);
    (void)snprintf((char *)t->token, sizeof t->token, "t%llu", (unsigned long long)number);
}

static void open_handle(const place *at, idem_store **store)
{
    *store = NULL;
    expect_ok(at->open(at, store, &clean));
}

/* ---------------------------------------------------------------------------------- all trials */

static bool has_needs(const trial *t, const subject *what)
{
    return (idem_traits(t->store) & what->needs) == what->needs;
}

/* 1, or more where each trial takes long: under valgrind, or at a place that says so. */
static uint64_t step(const place *at)
{
    const char *text = getenv("IDEM_ALLOCATION_STEP");
    uint64_t number = text ? strtoull(text, NULL, 10) : at->step;
    return number ? number : 1;
}

static void try_all(const place *at, const subject *what, heap_mode mode, bool fresh)
{
    static trial t;
    memset(&t, 0, sizeof t);
    t.at = at;
    if (!at->alone)
        open_handle(at, &t.witness);
    open_handle(at, &t.store);
    if (at->alone)
        t.witness = t.store;
    for (uint64_t nth = 1; !problem[0] && has_needs(&t, what); nth += step(at)) {
        (void)snprintf(where, sizeof where, "%s on %s, allocation %llu failing %s, %s handle",
                       what->name, at->name, (unsigned long long)nth,
                       mode == HEAP_ONCE ? "once" : "for good", fresh ? "fresh" : "used");
        if (fresh) {
            idem_close(t.store);
            open_handle(at, &t.store);
            if (at->alone)
                t.witness = t.store;
        }
        make_key(&t, nth, mode);
        if (try_once(&t, what, nth, mode) == 0)
            break;
        if (nth > TRIALS_MAX)
            wrong("does not end");
    }
    idem_close(t.store);
    if (!at->alone)
        idem_close(t.witness);
}

static void try_on(const place *at, const subject *what)
{
    static const heap_mode modes[] = {HEAP_ONCE, HEAP_FOR_GOOD};
    int64_t before = 0;
    /* At first, libraries make what they keep for the rest of the process, and a caller's own
       connection to SQLite keeps pages of a file that grows. A block that is lost is lost in every
       round. */
    for (int round = 0; round < ROUNDS_MAX && !problem[0]; round++) {
        before = heap_live();
        for (size_t i = 0; i < sizeof modes / sizeof modes[0] && !problem[0]; i++) {
            try_all(at, what, modes[i], false);
            if (!problem[0] && !what->own_handle)
                try_all(at, what, modes[i], true);
        }
        if (heap_live() == before)
            return;
    }
    if (heap_live() != before)
        wrong("%lld blocks were left allocated", (long long)(heap_live() - before));
}

void trial_run(const subject *subjects, size_t subject_count)
{
    size_t place_count;
    const place *all = places(&place_count);
    problem[0] = '\0';
    const char *only = getenv("IDEM_ALLOCATION_PLACE");
    for (size_t i = 0; i < place_count; i++) {
        if (only && strcmp(only, all[i].name) != 0)
            continue;
        for (size_t k = 0; k < subject_count && !problem[0]; k++) {
            if (!subjects[k].own_handle || !all[i].enter)
                try_on(&all[i], &subjects[k]);
        }
    }
    ck_assert_msg(problem[0] == '\0', "%s", problem);
}

void trial_summary(const char *program)
{
    (void)printf("%s: %llu calls, %llu allocations failed: %llu answered NO_MEMORY, %llu "
                 "UNCERTAIN, %llu had done without\n",
                 program, (unsigned long long)figures.calls, (unsigned long long)figures.refused,
                 (unsigned long long)figures.no_memory, (unsigned long long)figures.uncertain,
                 (unsigned long long)figures.spared);
}
