/* SPDX-License-Identifier: MIT */
/*
 * Every public call × every fault × every kind of operation × the n-th of it, once and always.
 *
 * Each run has a place of its own with two handles: a sound one, which makes the situation and
 * looks at what is stored, and a faulty one, through which the call is made. n goes up until the
 * fault is not reached any more. What is expected follows from the call's run without faults alone:
 *
 * - A fault that passes is not noticed: what is said and what is stored are the same.
 * - One that stays is an error by the deadline, with the code that is true, and what is stored is
 *   what was there before, or, where a reply was lost, what the call would have stored: whole. The
 *   same call made again, after the fault, says and stores what it does without faults.
 *
 * The runs of one call are spread over processes, one for each fault, since they mostly wait.
 *
 *   faulty_faults_BACKEND [--stride N]   one pair in N of a call and a fault: each call, each fault
 */
#include "acts.h"
#include "faulty.h"
#include "lateness.h"
#include "place.h"

#include "runner.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef HASTY_MS
#define HASTY_MS UINT64_C(80) /* for calls that have to run into their deadline */
#endif
#define PATIENT_MS   UINT64_C(20000) /* for calls that must not */
#define LATE_MS      UINT64_C(30)
#define OWN_SLACK_MS UINT64_C(60)
#define N_MAX        8u
#define TRIES        5

typedef enum {
    PASSES = 1,  /* once: not noticed; always: an error by the deadline */
    AT_DEADLINE, /* an error, and no time is left to repeat */
    TOO_LATE,    /* the right answer, if no other operation is needed */
    FINAL        /* an error that repeating does not fix */
} effect;

typedef struct {
    const char *name;
    faulty_rule rule;
    effect effect;
    int code;  /* of the call, if a write is hit */
    bool done; /* the change may have been made */
} fault;

/* clang-format off */
static const fault faults[] = {
    {"before", {.kind = FAULTY_BEFORE}, PASSES, IDEM_ERR_UNAVAILABLE, false},
    {"before, uncertain", {.kind = FAULTY_BEFORE, .code = IDEM_ERR_UNCERTAIN},
     PASSES, IDEM_ERR_UNCERTAIN, false},
    {"before, whole batch", {.kind = FAULTY_BEFORE, .whole = true},
     PASSES, IDEM_ERR_UNAVAILABLE, false},
    {"before, no message", {.kind = FAULTY_BEFORE, .whole = true, .message = ""},
     PASSES, IDEM_ERR_UNAVAILABLE, false},
    {"after", {.kind = FAULTY_AFTER}, PASSES, IDEM_ERR_UNCERTAIN, true},
    {"after, whole batch", {.kind = FAULTY_AFTER, .whole = true}, PASSES, IDEM_ERR_UNCERTAIN, true},
    {"delayed", {.kind = FAULTY_DELAYED}, PASSES, IDEM_ERR_UNCERTAIN, true},
    {"delayed by two", {.kind = FAULTY_DELAYED, .delay = 2}, PASSES, IDEM_ERR_UNCERTAIN, true},
    {"stalls before", {.kind = FAULTY_BEFORE, .stall = true},
     AT_DEADLINE, IDEM_ERR_UNAVAILABLE, false},
    {"stalls after", {.kind = FAULTY_AFTER, .stall = true}, AT_DEADLINE, IDEM_ERR_UNCERTAIN, true},
    {"stalls delayed", {.kind = FAULTY_DELAYED, .stall = true},
     AT_DEADLINE, IDEM_ERR_UNCERTAIN, true},
    {"late", {.kind = FAULTY_LATE, .late_ms = LATE_MS}, TOO_LATE, IDEM_ERR_UNAVAILABLE, true},
    {"permanent", {.kind = FAULTY_BEFORE, .permanent = true}, FINAL, IDEM_ERR_UNAVAILABLE, false},
    {"permanent, after", {.kind = FAULTY_AFTER, .permanent = true}, FINAL, IDEM_ERR_UNCERTAIN, true},
    {"full", {.kind = FAULTY_BEFORE, .code = IDEM_ERR_FULL}, FINAL, IDEM_ERR_FULL, false},
    {"garbage", {.kind = FAULTY_GARBAGE}, FINAL, IDEM_ERR_CORRUPT, false},
};
/* clang-format on */
#define FAULTS (sizeof faults / sizeof faults[0])

