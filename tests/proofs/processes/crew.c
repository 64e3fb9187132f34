/* SPDX-License-Identifier: MIT */
/*
 * Starting, stopping and ending the workers. They are programs of their own, started by
 * posix_spawn(): nothing of the driver's goes on in them.
 */
#include "crew.h"

#include "sanitized.h"
#include "stamp.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A sanitized worker takes its time to start: it shall live for longer than that. */
#define SLOWER (ADDRESS_SANITIZED || THREAD_SANITIZED ? 4u : 1u)

extern char **environ;

static pid_t start(crew *self, const char *task)
{
    char number[16];
    char seed[24];
    char driver[16];
    char errors[512];
    pid_t pid = 0;
    posix_spawn_file_actions_t actions;
    (void)snprintf(number, sizeof number, "%u", self->next_number++);
    (void)snprintf(seed, sizeof seed, "%" PRIu64, self->seed);
    (void)snprintf(driver, sizeof driver, "%ld", (long)getpid());
    (void)snprintf(errors, sizeof errors, "%s/errors", self->folder);
    const char *const words[] = {self->program, self->folder, self->url,      number, seed,
                                 driver,        task,         self->breakage, NULL};
    if (posix_spawn_file_actions_init(&actions) != 0)
        return 0;
    (void)posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors,
                                           O_WRONLY | O_CREAT | O_APPEND, 0600);
    int failed =
        posix_spawn(&pid, self->program, &actions, NULL, (char *const *)(uintptr_t)words, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (failed) {
        (void)fprintf(stderr, "%s: %s\n", self->program, strerror(failed));
        self->failed++;
        return 0;
    }
    self->started++;
    return pid;
}

/* Takes note of an end. Whoever was not killed, by us or by itself, has failed. */
static void bury(crew *self, member *at, int status)
{
    bool by_kill = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (!by_kill) {
        (void)fprintf(stderr, "worker %ld ended by itself, with status %d\n", (long)at->pid,
                      status);
        self->failed++;
    } else if (at->killed) {
        self->killed++;
    } else {
        self->died++;
    }
    *at = (member){0};
}

static void kill_one(member *at)
{
    at->killed = kill(at->pid, SIGKILL) == 0;
}

/* Longer than most leases, which have 50 to 300 ms. */
static void stop_one(crew *self, member *at, uint64_t now)
{
    if (kill(at->pid, SIGSTOP) != 0)
        return;
    self->stopped++;
    at->continue_at = now + dice_between(&self->dice, 60000, 700000);
}

static void strike(crew *self, uint64_t now)
{
    member *at = &self->members[dice_between(&self->dice, 0, CREW_SIZE - 1)];
    self->next_blow = now + SLOWER * dice_between(&self->dice, 15000, 70000);
    if (at->pid == 0 || at->killed)
        return;
    if (dice_percent(&self->dice, 40))
        kill_one(at);
    else if (at->continue_at == 0)
        stop_one(self, at, now);
}

static void tend_one(crew *self, member *at, uint64_t now)
{
    int status = 0;
    if (at->pid > 0 && waitpid(at->pid, &status, WNOHANG) == at->pid)
        bury(self, at, status);
    if (at->pid == 0 && self->failed == 0)
        at->pid = start(self, "work");
    if (at->continue_at > 0 && now >= at->continue_at && kill(at->pid, SIGCONT) == 0)
        at->continue_at = 0;
}

void crew_tend(crew *self)
{
    uint64_t now = stamp_us();
    for (size_t i = 0; i < CREW_SIZE; i++)
        tend_one(self, &self->members[i], now);
    if (now >= self->next_blow)
        strike(self, now);
}

static int wait_for(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

void crew_end(crew *self)
{
    for (size_t i = 0; i < CREW_SIZE; i++) {
        if (self->members[i].pid > 0)
            kill_one(&self->members[i]);
    }
    for (size_t i = 0; i < CREW_SIZE; i++) {
        member *at = &self->members[i];
        if (at->pid > 0)
            bury(self, at, wait_for(at->pid));
    }
}

bool crew_look(crew *self)
{
    pid_t pid = start(self, "look");
    int status = pid > 0 ? wait_for(pid) : -1;
    if (pid <= 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
        return pid > 0;
    (void)fprintf(stderr, "the last worker ended with status %d\n", status);
    return false;
}
