/* SPDX-License-Identifier: MIT */
/* Figures: printed for people, and looked through for what never happened. */
#include "counts.h"

#include <inttypes.h>

static const char *const row_names[] = {
#define TABLE_ROW(name, text) text,
    TABLE_ROWS(TABLE_ROW)
#undef TABLE_ROW
};

static const char *const fault_names[] = {
#define FAULT(name, text) text,
    FAULTS(FAULT)
#undef FAULT
};

static const char *const situation_names[] = {
#define SITUATION(name, text) text,
    SITUATIONS(SITUATION)
#undef SITUATION
};

const char *counts_kind_text(idem__call_kind kind)
{
    static const char *const texts[KINDS_COUNT] = {[IDEM__CALL_BEGIN] = "begin",
                                                   [IDEM__CALL_COMPLETE] = "complete",
                                                   [IDEM__CALL_RENEW] = "renew",
                                                   [IDEM__CALL_CHECKPOINT] = "checkpoint",
                                                   [IDEM__CALL_RELEASE] = "release",
                                                   [IDEM__CALL_RESUME] = "resume",
                                                   [IDEM__CALL_GET] = "get",
                                                   [IDEM__CALL_FORGET] = "forget",
                                                   [IDEM__CALL_SETTLE] = "settle",
                                                   [IDEM__CALL_FORGET_ANY] = "forget any",
                                                   [IDEM__CALL_FORGET_EXPIRED] = "forget expired"};
    return texts[kind];
}

static void print_list(const char *title, const char *const *names, const uint64_t *figures,
                       size_t count, FILE *to)
{
    (void)fprintf(to, "%s:\n", title);
    for (size_t i = 0; i < count; i++)
        (void)fprintf(to, "  %12" PRIu64 "  %s\n", figures[i], names[i]);
}

static void print_calls(const counts *seen, FILE *to)
{
    (void)fprintf(to, "calls:     started         ok       lost  not found    corrupt        "
                      "full unavailable  uncertain\n");
    for (size_t kind = IDEM__CALL_BEGIN; kind < KINDS_COUNT; kind++) {
        const uint64_t *codes = seen->codes[kind];
        if (!counts_kind_text((idem__call_kind)kind))
            continue;
        (void)fprintf(to,
                      "%-10s %7" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64
                      " %11" PRIu64 " %11" PRIu64 " %10" PRIu64 "\n",
                      counts_kind_text((idem__call_kind)kind), seen->calls[kind], codes[IDEM_OK],
                      codes[IDEM_ERR_LOST], codes[IDEM_ERR_NOT_FOUND], codes[IDEM_ERR_CORRUPT],
                      codes[IDEM_ERR_FULL], codes[IDEM_ERR_UNAVAILABLE], codes[IDEM_ERR_UNCERTAIN]);
    }
}

void counts_print(const counts *seen, FILE *to)
{
    print_calls(seen, to);
    print_list("rows of the table that ended a call", row_names, seen->rows, ROWS_COUNT, to);
    print_list("what became of operations", fault_names, seen->faults, FAULTS_COUNT, to);
    print_list("situations", situation_names, seen->situations, SITUATIONS_COUNT, to);
}

static void tell_missing(FILE *to, const char *what, const char *how)
{
    if (to)
        (void)fprintf(to, "never happened: %s%s\n", what, how);
}

static unsigned missing_in(const char *const *names, const uint64_t *figures, size_t count,
                           FILE *to)
{
    unsigned missing = 0;
    for (size_t i = 0; i < count; i++) {
        if (figures[i] > 0)
            continue;
        tell_missing(to, names[i], "");
        missing++;
    }
    return missing;
}

/* Every call can fail as unavailable, and every one that changes something as uncertain. */
static unsigned missing_errors(const counts *seen, FILE *to)
{
    unsigned missing = 0;
    for (size_t kind = IDEM__CALL_BEGIN; kind < KINDS_COUNT; kind++) {
        bool reads = kind == IDEM__CALL_RESUME || kind == IDEM__CALL_GET;
        const char *text = counts_kind_text((idem__call_kind)kind);
        if (!text)
            continue;
        if (seen->codes[kind][IDEM_ERR_UNAVAILABLE] == 0) {
            tell_missing(to, text, ", unavailable");
            missing++;
        }
        if (!reads && seen->codes[kind][IDEM_ERR_UNCERTAIN] == 0) {
            tell_missing(to, text, ", uncertain");
            missing++;
        }
    }
    return missing;
}

unsigned counts_missing(const counts *seen, FILE *to)
{
    return missing_in(row_names, seen->rows, ROWS_COUNT, to) +
           missing_in(fault_names, seen->faults, FAULTS_COUNT, to) +
           missing_in(situation_names, seen->situations, SITUATIONS_COUNT, to) +
           missing_errors(seen, to);
}