/* What a run is, and what came of it. */
typedef struct {
    const act *act;
    const fault *fault; /* NULL: none */
    unsigned place;
    uint64_t nth;
    uint64_t times;
    uint64_t timeout_ms;

    int rc;
    uint64_t took_ms;
    uint64_t late_ms; /* the machine, meanwhile */
    uint64_t hits;
    idem_error err;
    char said[ACT_TEXT];
    char before[ACT_TEXT];
    char after[ACT_TEXT];
    char said_again[ACT_TEXT];
    char after_again[ACT_TEXT];
} run;

/* Of all processes together. */
typedef struct {
    _Atomic uint64_t runs;
    _Atomic uint64_t injected;
} figures;

static figures *total;
static size_t stride = 1;
static unsigned failures; /* of this process */

static void expect(bool holds, const run *of, const char *format, ...)
{
    va_list arguments;
    if (holds)
        return;
    failures++;
    (void)fprintf(stderr, "%s / %s / op %u, the %llu., %s: ", of->act->name,
                  of->fault ? of->fault->name : "no fault", of->place, (unsigned long long)of->nth,
                  of->times == FAULTY_ALWAYS ? "always" : "once");
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fprintf(stderr,
                  "\n  %d (%s) after %llu of %llu ms\n  said   %s\n  before %s\n  after  %s\n",
                  of->rc, of->err.message, (unsigned long long)of->took_ms,
                  (unsigned long long)of->timeout_ms, of->said, of->before, of->after);
}

/* ----------------------------------------------------------------------------------- one run */

static idem_store *open_handle(const char *wrapper, const char *name, uint64_t timeout_ms)
{
    char url[PLACE_URL_SIZE];
    idem_error err;
    idem_store *store = NULL;
    place_url(url, sizeof url, wrapper, name);
    size_t len = strlen(url);
    (void)snprintf(url + len, sizeof url - len, "timeout=%llums", (unsigned long long)timeout_ms);
    /* On a busy machine a server may take longer to connect to than the calls have. */
    uint64_t until_ms = idem_monotonic_ms() + PATIENT_MS;
    int rc = idem_open(url, &store, &err);
    while (rc == IDEM_ERR_UNAVAILABLE && idem_monotonic_ms() < until_ms)
        rc = idem_open(url, &store, &err);
    if (rc) {
        (void)fprintf(stderr, "%s: %s\n", url, err.message);
        exit(EXIT_FAILURE);
    }
    return store;
}

static void open_scene(scene *at, uint64_t timeout_ms)
{
    static unsigned number;
    char name[64];
    (void)snprintf(name, sizeof name, "p%ld-%u", (long)getpid(), number++);
    memset(at, 0, sizeof *at);
    at->sound = open_handle("", name, PATIENT_MS);
    at->faulty = open_handle("faulty+", name, timeout_ms);
}

static void close_scene(scene *at)
{
    idem_claim_free(at->claim);
    idem_claim_free(at->sound_claim);
    idem_close(at->faulty);
    idem_close(at->sound);
}

static void add_rule(const run *this)
{
    faulty_rule rule = this->fault->rule;
    rule.places = FAULTY_ON(this->place);
    rule.nth = this->nth;
    rule.times = this->times;
    (void)faulty_add(&rule);
}

/* What is on its way arrives; then the call is made again, by a caller who has more time. */
static void call_again(scene *at, run *this)
{
    idem_store *hasty = at->faulty;
    for (uint64_t i = 0; i <= this->fault->rule.delay + 1; i++)
        (void)idem_forget(hasty, idem_str("another key"), NULL);
    at->faulty = at->sound;
    (void)this->act->call(at, this->said_again);
    at->faulty = hasty;
    act_stored(at, this->after_again);
}

