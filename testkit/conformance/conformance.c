/* SPDX-License-Identifier: MIT */
/*
 * The suite's frame: capabilities, the clock, places for records, and the two handles that every
 * test finds. The clock lives in memory that forked processes share, so that they agree on it.
 */
#define _XOPEN_SOURCE 700 /* nftw() */
#include "conformance.h"

#include "sanitized.h"

#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SLEEP_MARGIN UINT64_C(10) /* clocks differ in how they round */
#define CHECKED_TRAITS                                                                  \
    (IDEM_TRAIT_DURABLE | IDEM_TRAIT_SHARED | IDEM_TRAIT_CLOCK | IDEM_TRAIT_KEEPALIVE | \
     IDEM_TRAIT_SCAN | IDEM_TRAIT_PURGE)

typedef struct {
    uint64_t bit;
    const char *name;
} capability;

static const capability capabilities[] = {
    {IDEM_TRAIT_DURABLE, "DURABLE"},
    {IDEM_TRAIT_SHARED, "SHARED"},
    {IDEM_TRAIT_CLOCK, "CLOCK"},
    {IDEM_TRAIT_KEEPALIVE, "KEEPALIVE"},
    {IDEM_TRAIT_SCAN, "SCAN"},
    {IDEM_TRAIT_PURGE, "PURGE"},
    {CONFORMANCE_THREADS, "THREADS"},
    {CONFORMANCE_FORK, "FORK"},
    {CONFORMANCE_OPTIONS, "OPTIONS"},
    {CONFORMANCE_HASTE, "HASTE"},
    {CONFORMANCE_UNREACHABLE, "UNREACHABLE"},
    {CONFORMANCE_BUSY_FORK, "BUSY_FORK"},
    {CONFORMANCE_NO_THREADS, "NO_THREADS"},
    {CONFORMANCE_BULK, "BULK"},
};

idem_store *one;
idem_store *other;
idem_error err;

static const conformance_backend *backend;
static uint64_t missing; /* capabilities that this store does not have */
static char directory[256];
static _Atomic uint64_t *our_time;
static bool our_time_used;

/* ---------------------------------------------------------------------------------------- time */

static uint64_t read_our_time(void *user)
{
    (void)user;
    return atomic_load(our_time);
}

static const idem_options our_clock = {.size = sizeof our_clock,
                                       .clock = {.now_ms = read_our_time}};

bool time_is_ours(void)
{
    return our_time_used;
}

uint64_t span_ms(void)
{
    return our_time_used ? 4 * SHORT_MS : 2000; /* a busy machine may be a second late */
}

void sleep_ms(uint64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0)
        continue;
}

void advance(uint64_t ms)
{
    if (our_time_used)
        (void)atomic_fetch_add(our_time, ms);
    else
        sleep_ms(ms + SLEEP_MARGIN);
}

/* -------------------------------------------------------------------------------------- places */

