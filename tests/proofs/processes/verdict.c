/* SPDX-License-Identifier: MIT */
/*
 * Notes violations, and shows the events that prove each of the first ones together with the whole
 * history of the key: whoever reads a failed run has nothing else to go by.
 */
#include "verdict.h"

#include <inttypes.h>
#include <string.h>

#define SHOWN_MAX 3
#define TEXT_MAX  60

static const struct {
    const char *name;
    int guarantee;
    const char *text;
} kinds[VIOLATION_KINDS] = {
#define VIOLATION_ROW(name, guarantee, text) {#name, guarantee, text},
    VIOLATIONS(VIOLATION_ROW)
#undef VIOLATION_ROW
};

const char *violation_name(violation kind)
{
    return kinds[kind].name;
}

static void show_event(FILE *out, const event *at)
{
    (void)fprintf(out, "    %12" PRIu64 " ", at->start);
    if (at->end == FOREVER)
        (void)fprintf(out, "%12s", "...");
    else
        (void)fprintf(out, "%12" PRIu64, at->end);
    (void)fprintf(out, "  p%-5u %-10s %-32s", at->process, history_call_name(at->kind), at->token);
    if (at->lease)
        (void)fprintf(out, " lease=%" PRIu64, at->lease / 1000);
    if (*at->sent)
        (void)fprintf(out, " text=%.*s", TEXT_MAX, at->sent);
    (void)fprintf(out, "%s%s  ", at->no_takeover ? " no-takeover" : "",
                  at->keepalive ? " keepalive" : "");
    if (at->kind != THE_EFFECT)
        (void)fprintf(out, "%s", history_answer_name(at->answer));
    if (at->attempt)
        (void)fprintf(out, " attempt=%u", at->attempt);
    if (at->code)
        (void)fprintf(out, " code=%d", at->code);
    (void)fprintf(out, "%s%.*s\n", *at->given ? " " : "", TEXT_MAX, at->given);
}

void verdict_note(const key_history *key, violation kind, const event *what, const event *against)
{
    verdict *self = key->verdict;
    self->total++;
    if (self->found[kind]++ >= SHOWN_MAX)
        return;
    (void)fprintf(self->out, "violation %s: key %s: %s", kinds[kind].name, what->key,
                  kinds[kind].text);
    if (kinds[kind].guarantee)
        (void)fprintf(self->out, " (guarantee %d)", kinds[kind].guarantee);
    (void)fprintf(self->out, "\n");
    show_event(self->out, what);
    if (against)
        show_event(self->out, against);
    (void)fprintf(self->out, "  all of the key's history:\n");
    for (size_t i = 0; i < key->count; i++)
        show_event(self->out, &key->events[i]);
}

void verdict_list(FILE *out)
{
    for (int i = 0; i < VIOLATION_KINDS; i++)
        (void)fprintf(out, "%s\n", kinds[i].name);
}