/* @return false: the store can't do this */
static bool carry_out(run *this)
{
    scene at;
    open_scene(&at, this->timeout_ms);
    bool able = (idem_traits(at.faulty) & this->act->needs) == this->act->needs;
    if (able) {
        faulty_clear();
        this->act->set_up(&at);
        act_stored(&at, this->before);
        faulty_clear();
        if (this->fault)
            add_rule(this);
        uint64_t start = idem_monotonic_ms();
        this->rc = this->act->call(&at, this->said);
        this->took_ms = idem_monotonic_ms() - start;
        this->late_ms = lateness_since(start);
        this->hits = faulty_hits(0);
        this->err = at.err;
        act_stored(&at, this->after);
        atomic_fetch_add(&total->runs, 1);
        atomic_fetch_add(&total->injected, this->hits);
        if (this->fault && this->hits > 0) {
            faulty_clear();
            call_again(&at, this);
        }
    }
    close_scene(&at);
    return able;
}

/* ------------------------------------------------------------------------------------ judging */

static bool is_slot(unsigned place)
{
    return place > IDEM_OP_GET;
}

static bool only_reads(unsigned place)
{
    return place == IDEM_OP_GET || place == FAULTY_SCAN || place == FAULTY_CHECK;
}

static int expected_code(const run *this)
{
    int code = this->fault->code;
    return code == IDEM_ERR_UNCERTAIN && only_reads(this->place) ? IDEM_ERR_UNAVAILABLE : code;
}

static void expect_same(const run *this, const run *plain)
{
    expect(strcmp(this->said, plain->said) == 0, this, "without faults it says %s", plain->said);
    expect(strcmp(this->after, plain->after) == 0, this, "without faults it leaves %s",
           plain->after);
}

static void expect_error(const run *this, const run *plain, int code)
{
    bool as_before = strcmp(this->after, this->before) == 0;
    bool as_done = strcmp(this->after, plain->after) == 0;
    expect(this->rc == code && this->err.code == code, this, "the code is not %d", code);
    expect(this->err.message[0] != '\0' && !strchr(this->err.message, '\n'), this, "no message");
    expect(as_before || (as_done && this->fault->done), this, "that is stored now");
    expect(as_before || code == IDEM_ERR_UNCERTAIN, this, "it was changed, and that is not said");
    if (!this->fault->rule.message)
        expect(strstr(this->err.message, "faulty: ") || strstr(this->err.message, "deadline"), this,
               "the backend's message was not handed on");
    bool told = this->act->told_once && strncmp(this->said_again, "5:", 2) == 0;
    expect(told || strcmp(this->said_again, plain->said) == 0, this,
           "called again it says %s, not %s", this->said_again, plain->said);
    expect(strcmp(this->after_again, plain->after) == 0, this, "called again it leaves %s, not %s",
           this->after_again, plain->after);
}

static bool in_time(const run *this)
{
    uint64_t limit_ms = this->timeout_ms + this->fault->rule.late_ms;
    return this->took_ms <= limit_ms + OWN_SLACK_MS + 2 * this->late_ms;
}

static void judge_final(const run *this, const run *plain)
{
    bool garbage = this->fault->rule.kind == FAULTY_GARBAGE;
    bool absent = strncmp(this->before, "0:", 2) != 0;
    if (garbage && !is_slot(this->place) && (absent || this->act->by_force)) {
        expect_same(this, plain);
        return;
    }
    expect_error(this, plain, expected_code(this));
    expect(this->took_ms < PATIENT_MS / 2, this, "it was repeated");
    if (garbage && !is_slot(this->place))
        expect(strstr(this->err.message, ACT_KEY) != NULL, this, "the key is not named");
}

static void judge_late(const run *this, const run *plain)
{
    if (strcmp(this->said, plain->said) == 0)
        expect_same(this, plain);
    else
        expect_error(this, plain, IDEM_ERR_UNAVAILABLE);
    expect(in_time(this), this, "it took too long");
}

static void judge(const run *this, const run *plain)
{
    if (this->fault->effect == FINAL) {
        judge_final(this, plain);
    } else if (this->fault->effect == TOO_LATE) {
        judge_late(this, plain);
    } else if (this->fault->effect == PASSES && this->times == 1) {
        expect_same(this, plain);
        expect(this->rc == plain->rc, this, "the code is another");
    } else {
        /* What was lost is found by an operation of another kind: a takeover by its insert. */
        if (this->rc == plain->rc && this->fault->effect == PASSES && this->fault->done)
            expect_same(this, plain);
        else
            expect_error(this, plain, expected_code(this));
        expect(in_time(this), this, "it took too long");
    }
}

