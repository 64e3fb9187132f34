/* SPDX-License-Identifier: MIT */
/*
 * The driver of a run: makes a store, lets worker processes loose on a few of its keys while it
 * kills, stops and continues them, and has the checker judge what they wrote down. With a breakage
 * the workers go past the library's guards, and the run succeeds only if the checker finds what
 * that breaks: so the whole chain is seen to fail.
 *
 * A run in which too little happened goes on for as long again, and in the end fails. Its seed is
 * printed; it decides what befalls whom and what workers do, though not how their calls meet.
 */
#include "backend.h"
#include "board.h"
#include "crew.h"
#include "stamp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define GRAIN_US     2000u
#define TICK_US      4000u
#define ROUNDS_MAX   20
#define PATH_SIZE    512
#define CHECKER_ARGS 5
#define WINDOWS_MAX  32
#define TOO_LITTLE   3 /* the checker: all is well, but too little happened */

typedef struct {
    const char *worker;
    const char *checker;
    const char *backend;
    uint64_t seconds;
    uint64_t seed;
    const char *need;
    const char *breakage;
    const char *expected; /* with a breakage: what the checker has to find */
} plan;

typedef struct {
    char folder[128];
    char url[PATH_SIZE];
    char report[PATH_SIZE];
    crew workers;
    int64_t least_lead; /* of the wall clock over ours */
    int64_t most_lead;
    uint64_t grain_us;
    backend_window windows[WINDOWS_MAX]; /* in which the store may lose */
    size_t window_count;
    bool sound;  /* all processes did as they should */
    int verdict; /* the checker's exit code */
} run;

/* -------------------------------------------------------------------------------------- folder */

static bool make_folder(run *self)
{
    char path[PATH_SIZE];
    const char *parent = getenv("TMPDIR");
    (void)snprintf(self->folder, sizeof self->folder, "%.80s/idem-processes-XXXXXX",
                   parent && *parent ? parent : "/tmp");
    if (!mkdtemp(self->folder))
        return false;
    (void)snprintf(self->report, sizeof self->report, "%s/report", self->folder);
    (void)snprintf(path, sizeof path, "%s/board", self->folder);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    bool made = fd >= 0 && ftruncate(fd, sizeof(board)) == 0;
    if (fd >= 0)
        (void)close(fd);
    return made;
}

static void remove_folder(const run *self)
{
    char path[PATH_SIZE];
    DIR *folder = opendir(self->folder);
    for (struct dirent *entry = folder ? readdir(folder) : NULL; entry; entry = readdir(folder)) {
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", self->folder, entry->d_name);
        (void)unlink(path);
    }
    if (folder)
        (void)closedir(folder);
    (void)rmdir(self->folder);
}

static void print_file(const char *folder, const char *name)
{
    char text[4096];
    (void)snprintf(text, sizeof text, "%s/%s", folder, name);
    FILE *file = fopen(text, "r");
    for (size_t len; file && (len = fread(text, 1, sizeof text, file)) > 0;)
        (void)fwrite(text, 1, len, stdout);
    if (file)
        (void)fclose(file);
}

/* What a worker said: nothing, if all is well. */
static bool has_errors(const run *self)
{
    struct stat status;
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/errors", self->folder);
    return stat(path, &status) == 0 && status.st_size > 0;
}

/* ------------------------------------------------------------------------------------- checker */

/* The arguments are the histories that are there. */
static void become_checker(const run *self, const plan *by, unsigned processes)
{
    char grain[24];
    char **words =
        calloc((size_t)processes + CHECKER_ARGS + 3 + 2 * self->window_count, sizeof words[0]);
    size_t count = 0;
    if (!words || !freopen(self->report, "w", stdout))
        _exit(EXIT_FAILURE);
    (void)snprintf(grain, sizeof grain, "%" PRIu64, self->grain_us);
    const char *const first[CHECKER_ARGS] = {by->checker, "--need", by->need, "--grain-us", grain};
    for (; count < CHECKER_ARGS; count++)
        words[count] = (char *)(uintptr_t)first[count];
    for (size_t i = 0; i < self->window_count; i++) {
        char window[64];
        (void)snprintf(window, sizeof window, "%" PRIu64 "-%" PRIu64, self->windows[i].from,
                       self->windows[i].to);
        words[count++] = strdup("--window");
        words[count++] = strdup(window);
    }
    for (unsigned i = 0; i <= processes; i++) {
        char path[PATH_SIZE];
        if (i < processes)
            (void)snprintf(path, sizeof path, "%s/process.%u", self->folder, i);
        else
            (void)snprintf(path, sizeof path, "%s/ledger", self->folder);
        if (access(path, R_OK) == 0)
            words[count++] = strdup(path);
    }
    (void)execv(by->checker, words);
    _exit(EXIT_FAILURE);
}

