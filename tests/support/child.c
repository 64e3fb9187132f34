/* SPDX-License-Identifier: MIT */
/* Servers that a test starts and stops. */
#define _XOPEN_SOURCE 700 /* nftw() */
#include "child.h"

#include "loopback.h"

#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

#define SKIPPED      77
#define WAIT_TRIES   3000
#define WAIT_MS      10
#define AGAIN_TRIES  20 /* a signal is sent again after so many */
#define PORT_TRIES   5
#define REMOVE_TRIES 1000
#define SHOWN        4000

static child_process *made;

void child_pause_ms(long ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* --------------------------------------------------------------------------------- is there one */

bool child_in_path(const char *program)
{
    char candidate[512];
    const char *at = getenv("PATH");
    if (strchr(program, '/'))
        return access(program, X_OK) == 0;
    while (at && *at) {
        int len = (int)strcspn(at, ":");
        (void)snprintf(candidate, sizeof candidate, "%.*s/%s", len, at, program);
        if (access(candidate, X_OK) == 0)
            return true;
        at += len;
        at += *at == ':';
    }
    return false;
}

void child_require(bool there, const char *what)
{
    const char *skips_fail = getenv("IDEM_SKIPS_FAIL");
    if (there)
        return;
    (void)fprintf(stderr, "%s\n", what);
    exit(skips_fail && strcmp(skips_fail, "1") == 0 ? EXIT_FAILURE : SKIPPED);
}

/* The end of the log: a failure of the server's is told there. */
static void show_log(const child_process *self)
{
    char path[160];
    char text[SHOWN + 1];
    (void)snprintf(path, sizeof path, "%s/log", self->folder);
    FILE *log = fopen(path, "r");
    if (!log)
        return;
    if (fseek(log, -SHOWN, SEEK_END) != 0)
        rewind(log);
    text[fread(text, 1, SHOWN, log)] = '\0';
    (void)fclose(log);
    (void)fprintf(stderr, "%s", text);
}

void child_fail(const child_process *self, const char *what)
{
    (void)fprintf(stderr, "%s: %s\n", self->kind->name, what);
    show_log(self);
    exit(EXIT_FAILURE);
}

/* ---------------------------------------------------------------------------------- one process */

static const struct passwd *other_user(void)
{
    const struct passwd *user = getpwnam("postgres");
    return user ? user : getpwnam("nobody");
}

static void become_other(void)
{
    const struct passwd *user = other_user();
    if (getuid() != 0)
        return;
    if (!user || setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)
        _exit(126);
}

static _Noreturn void become(const child_process *self, pid_t parent, const char *const *words)
{
    char path[160];
    (void)setpgid(0, 0); /* with its own children */
    if (self->kind->never_root)
        become_other();
#if defined(__linux__)
    (void)prctl(PR_SET_PDEATHSIG, self->kind->death);
    if (getppid() != parent)
        _exit(127);
#else
    (void)parent;
#endif
    (void)snprintf(path, sizeof path, "%s/log", self->folder);
    int null = open("/dev/null", O_RDWR);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (self->kind->never_root && chdir(self->folder) != 0) /* the other may not stand here */
        _exit(127);
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(log, STDOUT_FILENO);
    (void)dup2(log, STDERR_FILENO);
    (void)setenv("LC_ALL", "C", 1);
    (void)execvp(words[0], (char *const *)(uintptr_t)words);
    _exit(127);
}

pid_t child_run(const child_process *self, const char *const *words)
{
    pid_t parent = getpid();
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        child_fail(self, "fork() failed");
    if (pid == 0)
        become(self, parent, words);
    return pid;
}

void child_run_to_end(const child_process *self, const char *const *words)
{
    int status = 0;
    pid_t pid = child_run(self, words);
    while (waitpid(pid, &status, 0) < 0)
        continue;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        child_fail(self, words[0]);
}

static bool has_ended(child_process *self)
{
    if (waitpid(self->pid, NULL, WNOHANG) == 0)
        return false;
    self->pid = 0;
    return true;
}

bool child_launch(child_process *self, const char *const *words)
{
    self->owner = getpid();
    self->pid = child_run(self, words);
    for (int i = 0; i < WAIT_TRIES && !has_ended(self); i++) {
        if (self->kind->answers(self))
            return true;
        child_pause_ms(WAIT_MS);
    }
    child_stop(self, SIGKILL);
    return false;
}

void child_start(child_process *self, const char *const *options)
{
    for (int i = 0; i < PORT_TRIES; i++) {
        self->port = loopback_free_port();
        if (self->port < 0)
            child_fail(self, "no port is free");
        if (self->kind->launch(self, options))
            return;
    }
    child_fail(self, "it does not start");
}

void child_stop(child_process *self, int signal)
{
    pid_t group = self->pid;
    if (self->pid <= 0 || self->owner != getpid())
        return;
    /* A server that stands still ends as it is if it is killed, and wakes up for anything else. */
    if (signal == SIGKILL)
        (void)kill(-group, SIGKILL);
    else
        (void)kill(-group, SIGCONT);
    for (int i = 0; i < WAIT_TRIES && !has_ended(self); i++) {
        /* More than once: redis-server won't go while it writes its first append-only file. */
        if (i % AGAIN_TRIES == 0)
            (void)kill(self->pid, signal);
        child_pause_ms(WAIT_MS);
    }
    (void)kill(-group, SIGKILL);
    if (self->pid > 0)
        (void)waitpid(self->pid, NULL, 0);
    self->pid = 0;
}

/* ------------------------------------------------------------------------------------ lifetime */

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

void child_remove_folder(const char *path)
{
    for (int i = 0; i < REMOVE_TRIES && access(path, F_OK) == 0; i++) {
        (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        child_pause_ms(i); /* a child of the server's may write its last file */
    }
}

void child_remove(child_process *self)
{
    if (self->owner != getpid())
        return;
    child_stop(self, self->kind->end);
    for (child_process **at = &made; *at; at = &(*at)->next) {
        if (*at == self) {
            *at = self->next;
            break;
        }
    }
    child_remove_folder(self->folder);
}

/* Forked tests run it too: what they did not start is not theirs. */
static void remove_all(void)
{
    child_process *next;
    for (child_process *at = made; at; at = next) {
        next = at->next;
        child_remove(at);
    }
}

void child_make(child_process *self, const child_kind *kind)
{
    static bool registered;
    const char *parent = getenv("TMPDIR");
    const struct passwd *user = kind->never_root && getuid() == 0 ? other_user() : NULL;
    *self = (child_process){.kind = kind};
    (void)snprintf(self->folder, sizeof self->folder, "%.60s/idem-%s-XXXXXX",
                   parent && *parent ? parent : "/tmp", kind->name);
    if (!mkdtemp(self->folder))
        child_fail(self, "no folder can be made");
    if (kind->never_root && getuid() == 0 &&
        (!user || chown(self->folder, user->pw_uid, user->pw_gid) != 0))
        child_fail(self, "there is no user to run it as");
    if (kind->never_root)
        (void)chmod(self->folder, 0755);
    if (!registered && atexit(remove_all) == 0)
        registered = true;
    self->next = made;
    self->owner = getpid();
    made = self;
}
