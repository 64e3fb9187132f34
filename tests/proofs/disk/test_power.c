/* SPDX-License-Identifier: MIT */
/*
 * Power failures. A child works on a store while all that happens to its files is recorded; then,
 * for a moment of the record, the disk is made as a power failure may leave it, and looked at in
 * another child. Since what callers were told is recorded by the same clock, one run of the work
 * gives a power failure at each of its writes, syncs, creations and deletions.
 *
 * The script is cut at all of its moments. Drawn work goes on from what each failure has left, with
 * further failures, with syncs that fail, and with processes that die before the power does.
 */
#include "options.h"
#include "platter.h"
#include "verify.h"
#include "workload.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    workload work;
    fault_plan fault;
    uint64_t die_at;
    bool again; /* the record goes on from the life before */
} life;

/* More changes than the script makes. */
#define MOMENTS_MAX 240u

static char work_folder[64];
static char look_folder[64];
static struct {
    uint64_t lives, deaths, failures, sync_faults;
    loss_counts lost;
} totals;

static void live(const void *user)
{
    const life *of = user;
    shim_install();
    shim_plan(&of->fault);
    shim_record(true);
    shim_die_at(of->die_at);
    workload_run(&of->work);
}

/* One life of the process that uses the store. */
static bool run_life(const life *of)
{
    totals.lives++;
    totals.deaths += of->die_at > 0;
    bool right = in_child(live, of);
    if (!right)
        history_fail("the work ended without a word");
    return right;
}

static uint64_t count_failed_syncs(size_t from)
{
    uint64_t count = 0;
    for (size_t at = from; at < record_now(); at = record_at(at)->next)
        count += record_at(at)->kind == EVENT_SYNC_FAILED;
    return count;
}

static void explain(const char *part, const life *of, size_t moment, loss kind, uint64_t seed)
{
    (void)fprintf(stderr,
                  "%s: %s, %u handles, seed %llu, sync %s/%llu+%llu, dies at %llu; power fails at "
                  "%zu of %zu, loss of %s (seed %llu): %s\n",
                  part, of->work.options, of->work.handles, (unsigned long long)of->work.seed,
                  role_names[of->fault.role], (unsigned long long)of->fault.nth,
                  (unsigned long long)of->fault.times, (unsigned long long)of->die_at, moment,
                  record_now(), loss_names[kind], (unsigned long long)seed, told->failure);
}

/* The power fails at a moment, in one way. */
static bool fail_at(const life *of, size_t moment, loss kind, uint64_t seed)
{
    bool full = strstr(of->work.options, "synchronous=normal") == NULL;
    verification what = {.folder = look_folder,
                         .options = of->work.options,
                         .moment = moment,
                         .all = full,
                         .in_order = !of->work.threads && of->fault.nth == 0 && !of->again};
    totals.failures++;
    platter_make(moment, kind, seed, look_folder, &totals.lost);
    return verify(&what);
}

/* -------------------------------------------------------------------------------- the script */

/* The script, cut at all of its moments in all ways. */
static int cut_script(const char *part, const life *of, const options *given)
{
    uint64_t nth = 0;
    uint64_t random = given->seed;
    platter_clear(work_folder);
    record_reset();
    history_reset(false);
    if (!run_life(of)) {
        explain(part, of, record_now(), LOSS_NONE, 0);
        return EXIT_FAILURE;
    }
    totals.sync_faults += count_failed_syncs(record_begin());
    for (size_t moment = record_begin();; moment = record_at(moment)->next, nth++) {
        for (int kind = 0; kind < LOSS_KINDS; kind++) {
            uint64_t seed = given->seed + nth * LOSS_KINDS + (uint64_t)kind;
            if (draw(&random) % given->stride == 0 && !fail_at(of, moment, (loss)kind, seed)) {
                explain(part, of, moment, (loss)kind, seed);
                return EXIT_FAILURE;
            }
        }
        if (moment >= record_now())
            break;
    }
    (void)printf("%s: %llu moments\n", part, (unsigned long long)nth);
    return EXIT_SUCCESS;
}