/* -------------------------------------------------------------------------------- all of them */

static bool must_wait(const fault *with, uint64_t times)
{
    return with->effect == AT_DEADLINE || with->effect == TOO_LATE ||
           (with->effect == PASSES && times == FAULTY_ALWAYS);
}

/* A run that ended too late is made again: what is the library's doing happens each time, what a
   loaded machine does to one thread and not to the one that measures it does not. */
static void carry_out_in_time(run *this)
{
    const run question = *this;
    for (int tries = 0; tries < TRIES; tries++) {
        *this = question;
        (void)carry_out(this);
        if (this->hits == 0 || this->timeout_ms != HASTY_MS || in_time(this))
            return;
    }
}

/* The n-th operation of one kind, for as long as there is one. */
static void try_each(const act *row, const fault *with, unsigned place, uint64_t times,
                     const run *plain)
{
    for (uint64_t n = 1; n <= N_MAX; n++) {
        run this = {.act = row, .fault = with, .place = place, .nth = n, .times = times};
        this.timeout_ms = must_wait(with, times) ? HASTY_MS : PATIENT_MS;
        carry_out_in_time(&this);
        if (this.hits == 0) {
            expect(n > 1, &this, "the fault was never reached");
            expect_same(&this, plain);
            return;
        }
        judge(&this, plain);
    }
    if (place == FAULTY_PURGE) /* portion by portion: how many there are is the store's affair */
        return;
    run endless = {.act = row, .fault = with, .place = place, .nth = N_MAX, .times = times};
    expect(false, &endless, "there is no end of operations");
}

static void try_fault(const act *row, const fault *with)
{
    bool reached[FAULTY_PLACES];
    run plain = {.act = row, .timeout_ms = PATIENT_MS};
    if (!carry_out(&plain))
        return;
    for (unsigned place = 0; place < FAULTY_PLACES; place++)
        reached[place] = place != FAULTY_OPEN && faulty_seen(place) > 0;
    for (unsigned place = 0; place < FAULTY_PLACES; place++) {
        if (!reached[place])
            continue;
        try_each(row, with, place, 1, &plain);
        if (with->effect == PASSES)
            try_each(row, with, place, FAULTY_ALWAYS, &plain);
    }
}

/* A process of its own for a call with one fault. @return its id */
static pid_t start(const act *row, const fault *with)
{
    (void)fflush(NULL);
    pid_t child = fork();
    if (child != 0)
        return child;
    lateness_watch();
    try_fault(row, with);
    _exit(failures > 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* About as many processes at once, whatever the stride: so many calls share them. */
START_TEST(calls_with_any_fault)
{
    pid_t children[2 * FAULTS];
    size_t count = 0;
    unsigned failed = 0;
    for (size_t row = (size_t)_i * stride; row < acts_count && row < ((size_t)_i + 1) * stride;
         row++) {
        for (size_t i = row % stride; i < FAULTS; i += stride)
            children[count++] = start(&acts[row], &faults[i]);
    }
    for (size_t i = 0; i < count; i++) {
        int status = -1;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        failed += status != 0;
    }
    ck_assert_msg(failed == 0, "%s and those behind it: %u faults were not stood",
                  acts[(size_t)_i * stride].name, failed);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--stride") == 0)
        stride = strtoul(argv[2], NULL, 10);
    if (stride < 1 || stride > FAULTS)
        return EXIT_FAILURE;
    total = mmap(NULL, sizeof *total, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (total == MAP_FAILED)
        return EXIT_FAILURE;
    place_start();
    faulty_require();
    Suite *suite = suite_create("faults");
    TCase *tcase = tcase_create("calls_with_any_fault");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, calls_with_any_fault, 0, (int)((acts_count + stride - 1) / stride));
    suite_add_tcase(suite, tcase);
    int failed = run_suite(suite);
    place_end();
    (void)printf("%zu calls, %zu faults: %llu runs, %llu faults injected\n", acts_count, FAULTS,
                 (unsigned long long)total->runs, (unsigned long long)total->injected);
    return failed;
}
