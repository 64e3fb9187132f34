/* SPDX-License-Identifier: MIT */
/*
 * The runner. A test's child leads a process group, so that what it started goes with it when it
 * hangs. What became of it is told in memory that parent and child share.
 */
#include "harness.h"

#include "leave.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DETAIL_SIZE 1024u
#define POLL_NS     500000L

typedef struct entry {
    struct entry *next;
    const char *group;
    const TTest *test;
    const char *lacks;
    int count;
    idem__testkit_fixture fixture;
} entry;

struct idem__testkit_suite {
    entry *first;
    entry **last;
    bool no_memory;
};

typedef struct {
    bool failed;
    char detail[DETAIL_SIZE];
} verdict;

static verdict *now; /* of the test that runs; shared with its child */
static sigjmp_buf out_of_test;
static bool jumps; /* the test runs in this process */
static pid_t test_process;
static unsigned number;

unsigned idem__testkit_test_number(void)
{
    return number;
}

/* ------------------------------------------------------------------------------------- suites */

Suite *idem__testkit_suite_make(void)
{
    Suite *made = calloc(1, sizeof *made);
    if (made)
        made->last = &made->first;
    return made;
}

void idem__testkit_suite_free(Suite *suite)
{
    while (suite && suite->first) {
        entry *first = suite->first;
        suite->first = first->next;
        free(first);
    }
    free(suite);
}

void idem__testkit_suite_add(Suite *suite, const char *group, const TTest *test, int count,
                             const idem__testkit_fixture *fixture, const char *lacks)
{
    entry *made = malloc(sizeof *made);
    if (!made) {
        suite->no_memory = true;
        return;
    }
    *made =
        (entry){.group = group, .test = test, .lacks = lacks, .count = count, .fixture = *fixture};
    *suite->last = made;
    suite->last = &made->next;
}

/* ------------------------------------------------------------------------------------ one test */

void idem__testkit_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    const char *slash = strrchr(file, '/');
    int len = snprintf(now->detail, DETAIL_SIZE, "%s:%d: ", slash ? slash + 1 : file, line);
    va_start(args, format);
    if (len >= 0 && (size_t)len < DETAIL_SIZE)
        (void)vsnprintf(now->detail + len, DETAIL_SIZE - (size_t)len, format, args);
    va_end(args);
    now->failed = true;
    if (jumps && getpid() == test_process)
        siglongjmp(out_of_test, 1);
    leave(EXIT_FAILURE);
}

static void run_in_frame(const entry *it, int i)
{
    it->fixture.set_up();
    it->test->run(i);
    it->fixture.tear_down();
}

static void run_here(const entry *it, int i)
{
    jumps = true;
    test_process = getpid();
    if (sigsetjmp(out_of_test, 1) == 0)
        run_in_frame(it, i);
    jumps = false;
}

/* Waits for the child. @return false: it hung, and was ended */
static bool await(pid_t child, unsigned timeout_s, int *status)
{
    static const struct timespec pause = {.tv_nsec = POLL_NS};
    struct timespec end;
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += timeout_s;
    while (waitpid(child, status, WNOHANG) == 0) {
        (void)nanosleep(&pause, NULL);
        (void)clock_gettime(CLOCK_MONOTONIC, &at);
        if (at.tv_sec < end.tv_sec || (at.tv_sec == end.tv_sec && at.tv_nsec < end.tv_nsec))
            continue;
        (void)kill(-child, SIGKILL);
        (void)kill(child, SIGKILL);
        (void)waitpid(child, status, 0);
        return false;
    }
    return true;
}

static void judge(bool in_time, int status, unsigned timeout_s)
{
    if (now->failed)
        return;
    now->failed = !in_time || !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    if (!in_time)
        (void)snprintf(now->detail, DETAIL_SIZE, "it was not through after %u s", timeout_s);
    else if (WIFSIGNALED(status))
        (void)snprintf(now->detail, DETAIL_SIZE, "it was ended by signal %d", WTERMSIG(status));
    else if (now->failed)
        (void)snprintf(now->detail, DETAIL_SIZE, "it left with %d", WEXITSTATUS(status));
}

static void run_in_child(const entry *it, int i, unsigned timeout_s)
{
    int status = 0;
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        (void)setpgid(0, 0);
        run_in_frame(it, i);
        (void)fflush(NULL);
        leave(EXIT_SUCCESS);
    }
    if (child < 0) {
        now->failed = true;
        (void)snprintf(now->detail, DETAIL_SIZE, "no process could be started for it");
        return;
    }
    (void)setpgid(child, child);
    bool in_time = await(child, timeout_s, &status);
    judge(in_time, status, timeout_s);
}

/* @return true: it failed */
static bool run_one(const entry *it, int i, const idem__testkit_run *how)
{
    char name[256];
    number++;
    memset(now, 0, sizeof *now);
    if (it->count > 1)
        (void)snprintf(name, sizeof name, "%s: %s [%d]", it->group, it->test->name, i);
    else
        (void)snprintf(name, sizeof name, "%s: %s", it->group, it->test->name);
    if (how->no_fork)
        run_here(it, i);
    else
        run_in_child(it, i, how->timeout_s);
    how->report(how->user, name, now->failed ? IDEM_TESTKIT_FAILED : IDEM_TESTKIT_PASSED,
                now->detail);
    return now->failed;
}

/* "begin" chooses "begin live" too. */
static bool is_chosen(const char *group, const char *only)
{
    size_t len = only ? strlen(only) : 0;
    return !only || (strncmp(group, only, len) == 0 && (group[len] == '\0' || group[len] == ' '));
}

/* Where SIGCHLD is ignored a child that crashes ends like one that does not. */
int idem__testkit_suite_run(const Suite *suite, const idem__testkit_run *how)
{
    const struct sigaction as_usual = {.sa_handler = SIG_DFL};
    struct sigaction before;
    int failed = 0;
    bool found = false;
    if (suite->no_memory)
        return -1;
    now = mmap(NULL, sizeof *now, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (now == MAP_FAILED)
        return -1;
    (void)sigaction(SIGCHLD, &as_usual, &before);
    for (const entry *it = suite->first; it; it = it->next) {
        if (!is_chosen(it->group, how->only))
            continue;
        found = true;
        if (it->lacks)
            how->report(how->user, it->test->name, IDEM_TESTKIT_NOT_RUN, it->lacks);
        for (int i = 0; i < it->count && !it->lacks; i++)
            failed += run_one(it, i, how);
    }
    (void)sigaction(SIGCHLD, &before, NULL);
    (void)munmap(now, sizeof *now);
    if (!found && how->only)
        how->report(how->user, how->only, IDEM_TESTKIT_FAILED,
                    "there is no group of tests of this name");
    return found ? failed : -1;
}
