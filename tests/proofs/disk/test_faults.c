/* SPDX-License-Identifier: MIT */
/*
 * Calls of the file system that fail: the n-th of each kind on each file, for every n that a script
 * of the public calls reaches; once, some times, or until the caller gives up. And disks that are
 * full after so many bytes.
 *
 * Around each call the table is read twice over the system's own VFS: as it is, and from a copy of
 * the files as if the process had died, where SQLite recovers what the log holds. What the call
 * answered has to agree with both. Then the disk is fixed, and the same handle does the work.
 */
#include "lateness.h"
#include "options.h"
#include "platter.h"
#include "table.h"
#include "verify.h"
#include "workload.h"

#include <idem/backend.h>

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT_MS  120u
#define URL_OPTIONS "timeout=120ms&lease=60s"

typedef struct {
    fault_plan plan;
    int64_t space; /* how many bytes fit; INT64_MAX: no limit */
} trouble;

/* What children report. */
static struct tally {
    uint64_t fired, answers, codes[IDEM_ERR_INTERNAL + 1], slowest_ms;
} * tally;

static char folders[2][64];
static const trouble *now;
static idem_store *store;
static idem_claim *claim;

_Noreturn static void wrong(const char *step, const char *what, const idem_error *error)
{
    history_fail("%s: %s: %s", step, what, error ? error->message : "");
    _Exit(EXIT_FAILURE);
}

/* -------------------------------------------------------------------------------- the script */

static int begin(const char *key, idem_outcome_kind expected, const char *response,
                 idem_error *error)
{
    idem_outcome outcome;
    int rc = idem_begin(store, IDEM_REQUEST(.key = idem_str(key)), &outcome, error);
    if (rc)
        return rc;
    if (outcome.kind != expected)
        wrong(key, "a wrong outcome", error);
    if (response && (outcome.response.len != strlen(response) ||
                     memcmp(outcome.response.data, response, outcome.response.len) != 0))
        wrong(key, "a wrong response", error);
    if (outcome.claim) {
        idem_claim_free(claim);
        claim = outcome.claim;
        outcome.claim = NULL;
    }
    idem_outcome_clear(&outcome);
    return IDEM_OK;
}

/* A begin whose answer was in doubt is repeated by the same token. */
static int begin_own(const char *key, idem_error *error)
{
    static const uint8_t token[IDEM_TOKEN_SIZE] = {1, 2, 3};
    idem_outcome outcome;
    int rc = idem_begin(store, IDEM_REQUEST(.key = idem_str(key), .token = token), &outcome, error);
    if (rc)
        return rc;
    if (outcome.kind != IDEM_NEW)
        wrong(key, "not New", error);
    idem_claim_free(claim);
    claim = outcome.claim;
    outcome.claim = NULL;
    idem_outcome_clear(&outcome);
    return IDEM_OK;
}

static int do_open(idem_error *error)
{
    return workload_open(folders[0], URL_OPTIONS, &store, error);
}

static int do_begin(idem_error *error)
{
    return begin_own("first", error);
}

static int do_renew(idem_error *error)
{
    return idem_renew(store, claim, 70000, error);
}

static int do_checkpoint(idem_error *error)
{
    return idem_checkpoint(store, claim, idem_str("{\"half\":true}"), error);
}

static int do_complete(idem_error *error)
{
    return idem_complete(store, claim, idem_str("{\"paid\":1}"), error);
}

static int do_replay(idem_error *error)
{
    return begin("first", IDEM_COMPLETED, "{\"paid\":1}", error);
}

static int do_begin_second(idem_error *error)
{
    return begin_own("second", error);
}

static int do_take_over(idem_error *error)
{
    static const uint8_t token[IDEM_TOKEN_SIZE] = {9};
    idem_outcome outcome;
    int rc =
        idem_begin(store, IDEM_REQUEST(.key = idem_str("second"), .token = token), &outcome, error);
    if (rc)
        return rc;
    if (outcome.kind != IDEM_NEW || outcome.attempt != 2)
        wrong("take over", "not the second attempt", error);
    idem_claim_free(claim);
    claim = outcome.claim;
    outcome.claim = NULL;
    idem_outcome_clear(&outcome);
    return IDEM_OK;
}

static int do_in_progress(idem_error *error)
{
    return begin("second", IDEM_IN_PROGRESS, NULL, error);
}

static int do_large(idem_error *error)
{
    static char text[TEXT_MAX];
    return idem_checkpoint(store, claim, history_text(22, text), error);
}

static int do_release(idem_error *error)
{
    return idem_release(store, claim, error);
}

static int do_forget(idem_error *error)
{
    return idem_forget(store, idem_str("first"), error);
}

static int count_record(const idem_record *record, void *user)
{
    (void)record;
    ++*(int *)user;
    return 0;
}