static int cut_all_scripts(const options *given)
{
    static const struct {
        const char *part;
        const char *options;
        uint32_t handles;
        bool close_at_end;
    } rows[] = {
        {"one handle, synchronous=full", "synchronous=full", 1, true},
        {"three handles, synchronous=full", "synchronous=full", 3, true},
        {"two handles, synchronous=normal", "synchronous=normal", 2, false},
    };
    int rc = EXIT_SUCCESS;
    for (size_t i = 0; rc == EXIT_SUCCESS && i < sizeof rows / sizeof rows[0]; i++) {
        life of = {.work = {.folder = work_folder,
                            .options = rows[i].options,
                            .seed = 1,
                            .handles = rows[i].handles,
                            .scripted = true,
                            .close_at_end = rows[i].close_at_end}};
        rc = cut_script(rows[i].part, &of, given);
    }
    return rc;
}

/* ------------------------------------------------------------------- deaths and failing syncs */

static void begin_anew(void)
{
    platter_clear(work_folder);
    record_reset();
    history_reset(false);
}

static life script_with(const char *level)
{
    return (life){
        .work = {
            .folder = work_folder, .options = level, .seed = 1, .handles = 1, .scripted = true}};
}

/* The process dies before each of its changes. The next one looks what there is, and is told so:
   then the power fails, and it has to be there still, though nothing was synced in between. */
