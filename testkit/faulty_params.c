/* SPDX-License-Identifier: MIT */
/* A fault by a URL: `faulty+memory://?fault=after&fault_on=insert&fault_nth=2`. */
#include "faulty_params.h"

enum { KIND, ON, NTH, TIMES, PERCENT, SEED, LATE, COUNT };

static const idem_param params[COUNT] = {
    [KIND] = {.name = "fault",
              .type = IDEM_PARAM_CHOICE,
              .choices = "before|after|late|delayed|garbage",
              .help = "what happens: nothing is done, the reply is lost, it comes late, …"},
    [ON] =
        {.name = "fault_on",
         .type = IDEM_PARAM_TEXT,
         .help =
             "where: insert,replace,remove,get,open,scan,purge,check; the first four unless set"},
    [NTH] = {.name = "fault_nth",
             .type = IDEM_PARAM_COUNT,
             .help = "the first operation that is hit"},
    [TIMES] = {.name = "fault_times",
               .type = IDEM_PARAM_COUNT,
               .help = "how many from there on; all unless set"},
    [PERCENT] = {.name = "fault_percent",
                 .type = IDEM_PARAM_COUNT,
                 .help = "how many of a hundred of these, by chance; all unless set"},
    [SEED] = {.name = "fault_seed", .type = IDEM_PARAM_COUNT, .help = "which sequence of chances"},
    [LATE] = {.name = "fault_late",
              .type = IDEM_PARAM_DURATION,
              .fallback = "1ms",
              .help = "how long behind the deadline a late reply comes"},
};

static const idem_fault_kind kinds[] = {IDEM_FAULT_BEFORE, IDEM_FAULT_AFTER, IDEM_FAULT_LATE,
                                        IDEM_FAULT_DELAYED, IDEM_FAULT_GARBAGE};

typedef struct {
    const char *name;
    unsigned place;
} named_place;

static const named_place places[] = {
    {"insert", IDEM_OP_INSERT},  {"replace", IDEM_OP_REPLACE}, {"remove", IDEM_OP_REMOVE},
    {"get", IDEM_OP_GET},        {"open", IDEM_FAULT_OPEN},    {"scan", IDEM_FAULT_SCAN},
    {"purge", IDEM_FAULT_PURGE}, {"check", IDEM_FAULT_CHECK},
};

const idem_param *idem__testkit_faulty_params(size_t *count)
{
    *count = COUNT;
    return params;
}

/* The bit of a place; 0: there is none of that name. */
static unsigned find_place(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (strlen(places[i].name) == len && memcmp(places[i].name, name, len) == 0)
            return IDEM_FAULT_ON(places[i].place);
    }
    return 0;
}

static int read_places(const char *list, unsigned *bits, idem_error *error)
{
    char quoted[IDEM_QUOTE_SIZE];
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        size_t len = strcspn(at, ",");
        unsigned bit = find_place(at, len);
        if (!bit)
            return idem_error_set(
                error, IDEM_ERR_ARGUMENT,
                "faulty: fault_on has %s; it may have insert, replace, remove, get, "
                "open, scan, purge, check",
                idem_quote((idem_bytes){at, len}, quoted));
        *bits |= bit;
    }
    return IDEM_OK;
}

int idem__testkit_faulty_read(const idem_value *values, idem_fault *fault, idem_error *error)
{
    bool others = false;
    for (size_t i = ON; i < LATE; i++)
        others = others || values[i].text;
    if (!values[KIND].text && others)
        return idem_error_set(
            error, IDEM_ERR_ARGUMENT,
            "faulty: fault_… says when, and fault=before (or after, late, delayed, "
            "garbage) is missing");
    if (!values[KIND].text)
        return IDEM_OK;
    if (values[PERCENT].number > 100)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "faulty: fault_percent is 1 to 100");
    fault->kind = kinds[values[KIND].number];
    fault->nth = values[NTH].number;
    fault->times = values[TIMES].text ? values[TIMES].number : IDEM_FAULT_ALWAYS;
    fault->percent = values[PERCENT].number % 100;
    fault->seed = values[SEED].number;
    fault->late_ms = values[LATE].number;
    return values[ON].text ? read_places(values[ON].text, &fault->places, error) : IDEM_OK;
}