static int do_scan(idem_error *error)
{
    int count = 0;
    int rc = idem_scan(store, NULL, count_record, &count, error);
    if (rc == IDEM_OK && count != 2)
        wrong("scan", "not the two records", error);
    return rc;
}

static int do_purge(idem_error *error)
{
    return idem_purge(store, 0, NULL, error);
}

static int do_close(idem_error *error)
{
    (void)error;
    idem_close(store);
    store = NULL;
    return IDEM_OK;
}

/* A step that only reads leaves no doubt. */
static const struct {
    const char *name;
    int (*call)(idem_error *error);
    bool reads;
    bool expires; /* leases have run out before it */
} steps[] = {
    {"open", do_open, false, false},
    {"begin", do_begin, false, false},
    {"renew", do_renew, false, false},
    {"checkpoint", do_checkpoint, false, false},
    {"complete", do_complete, false, false},
    {"replay", do_replay, true, false},
    {"begin another", do_begin_second, false, false},
    {"take over", do_take_over, false, true},
    {"begin what is in progress", do_in_progress, true, false},
    {"large checkpoint", do_large, false, false},
    {"scan", do_scan, true, false},
    {"forget", do_forget, false, false},
    {"release", do_release, false, false},
    {"purge", do_purge, false, false},
    {"close", do_close, false, false},
};

/* ------------------------------------------------------------------------- what is answered */

typedef struct {
    char *live; /* NULL: no handle is open */
    char *died;
} view;

static void look(view *at)
{
    at->live = store ? table_read(folders[0]) : NULL;
    at->died = table_read_as_if_died(folders[0], folders[1]);
}

static void look_away(view *at)
{
    free(at->live);
    free(at->died);
}

static bool is_of_space(void)
{
    return now->space != INT64_MAX || now->plan.code == SQLITE_FULL || now->plan.number == ENOSPC ||
           now->plan.number == EDQUOT;
}

/* A code says what it says: with "unavailable" and "full" nothing was changed, neither for those
   who look now nor for those who come after a death of this process. */
static void check_failure(size_t step, int rc, const view *before, const view *after,
                          const idem_error *error)
{
    const char *name = steps[step].name;
    bool changed = strcmp(before->died, after->died) != 0 ||
                   (before->live && after->live && strcmp(before->live, after->live) != 0);
    if (rc == IDEM_ERR_UNCERTAIN && steps[step].reads)
        wrong(name, "a call that reads ended in doubt", error);
    if (rc != IDEM_ERR_UNCERTAIN && rc != IDEM_ERR_UNAVAILABLE && rc != IDEM_ERR_FULL)
        wrong(name, "a wrong code", error);
    if (rc == IDEM_ERR_FULL && !is_of_space())
        wrong(name, "full, and it is not", error);
    if (now->space != INT64_MAX && rc == IDEM_ERR_UNAVAILABLE)
        wrong(name, "the disk is full, and it is not said", error);
    if (rc != IDEM_ERR_UNCERTAIN && changed)
        wrong(name, "it was changed all the same", error);
}

/* One try of a step, with all that has to be true of it. */
static int attempt(size_t step, idem_error *error)
{
    view before;
    view after;
    look(&before);
    memset(error, 0, sizeof *error);
    uint64_t queued = lateness_queued_ms();
    uint64_t began = idem_monotonic_ms();
    int rc = steps[step].call(error);
    uint64_t took = idem_monotonic_ms() - began;
    uint64_t late = lateness_since(began) + lateness_queued_ms() - queued;
    look(&after);
    tally->answers++;
    tally->codes[rc]++;
    if (took > tally->slowest_ms + late)
        tally->slowest_ms = took - late;
    /* Closing a store has no deadline. */
    if (took > TIMEOUT_MS + 500 + 2 * late && steps[step].call != do_close)
        history_fail("%s: it took %llu ms (the machine was late by %llu): %s", steps[step].name,
                     (unsigned long long)took, (unsigned long long)late, error->message);
    if (rc)
        check_failure(step, rc, &before, &after, error);
    else if (steps[step].reads && strcmp(before.live, after.live) != 0)
        wrong(steps[step].name, "a call that reads has changed something", NULL);
    look_away(&before);
    look_away(&after);
    if (told->failure[0])
        _Exit(EXIT_FAILURE);
    return rc;
}

static void run_steps(void)
{
    idem_error error;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (steps[i].expires)
            told->clock_ms += 100000;
        if (attempt(i, &error) == IDEM_OK)
            continue;
        shim_mend();
        if (attempt(i, &error))
            wrong(steps[i].name, "the disk is fixed, and it fails still", &error);
    }
}

