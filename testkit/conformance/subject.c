/* SPDX-License-Identifier: MIT */
/*
 * A store that is given by its URL, as the suite takes it. Each test's URL is made in the test's
 * own process, of the test's number.
 */
#include "conformance.h"

#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#define URL_SIZE 2048u

static const idem_testkit_subject *subject;
static uint64_t first_number; /* {n} of the test before the first */
static char url[URL_SIZE];
static char folder[512];

/* Appends as much as there is room for. */
static void append(size_t *len, const char *text, size_t text_len)
{
    if (*len + text_len < URL_SIZE) {
        memcpy(url + *len, text, text_len);
        *len += text_len;
    } else {
        *len = URL_SIZE; /* an empty URL, which can't be opened */
    }
}

static void expand(const char *pattern)
{
    char n[32];
    size_t len = 0;
    (void)snprintf(n, sizeof n, "%" PRIu64, first_number + idem__testkit_test_number());
    for (const char *at = pattern; *at && len < URL_SIZE;) {
        if (strncmp(at, "{dir}", 5) == 0) {
            append(&len, folder, strlen(folder));
            at += 5;
        } else if (strncmp(at, "{n}", 3) == 0) {
            append(&len, n, strlen(n));
            at += 3;
        } else {
            append(&len, at++, 1);
        }
    }
    url[len < URL_SIZE ? len : 0] = '\0';
}

static void fresh(void)
{
    char name[32];
    (void)snprintf(name, sizeof name, "test-%u", idem__testkit_test_number());
    conformance_path(folder, sizeof folder, name);
    (void)mkdir(folder, 0700);
    expand(subject->url);
    if (subject->fresh)
        subject->fresh(subject->user, url);
}

static void cleanup(void)
{
    if (subject->cleanup)
        subject->cleanup(subject->user, url);
    conformance_remove(folder);
}

static int open_store(const char *params, const idem_options *options, idem_store **store,
                      idem_error *error)
{
    return conformance_open_url(url, params, options, store, error);
}

static int open_unreachable(idem_store **store, idem_error *error)
{
    return idem_open(subject->unreachable, store, error);
}

/* --------------------------------------------------------------------------------- reporting */

typedef struct {
    idem_testkit_report_fn fn;
    void *user;
    const char *name;
    unsigned passed;
    unsigned failed;
    unsigned not_run;
} counting;

static void count(void *user, const char *test, idem_testkit_result result, const char *detail)
{
    counting *to = user;
    to->passed += result == IDEM_TESTKIT_PASSED;
    to->failed += result == IDEM_TESTKIT_FAILED;
    to->not_run += result == IDEM_TESTKIT_NOT_RUN;
    if (to->fn)
        to->fn(to->user, test, result, detail);
    else if (result == IDEM_TESTKIT_FAILED)
        (void)fprintf(stderr, "%s: failed: %s: %s\n", to->name, test, detail);
    else if (result == IDEM_TESTKIT_NOT_RUN)
        (void)printf("%s: not run, since it is declared to lack %s: %s\n", to->name, detail, test);
}

static int run(idem__testkit_run *how)
{
    conformance_backend backend = {
        .name = subject->name,
        .lacks = subject->lacks,
        .fresh = fresh,
        .open = open_store,
        .open_unreachable = open_unreachable,
        .cleanup = cleanup,
    };
    if (!subject->unreachable)
        backend.lacks |= CONFORMANCE_UNREACHABLE;
    return conformance_run(&backend, conformance_run_all, how);
}

int idem_testkit_conformance(const idem_testkit_subject *given, idem_testkit_report_fn report,
                             void *user)
{
    struct timespec time;
    idem_testkit_subject filled = {.name = "store"};
    idem_error error = {.code = IDEM_OK};
    counting to = {.fn = report, .user = user, .name = filled.name};
    if (given)
        memcpy(&filled, given, given->size < sizeof filled ? given->size : sizeof filled);
    to.name = filled.name = filled.name ? filled.name : "store";
    if (!filled.url || (filled.ops && idem_backend_register(filled.ops, &error))) {
        count(&to, filled.name, IDEM_TESTKIT_FAILED,
              filled.url ? error.message : "the subject has no url");
        return -1;
    }
    (void)clock_gettime(CLOCK_REALTIME, &time);
    first_number = (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
    subject = &filled;
    idem__testkit_run how = {.only = filled.only,
                             .no_fork = (filled.flags & IDEM_TESTKIT_NO_FORK) != 0,
                             .timeout_s = 60,
                             .report = count,
                             .user = &to};
    int failed = run(&how);
    subject = NULL;
    if (!report)
        (void)printf("%s: %u passed, %u failed, %u not run\n", filled.name, to.passed, to.failed,
                     to.not_run);
    return failed;
}