static int die_everywhere(const options *given)
{
    uint64_t random = given->seed;
    life first = script_with("synchronous=full");
    life second = first;
    second.again = true;
    second.work.scripted = false;
    second.work.calls = 0;
    for (first.die_at = 1; first.die_at <= MOMENTS_MAX;) {
        begin_anew();
        if (!run_life(&first))
            break;
        size_t died = record_now();
        if (!run_life(&second) || !fail_at(&second, record_now(), LOSS_ALL, 0)) {
            explain("a process that died", &first, died, LOSS_ALL, 0);
            return EXIT_FAILURE;
        }
        first.die_at += 1 + draw(&random) % (2 * given->stride - 1);
    }
    return told->failure[0] ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Each sync of the log and of the file fails, once and some times: what the system had been given
   is gone for good. Then the power fails. */
static int fail_syncs(const options *given, file_role role, uint64_t times)
{
    uint64_t random = given->seed;
    life of = script_with("synchronous=full&timeout=400ms");
    of.fault = (fault_plan){.kind = CALL_SYNC,
                            .role = role,
                            .nth = 1,
                            .times = times,
                            .code = SQLITE_IOERR_FSYNC,
                            .number = EIO};
    for (uint64_t failed = 1; failed > 0;) {
        begin_anew();
        bool right = run_life(&of);
        failed = count_failed_syncs(record_begin());
        totals.sync_faults += failed;
        if (!right || !fail_at(&of, record_now(), LOSS_ALL, 0)) {
            explain("a sync that failed", &of, record_now(), LOSS_ALL, 0);
            return EXIT_FAILURE;
        }
        of.fault.nth += 1 + draw(&random) % (2 * given->stride - 1);
    }
    return EXIT_SUCCESS;
}

static int run_troubles(const options *given)
{
    int rc = die_everywhere(given);
    for (uint64_t times = 1; rc == EXIT_SUCCESS && times <= 3; times += 2) {
        rc = fail_syncs(given, FILE_WAL, times);
        if (rc == EXIT_SUCCESS)
            rc = fail_syncs(given, FILE_DB, times);
    }
    return rc;
}

/* ------------------------------------------------------------------------------- drawn work */

/* Half of the lives have a disk whose syncs fail for a while; some end before the power does. */
static void draw_life(uint64_t *random, life *of)
{
    static const char *const levels[] = {
        "synchronous=full&timeout=400ms", "synchronous=full&timeout=400ms",
        "synchronous=full&timeout=60ms", "synchronous=normal&timeout=400ms"};
    memset(of, 0, sizeof *of);
    of->work = (workload){.folder = work_folder,
                          .options = levels[draw(random) % 4],
                          .seed = draw(random),
                          .calls = 10 + (uint32_t)(draw(random) % 60),
                          .handles = 1 + (uint32_t)(draw(random) % 3),
                          .threads = draw(random) % 3 == 0,
                          .close_at_end = draw(random) % 2 == 0,
                          .hold_snapshot = draw(random) % 2 == 0};
    bool fails = draw(random) % 2 == 0 && strstr(of->work.options, "full") != NULL;
    if (fails)
        of->fault = (fault_plan){.kind = CALL_SYNC,
                                 .role = draw(random) % 2 ? FILE_WAL : FILE_DB,
                                 .nth = 1 + draw(random) % 8,
                                 .times = 1 + draw(random) % (draw(random) % 4 ? 3 : 30),
                                 .code = SQLITE_IOERR_FSYNC,
                                 .number = EIO};
    if (draw(random) % 3 == 0)
        of->die_at = 1 + draw(random) % 200;
}

static size_t draw_moment(uint64_t *random, size_t begin)
{
    size_t count = 0;
    for (size_t at = begin; at < record_now(); at = record_at(at)->next)
        count++;
    size_t moment = begin;
    for (uint64_t skip = draw(random) % (count + 1); skip > 0; skip--)
        moment = record_at(moment)->next;
    return moment;
}

/* One life, some power failures at moments of it, and one to go on from. */
static bool run_round(uint64_t *random, life *of)
{
    draw_life(random, of);
    platter_adopt(work_folder);
    history_reset(true);
    const size_t begin = record_now();
    size_t moment = begin;
    loss kind = LOSS_NONE;
    uint64_t seed = 0;
    bool right = run_life(of);
    /* The power may also fail a later process, on files that others have left unsynced. */
    for (bool again = draw(random) % 2; right && again; again = draw(random) % 2) {
        const char *level = of->work.options;
        draw_life(random, of);
        of->work.options = level;
        of->again = true;
        right = run_life(of);
    }
    totals.sync_faults += count_failed_syncs(begin);
    for (int i = 0; right && i < 6; i++) {
        /* Late moments count most: what was acknowledged may only be missing behind them. */
        moment = i % 2 ? draw_moment(random, begin) : record_now();
        kind = (loss)(draw(random) % LOSS_KINDS);
        seed = draw(random);
        right = fail_at(of, moment, kind, seed);
    }
    if (right)
        platter_make(moment, kind, seed, work_folder, NULL);
    else
        explain("drawn work", of, moment, kind, seed);
    return right;
}

static int run_drawn(const options *given)
{
    uint64_t random = given->seed;
    uint64_t rounds = 0;
    life of;
    time_t end = time(NULL) + (time_t)given->seconds;
    while (time(NULL) < end) {
        /* From nothing now and then: creating the file is the most dangerous of all. */
        if (rounds++ % 8 == 0) {
            platter_clear(work_folder);
            memset(told->observed, 0, sizeof told->observed);
        }
        uint64_t before = random;
        if (!run_round(&random, &of)) {
            (void)fprintf(stderr, "round %llu, its seed %llu\n", (unsigned long long)rounds,
                          (unsigned long long)before);
            return EXIT_FAILURE;
        }
    }
    (void)printf("drawn work: %llu rounds\n", (unsigned long long)rounds);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    options given;
    options_read(argc, argv, &given);
    record_reset();
    history_make();
    options_folder(work_folder);
    options_folder(look_folder);
    int rc = cut_all_scripts(&given);
    if (rc == EXIT_SUCCESS)
        rc = run_troubles(&given);
    if (rc == EXIT_SUCCESS && given.seconds > 0)
        rc = run_drawn(&given);
    platter_clear(work_folder);
    platter_clear(look_folder);
    (void)rmdir(work_folder);
    (void)rmdir(look_folder);
    (void)printf(
        "disk_power: %llu power failures in %llu lives of a process (%llu of which died), "
        "%llu calls (%llu ended in doubt), %llu failed syncs, %llu writes lost, %llu torn, "
        "%llu names lost, %llu records verified\n",
        (unsigned long long)totals.failures, (unsigned long long)totals.lives,
        (unsigned long long)totals.deaths, (unsigned long long)told->calls,
        (unsigned long long)told->uncertain, (unsigned long long)totals.sync_faults,
        (unsigned long long)totals.lost.dropped, (unsigned long long)totals.lost.torn,
        (unsigned long long)totals.lost.names, (unsigned long long)told->verified);
    return rc;
}