static void run_script(const void *user)
{
    now = user;
    shim_install();
    lateness_watch();
    if (now->space == INT64_MAX)
        shim_plan(&now->plan);
    else
        shim_space(now->space, now->plan.code, now->plan.number);
    run_steps();
    tally->fired += shim_fired();
    shim_mend();
    idem_claim_free(claim);
    char *rows = table_read(folders[0]);
    if (*rows)
        wrong("afterwards", rows, NULL);
    free(rows);
}

/* Runs the script over one trouble. @return false: it went wrong. @param[out] fired  it was met */
static bool meet(const trouble *what, bool *fired)
{
    uint64_t before = tally->fired;
    platter_clear(folders[0]);
    platter_clear(folders[1]);
    history_reset(false);
    bool right = in_child(run_script, what);
    *fired = tally->fired > before;
    if (!right)
        (void)fprintf(stderr,
                      "%s of %s fails with %d (errno %d)%s from the %llu. on, %lld times; "
                      "%lld bytes fit: %s\n",
                      call_names[what->plan.kind], role_names[what->plan.role], what->plan.code,
                      what->plan.number, what->plan.torn ? ", torn," : "",
                      (unsigned long long)what->plan.nth, (long long)what->plan.times,
                      (long long)what->space, told->failure);
    return right;
}

/* ---------------------------------------------------------------------------------- the rows */

static const struct {
    call_kind kind;
    file_role role;
    int code, number;
    bool torn;
} rows[] = {
    {CALL_SHM_LOCK, FILE_SHM, SQLITE_BUSY, 0, false},
    {CALL_SYNC, FILE_WAL, SQLITE_IOERR_FSYNC, EIO, false},
    {CALL_READ, FILE_WAL, SQLITE_IOERR_READ, EIO, false},
    {CALL_WRITE, FILE_WAL, SQLITE_IOERR_WRITE, EIO, true},
    {CALL_OPEN, FILE_DB, SQLITE_CANTOPEN, EMFILE, false},
    {CALL_OPEN, FILE_WAL, SQLITE_CANTOPEN, ENOSPC, false},
    {CALL_OPEN, FILE_JOURNAL, SQLITE_CANTOPEN, EIO, false},
    {CALL_READ, FILE_DB, SQLITE_IOERR_READ, EIO, false},
    {CALL_READ, FILE_JOURNAL, SQLITE_IOERR_READ, EIO, false},
    {CALL_WRITE, FILE_DB, SQLITE_IOERR_WRITE, EIO, false},
    {CALL_WRITE, FILE_DB, SQLITE_IOERR_WRITE, EIO, true},
    {CALL_WRITE, FILE_DB, SQLITE_FULL, 0, true},
    {CALL_WRITE, FILE_WAL, SQLITE_IOERR_WRITE, EIO, false},
    {CALL_WRITE, FILE_WAL, SQLITE_IOERR_WRITE, EDQUOT, false},
    {CALL_WRITE, FILE_WAL, SQLITE_IOERR_WRITE, EDQUOT, true},
    {CALL_WRITE, FILE_WAL, SQLITE_FULL, 0, true},
    {CALL_WRITE, FILE_JOURNAL, SQLITE_IOERR_WRITE, EIO, true},
    {CALL_TRUNCATE, FILE_DB, SQLITE_IOERR_TRUNCATE, EIO, false},
    {CALL_TRUNCATE, FILE_WAL, SQLITE_IOERR_TRUNCATE, EIO, false},
    {CALL_SYNC, FILE_DB, SQLITE_IOERR_FSYNC, EIO, false},
    {CALL_SYNC, FILE_JOURNAL, SQLITE_IOERR_FSYNC, EIO, false},
    {CALL_SYNC, FILE_WAL, SQLITE_IOERR_FSYNC, ENOSPC, false},
    {CALL_SIZE, FILE_DB, SQLITE_IOERR_FSTAT, EIO, false},
    {CALL_SIZE, FILE_WAL, SQLITE_IOERR_FSTAT, EIO, false},
    {CALL_LOCK, FILE_DB, SQLITE_BUSY, 0, false},
    {CALL_LOCK, FILE_DB, SQLITE_IOERR_LOCK, EIO, false},
    {CALL_UNLOCK, FILE_DB, SQLITE_IOERR_UNLOCK, EIO, false},
    {CALL_SHM_MAP, FILE_SHM, SQLITE_IOERR_SHMMAP, EIO, false},
    {CALL_SHM_MAP, FILE_SHM, SQLITE_IOERR_SHMSIZE, ENOSPC, false},
    {CALL_SHM_LOCK, FILE_SHM, SQLITE_IOERR_SHMLOCK, EIO, false},
    {CALL_DELETE, FILE_JOURNAL, SQLITE_IOERR_DELETE, EIO, false},
    {CALL_DELETE, FILE_WAL, SQLITE_IOERR_DELETE, EIO, false},
    {CALL_ACCESS, FILE_DB, SQLITE_IOERR_ACCESS, EIO, false},
    {CALL_ACCESS, FILE_WAL, SQLITE_IOERR_ACCESS, EIO, false},
    {CALL_ACCESS, FILE_JOURNAL, SQLITE_IOERR_ACCESS, EIO, false},
};
#define ROWS (sizeof rows / sizeof rows[0])

