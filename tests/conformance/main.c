/* SPDX-License-Identifier: MIT */
/* Runs a suite as the environment says, and tells what became of it. */
#include "main.h"

#include <stdio.h>

#define TIMEOUT_S 60.0

static const char *store_url;
static const char *unreachable_url;

static int open_store(const char *params, const idem_options *options, idem_store **store,
                      idem_error *error)
{
    return conformance_open_url(store_url, params, options, store, error);
}

static int open_unreachable(idem_store **store, idem_error *error)
{
    return idem_open(unreachable_url, store, error);
}

static void stay(void)
{
}

const conformance_backend *conformance_at(const conformance_backend *own, const char *url,
                                          const char *unreachable)
{
    static conformance_backend at;
    at = *own;
    store_url = url;
    unreachable_url = unreachable;
    at.open = open_store;
    at.open_unreachable = unreachable ? open_unreachable : NULL;
    at.cleanup = stay;
    return &at;
}

typedef struct {
    const char *name;
    unsigned passed;
    unsigned failed;
} counts;

static void report(void *user, const char *test, idem_testkit_result result, const char *detail)
{
    counts *to = user;
    to->passed += result == IDEM_TESTKIT_PASSED;
    to->failed += result == IDEM_TESTKIT_FAILED;
    if (result == IDEM_TESTKIT_FAILED)
        (void)printf("%s: failed: %s: %s\n", to->name, test, detail);
    else if (result == IDEM_TESTKIT_NOT_RUN)
        (void)printf("%s: not run, since it is declared to lack %s: %s\n", to->name, detail, test);
}

int conformance_main_with(const conformance_backend *own, void (*add)(Suite *suite))
{
    const char *fork = getenv("CK_FORK");
    const char *times = getenv("CK_TIMEOUT_MULTIPLIER");
    const char *seconds = getenv("CK_DEFAULT_TIMEOUT");
    double timeout_s = (seconds ? atof(seconds) : TIMEOUT_S) * (times ? atof(times) : 1.0);
    counts to = {.name = own->name};
    idem__testkit_run how = {.only = getenv("CK_RUN_CASE"),
                             .no_fork = fork && strcmp(fork, "no") == 0,
                             .timeout_s = timeout_s < 1.0 ? 1u : (unsigned)timeout_s,
                             .report = report,
                             .user = &to};
    int failed = conformance_run(own, add, &how);
    (void)printf("%s: %u passed, %u failed\n", own->name, to.passed, to.failed);
    return failed == 0 && to.passed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int conformance_main(const conformance_backend *own)
{
    return conformance_main_with(own, conformance_run_all);
}