static void check(run *self, const plan *by, unsigned processes)
{
    int status = 0;
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        become_checker(self, by, processes);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    self->verdict = pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* True if the report names a violation of one of these kinds, between which there are commas. */
static bool report_names(const run *self, const char *kinds)
{
    char line[1024];
    char kind[64];
    bool named = false;
    FILE *file = fopen(self->report, "r");
    while (file && !named && fgets(line, sizeof line, file)) {
        if (sscanf(line, "violation %62[A-Z_]:", kind) != 1)
            continue;
        const char *at = strstr(kinds, kind);
        size_t len = strlen(kind);
        named = at && (at[len] == ',' || at[len] == '\0');
    }
    if (file)
        (void)fclose(file);
    return named;
}

/* ----------------------------------------------------------------------------------------- run */

/* How far the wall clock is ahead of ours. */
static int64_t wall_lead(void)
{
    uint64_t wall = stamp_of(CLOCK_REALTIME);
    return (int64_t)(wall - stamp_us());
}

/* Where there is no room for more windows, the last one lasts for longer. */
static void take_window(run *self, const backend_window *window)
{
    if (self->window_count < WINDOWS_MAX)
        self->windows[self->window_count++] = *window;
    else
        self->windows[WINDOWS_MAX - 1].to = window->to;
}

static void let_loose(run *self, uint64_t seconds)
{
    backend_window window;
    uint64_t until = stamp_us() + seconds * 1000000u;
    while (stamp_us() < until && self->workers.failed == 0) {
        int64_t lead = wall_lead();
        self->least_lead = lead < self->least_lead ? lead : self->least_lead;
        self->most_lead = lead > self->most_lead ? lead : self->most_lead;
        crew_tend(&self->workers);
        if (backend_disturb(&window))
            take_window(self, &window);
        backend_tend(stamp_us());
        stamp_pause_us(TICK_US);
    }
    crew_end(&self->workers);
}

/* @return false if the run can't be made */
static bool prepare(run *self, const plan *by)
{
    *self = (run){.sound = true, .least_lead = wall_lead()};
    self->most_lead = self->least_lead;
    if (!make_folder(self) ||
        !backend_start(by->backend, self->folder, self->url, sizeof self->url)) {
        (void)fprintf(stderr, "there is no folder, or no backend %s in this build\n", by->backend);
        return false;
    }
    self->workers = (crew){.program = by->worker,
                           .folder = self->folder,
                           .url = self->url,
                           .breakage = by->breakage,
                           .seed = by->seed,
                           .dice = {by->seed}};
    return true;
}

/* One round: the workers are let loose, and all that was written down since the start is judged. */
static void play(run *self, const plan *by)
{
    crew *workers = &self->workers;
    backend_window window;
    let_loose(self, by->seconds);
    bool looked = crew_look(workers);
    if (backend_close(&window))
        take_window(self, &window);
    self->sound = workers->failed == 0 && looked && !has_errors(self);
    self->grain_us = GRAIN_US;
    if (backend_uses_wall_clock(by->backend))
        self->grain_us += (uint64_t)(self->most_lead - self->least_lead);
    (void)printf("driver: %s, seed %" PRIu64
                 ": %zu processes started, %zu killed, %zu died by themselves, %zu stops; grain "
                 "%" PRIu64 " us, %u failovers\n",
                 by->backend, by->seed, workers->started, workers->killed, workers->died,
                 workers->stopped, self->grain_us, backend_failovers());
    check(self, by, workers->next_number);
}

/* What was wanted has come about: all is well and enough has happened, or the breakage is found. */
static bool is_proved(const run *self, const plan *by)
{
    if (!by->expected)
        return self->verdict == EXIT_SUCCESS;
    return self->verdict == EXIT_FAILURE && report_names(self, by->expected);
}

/* Another round may bring what chance or a busy machine has kept back. */
static bool may_go_on(const run *self, const plan *by)
{
    return self->sound && (by->expected || self->verdict == TOO_LITTLE);
}

/* Keeps the folder of a run that failed: its histories are the evidence. */
static int finish(const run *self, const plan *by, bool good)
{
    if (!by->expected || !good)
        print_file(self->folder, "report");
    if (!good) {
        print_file(self->folder, "errors");
        (void)printf("FAILED; the histories are in %s\n", self->folder);
        return EXIT_FAILURE;
    }
    if (by->expected)
        (void)printf("driver: %s is found: %s\n", *by->breakage ? by->breakage : by->backend,
                     by->expected);
    remove_folder(self);
    return EXIT_SUCCESS;
}

static int prove(const plan *by)
{
    run once;
    bool proved = false;
    if (!prepare(&once, by))
        return EXIT_FAILURE;
    for (int i = 0; i < ROUNDS_MAX && !proved; i++) {
        play(&once, by);
        proved = once.sound && is_proved(&once, by);
        if (!proved && !may_go_on(&once, by))
            break;
    }
    backend_stop();
    return finish(&once, by, proved);
}

static bool take_option(plan *into, const char *name, const char *value)
{
    if (strcmp(name, "--worker") == 0)
        into->worker = value;
    else if (strcmp(name, "--checker") == 0)
        into->checker = value;
    else if (strcmp(name, "--backend") == 0)
        into->backend = value;
    else if (strcmp(name, "--seconds") == 0)
        into->seconds = strtoull(value, NULL, 10);
    else if (strcmp(name, "--seed") == 0)
        into->seed = strtoull(value, NULL, 10);
    else if (strcmp(name, "--need") == 0)
        into->need = value;
    else if (strcmp(name, "--broken") == 0)
        into->breakage = value;
    else if (strcmp(name, "--expect") == 0)
        into->expected = value;
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    plan made = {.backend = "sqlite", .seconds = 3, .need = "1", .breakage = ""};
    bool understood = argc % 2 == 1;
    made.seed = stamp_of(CLOCK_REALTIME);
    for (int i = 1; understood && i + 1 < argc; i += 2)
        understood = take_option(&made, argv[i], argv[i + 1]);
    if (!understood || !made.worker || !made.checker || (*made.breakage && !made.expected)) {
        (void)fputs("usage: driver --worker PROGRAM --checker PROGRAM [--backend NAME] "
                    "[--seconds N] [--seed N] [--need N] [--broken NAME] [--expect VIOLATION]\n",
                    stderr);
        return 2;
    }
    return prove(&made);
}