/* Every n-th call of one kind on one file; a file that is not used has none. */
static bool run_row(size_t row, uint64_t stride, uint64_t *random)
{
    static const uint64_t times[] = {1, 3, FAULT_ALWAYS};
    for (uint64_t nth = 1;; nth += 1 + draw(random) % (2 * stride - 1)) {
        bool fired = false;
        bool any = false;
        for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
            const trouble what = {.plan = {.kind = rows[row].kind,
                                           .role = rows[row].role,
                                           .nth = nth,
                                           .times = times[i],
                                           .code = rows[row].code,
                                           .number = rows[row].number,
                                           .torn = rows[row].torn},
                                  .space = INT64_MAX};
            if (stride > 1 && times[i] != FAULT_ALWAYS && i != nth % 3)
                continue;
            if (!meet(&what, &fired))
                return false;
            any = any || fired;
        }
        if (!any)
            return true;
    }
}

/* A disk with room for so many bytes, and a quota of as many. */
static bool run_full(uint64_t stride, uint64_t *random)
{
    const uint64_t step = 1000 * stride;
    bool fired = true;
    for (uint64_t bytes = draw(random) % step; fired; bytes += step) {
        bool quota = bytes / step % 2;
        const trouble what = {.plan = {.code = quota ? SQLITE_IOERR_WRITE : SQLITE_FULL,
                                       .number = quota ? EDQUOT : 0},
                              .space = (int64_t)bytes};
        if (!meet(&what, &fired))
            return false;
    }
    return true;
}

/* One of several workers: each has its share of the rows. */
static int work(size_t worker, size_t workers, const options *given)
{
    uint64_t random = given->seed + worker;
    int rc = EXIT_SUCCESS;
    history_make();
    options_folder(folders[0]);
    options_folder(folders[1]);
    for (size_t row = worker; row <= ROWS; row += workers) {
        uint64_t before = tally->fired;
        bool right =
            row == ROWS ? run_full(given->stride, &random) : run_row(row, given->stride, &random);
        if (!right)
            rc = EXIT_FAILURE;
        if (row < ROWS)
            (void)printf("%s of %s with %d, errno %d%s: %llu faults\n", call_names[rows[row].kind],
                         role_names[rows[row].role], rows[row].code, rows[row].number,
                         rows[row].torn ? ", torn" : "",
                         (unsigned long long)(tally->fired - before));
        else
            (void)printf("no space left: %llu faults\n",
                         (unsigned long long)(tally->fired - before));
    }
    for (int i = 0; i < 2; i++) {
        platter_clear(folders[i]);
        (void)rmdir(folders[i]);
    }
    return rc;
}

#define WORKERS 4u

int main(int argc, char **argv)
{
    options given;
    pid_t children[WORKERS];
    int rc = EXIT_SUCCESS;
    struct tally sum = {0};
    options_read(argc, argv, &given);
    struct tally *tallies = shared_memory(WORKERS * sizeof *tallies);
    (void)fflush(NULL);
    for (size_t i = 0; i < WORKERS; i++) {
        children[i] = fork();
        tally = &tallies[i];
        if (children[i] == 0)
            exit(work(i, WORKERS, &given));
    }
    for (size_t i = 0; i < WORKERS; i++) {
        int status = -1;
        if (children[i] < 0 || waitpid(children[i], &status, 0) < 0 || status != 0)
            rc = EXIT_FAILURE;
        sum.fired += tallies[i].fired;
        sum.answers += tallies[i].answers;
        for (size_t code = 0; code <= IDEM_ERR_INTERNAL; code++)
            sum.codes[code] += tallies[i].codes[code];
        if (tallies[i].slowest_ms > sum.slowest_ms)
            sum.slowest_ms = tallies[i].slowest_ms;
    }
    (void)printf("disk_faults: %llu faults, %llu answers: %llu ok, %llu unavailable, %llu "
                 "uncertain, %llu full; the slowest took %llu ms of %u\n",
                 (unsigned long long)sum.fired, (unsigned long long)sum.answers,
                 (unsigned long long)sum.codes[IDEM_OK],
                 (unsigned long long)sum.codes[IDEM_ERR_UNAVAILABLE],
                 (unsigned long long)sum.codes[IDEM_ERR_UNCERTAIN],
                 (unsigned long long)sum.codes[IDEM_ERR_FULL], (unsigned long long)sum.slowest_ms,
                 TIMEOUT_MS);
    return sum.fired > 0 ? rc : EXIT_FAILURE;
}