void conformance_path(char *buf, size_t size, const char *name)
{
    int len = snprintf(buf, size, "%s/%s", directory, name);
    if (len < 0 || (size_t)len >= size)
        abort();
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

void conformance_remove(const char *path)
{
    (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

int conformance_open_url(const char *base, const char *params, const idem_options *options,
                         idem_store **store, idem_error *error)
{
    char url[2048];
    const char *joint = strchr(base, '?') ? "&" : "?";
    int len = snprintf(url, sizeof url, "%s%s%s", base, *params ? joint : "", params);
    if (len < 0 || (size_t)len >= sizeof url)
        abort();
    return options ? idem_open_with(url, options, store, error) : idem_open(url, store, error);
}

/* ----------------------------------------------------------------------------------- fixtures */

/* Where a test is about no deadline, a busy machine has time. */
#define PATIENT "timeout=30s"

idem_store *open_more(const char *params)
{
    idem_store *store = NULL;
    assert_ok(
        backend->open(*params ? params : PATIENT, our_time_used ? &our_clock : NULL, &store, &err));
    ck_assert_ptr_nonnull(store);
    return store;
}

int open_anyhow(const char *params, idem_store **store)
{
    return backend->open(params, our_time_used ? &our_clock : NULL, store, &err);
}

int open_with(const idem_options *options, idem_store **store)
{
    return backend->open(PATIENT, options, store, &err);
}

idem_store *open_observed(void (*fn)(void *user, const idem_event *event))
{
    idem_store *store = NULL;
    idem_options options = our_time_used ? our_clock : (idem_options){.size = sizeof options};
    options.on_event = fn;
    assert_ok(open_with(&options, &store));
    return store;
}

int open_with_our_clock(idem_store **store)
{
    return open_with(&our_clock, store);
}

int open_out_of_reach(idem_store **store)
{
    return backend->open_unreachable(store, &err);
}

static void open_both(void)
{
    one = open_more("");
    other = open_more("");
}

static void close_both(void)
{
    idem_close(one);
    idem_close(other);
    one = NULL;
    other = NULL;
}

void reopen(void)
{
    close_both();
    open_both();
}

static void set_up_any_time(void)
{
    our_time_used = !(missing & IDEM_TRAIT_CLOCK);
    backend->fresh();
    open_both();
}

static void set_up_real_time(void)
{
    our_time_used = false;
    backend->fresh();
    open_both();
}

static void tear_down(void)
{
    close_both();
    backend->cleanup();
}

/* -------------------------------------------------------------------------------- capabilities */

bool has(uint64_t bit)
{
    return !(missing & bit);
}

static const char *name_of(uint64_t bits)
{
    for (size_t i = 0; i < sizeof capabilities / sizeof capabilities[0]; i++) {
        if (bits & capabilities[i].bit)
            return capabilities[i].name;
    }
    return "?";
}

static const idem__testkit_fixture *fixture_of(conformance_time time)
{
    static const idem__testkit_fixture by_our_time = {set_up_any_time, tear_down};
    static const idem__testkit_fixture by_real_time = {set_up_real_time, tear_down};
    return time == REAL_TIME ? &by_real_time : &by_our_time;
}

/* Why tests can't be run here; NULL: they can. */
static const char *lacks_for(uint64_t needs)
{
    return needs & missing ? name_of(needs & missing) : NULL;
}

void conformance_add(Suite *suite, const char *name, uint64_t needs, conformance_time time,
                     const TTest *const *tests, size_t count)
{
    for (size_t i = 0; i < count; i++)
        idem__testkit_suite_add(suite, name, tests[i], 1, fixture_of(time), lacks_for(needs));
}

void conformance_add_loop(Suite *suite, const char *name, uint64_t needs, conformance_time time,
                          int count, const TTest *test)
{
    idem__testkit_suite_add(suite, name, test, count, fixture_of(time), lacks_for(needs));
}

/* Tells what keeps the whole suite from being run. */
static bool refuse(const idem__testkit_run *how, const char *format, const char *detail)
{
    char text[sizeof err.message + 64];
    (void)snprintf(text, sizeof text, format, detail);
    how->report(how->user, backend->name, IDEM_TESTKIT_FAILED, text);
    return false;
}

/* Compares what the store can do with what is declared. False: the two differ. */
static bool read_capabilities(const idem__testkit_run *how)
{
    idem_store *store = NULL;
    backend->fresh();
    if (backend->open(PATIENT, NULL, &store, &err) != IDEM_OK)
        return refuse(how, "cannot be opened: %s", err.message);
    uint64_t absent = CHECKED_TRAITS & ~idem_traits(store);
    uint64_t undeclared = absent & ~backend->lacks;
    uint64_t outdated = backend->lacks & CHECKED_TRAITS & ~absent;
    missing = absent | backend->lacks;
    if (ADDRESS_SANITIZED || THREAD_SANITIZED)
        missing |= CONFORMANCE_BUSY_FORK;
#ifdef CONFORMANCE_SUBMITTED
    missing |= CONFORMANCE_NO_THREADS;
    if (THREAD_SANITIZED) /* it allows no threads in a child */
        missing |= CONFORMANCE_FORK;
#endif
    idem_close(store);
    backend->cleanup();
    if (undeclared)
        return refuse(how, "lacks %s without declaring it", name_of(undeclared));
    if (outdated)
        return refuse(how, "is declared to lack %s, but has it", name_of(outdated));
    return true;
}

/* ------------------------------------------------------------------------------------- running */

void conformance_run_all(Suite *suite)
{
    conformance_first_store(suite);
    conformance_begin(suite);
    conformance_fingerprints(suite);
    conformance_claims(suite);
    conformance_operators(suite);
    conformance_reinstatement(suite);
    conformance_batches(suite);
    conformance_guarantees(suite);
    conformance_records(suite);
    conformance_scan(suite);
    conformance_bytes(suite);
    conformance_any_bytes(suite);
    conformance_limits(suite);
    conformance_threads(suite);
    conformance_waiting(suite);
    conformance_hurry(suite);
    conformance_fork(suite);
    conformance_process(suite);
    if (backend->add_own)
        backend->add_own(suite);
}

static bool make_directory(void)
{
    const char *parent = getenv("TMPDIR");
    int len = snprintf(directory, sizeof directory, "%s/idem-conformance-XXXXXX",
                       parent && *parent ? parent : "/tmp");
    if (len < 0 || (size_t)len >= sizeof directory || !mkdtemp(directory))
        return false;
    our_time =
        mmap(NULL, sizeof *our_time, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return our_time != MAP_FAILED;
}

int conformance_run(const conformance_backend *own, void (*add)(Suite *suite),
                    const idem__testkit_run *how)
{
    int failed = -1;
    backend = own;
    if (!make_directory()) {
        (void)refuse(
            how, "%s",
            "no folder for the stores could be made; set TMPDIR to one that can be written");
        return -1;
    }
    atomic_init(our_time, 1000000);
    Suite *suite = read_capabilities(how) ? idem__testkit_suite_make() : NULL;
    if (suite) {
        add(suite);
        failed = idem__testkit_suite_run(suite, how);
    }
    idem__testkit_suite_free(suite);
    conformance_remove(directory);
    (void)munmap(our_time, sizeof *our_time);
    return failed;
}
