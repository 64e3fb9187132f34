/* SPDX-License-Identifier: MIT */
/*
 * Executing CMD. It stays in idem's process group, so that the terminal treats the two as one; with
 * a pseudo-terminal it has a session of its own. Its
 * parent is the keeper; should that be killed, the kernel asks CMD to end (on Linux).
 */
#include "launch.h"

#include "environment.h"
#include "signals.h"

#include <idem/backend.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

extern char **environ;

/* What comes through the report: nothing if all went well. */
typedef struct {
    bool executing; /* false: there is no process to execute it in */
    int problem;
} report;

/* ------------------------------------------------------------------------ the child's side */

static void write_report(const cli_launch *launch, bool executing, int problem)
{
    report failed;
    memset(&failed, 0, sizeof failed);
    failed.executing = executing;
    failed.problem = problem;
    ssize_t written = write(launch->report, &failed, sizeof failed);
    (void)written;
}

void cli_launch_fail(const cli_launch *launch, int problem)
{
    write_report(launch, false, problem);
}

/* Only async-signal-safe calls are left. execvp() with a name that has no slash searches $PATH,
   with memory on the stack. */
static _Noreturn void become(const cli_launch *launch, pid_t parent)
{
#ifdef __linux__
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
#endif
    /* No signal comes yet. Where the keeper is killed the gate opens as well. */
    ssize_t opened;
    char none;
    (void)close(launch->gate[1]);
    do {
        opened = read(launch->gate[0], &none, 1);
    } while (opened < 0 && errno == EINTR);
    if (getppid() != parent)
        _exit(CLI_INTERNAL); /* it was killed before the kernel knew that it mattered */
    if ((!launch->terminal || cli_terminal_own(launch->out)) &&
        dup2(launch->out, STDOUT_FILENO) >= 0 && dup2(launch->err, STDERR_FILENO) >= 0) {
        cli_environment_adapt(launch->environment);
        environ = launch->environment;
        cli_signals_restore();
        (void)execvp(launch->program[0], launch->program);
    }
    write_report(launch, true, errno);
    _exit(CLI_NO_PROGRAM);
}

pid_t cli_launch_fork(const cli_launch *launch)
{
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0)
        become(launch, parent);
    if (child < 0)
        cli_launch_fail(launch, errno);
    return child;
}

/* ------------------------------------------------------------------------------ idem's side */

static bool is_in_path(const char *name)
{
    char full[4096];
    const char *at = getenv("PATH");
    while (at && *at) {
        size_t len = strcspn(at, ":");
        int written = snprintf(full, sizeof full, "%.*s%s%s", (int)len, at, len ? "/" : "", name);
        if (written > 0 && (size_t)written < sizeof full && access(full, F_OK) == 0)
            return true;
        at += len + (at[len] == ':');
    }
    return false;
}

/* ENOENT is said of a script, too, whose interpreter is missing, and of a program without its
   dynamic loader. */
static bool is_there(const char *name)
{
    if (!*name)
        return false;
    return strchr(name, '/') ? access(name, F_OK) == 0 : is_in_path(name);
}

static int refuse(const char *name, int problem)
{
    char quoted[IDEM_QUOTE_SIZE];
    bool missing = problem == ENOENT || problem == ENOTDIR;
    const char *reason = strerror(problem);
    if (missing && is_there(name)) {
        missing = false;
        reason = "it is there, but not what is to interpret or load it (look at its first line: "
                 "#! and a path, without a carriage return)";
    } else if (missing) {
        reason = "there is no such program";
    } else if (problem == E2BIG) {
        reason = "its arguments and the environment, $IDEM_CHECKPOINT included, are longer than "
                 "the system allows (the limit grows with 'ulimit -s')";
    }
    cli_say("%s can't be run: %s", idem_quote(idem_str(name), quoted), reason);
    return missing ? CLI_NO_PROGRAM : CLI_NOT_EXECUTABLE;
}

static int refuse_process(int problem)
{
    cli_say("no process can be made for the command: %s%s", strerror(problem),
            problem == EAGAIN   ? " (there is a limit: 'ulimit -u', or pids.max of the cgroup)"
            : problem == ENOMEM ? " (there may be a limit: 'ulimit -v')"
                                : "");
    return CLI_INTERNAL;
}

int cli_launch_result(const cli_launch *launch, int fd)
{
    report failed;
    ssize_t got;
    do {
        got = read(fd, &failed, sizeof failed);
    } while (got < 0 && errno == EINTR);
    if (got == 0)
        return CLI_OK;
    if (got != (ssize_t)sizeof failed)
        return refuse_process(errno);
    return failed.executing ? refuse(launch->program[0], failed.problem)
                            : refuse_process(failed.problem);
}
