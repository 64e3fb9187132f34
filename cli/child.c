/* SPDX-License-Identifier: MIT */
/*
 * CMD as a child process. It stays in idem's process group, so that the terminal treats the two as
 * one. It must not outlive idem, since then it would work on without a claim; on Linux the kernel
 * sees to that.
 *
 * Processes that CMD leaves behind may hold its output open for ever. What is in the pipes when
 * CMD ends is read in any case; for more than that idem waits a second and no longer.
 */
#include "child.h"

#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#define TICK_MS    200  /* how often the claim is looked at */
#define LINGER_MS  1000 /* how long output may come after CMD's end */
#define PATIENCE_S 10   /* between asking CMD to stop and making it */

extern char **environ;

/* -------------------------------------------------------------------------------- starting */

/* The pipes between idem and the child: its stdout, its stderr, and one for the error if it can't
   be executed, which closes when it is. Each has an end to read and one to write. */
enum { TO_STDOUT, TO_STDERR, TO_REPORT, PIPES_COUNT };

typedef struct {
    int ends[PIPES_COUNT][2];
} pipes;

static void close_end(int *end)
{
    if (*end >= 0)
        (void)close(*end);
    *end = -1;
}

static void close_pipes(pipes *all)
{
    for (int i = 0; i < PIPES_COUNT; i++) {
        close_end(&all->ends[i][0]);
        close_end(&all->ends[i][1]);
    }
}

static bool open_pipes(pipes *all)
{
    bool opened = true;
    for (int i = 0; i < PIPES_COUNT; i++)
        all->ends[i][0] = all->ends[i][1] = -1;
    for (int i = 0; i < PIPES_COUNT && opened; i++) {
        opened = pipe(all->ends[i]) == 0 && fcntl(all->ends[i][0], F_SETFD, FD_CLOEXEC) == 0 &&
                 fcntl(all->ends[i][1], F_SETFD, FD_CLOEXEC) == 0;
    }
    return opened;
}

/* In the child, where only async-signal-safe calls are left. execvp() with a name that has no
   slash searches $PATH, with memory on the stack. */
static _Noreturn void become(char *const *program, char **environment, const pipes *all,
                             pid_t parent)
{
    int problem;
#ifdef __linux__
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
#endif
    if (getppid() != parent)
        _exit(CLI_INTERNAL); /* idem was killed before the kernel knew that it mattered */
    if (dup2(all->ends[TO_STDOUT][1], STDOUT_FILENO) >= 0 &&
        dup2(all->ends[TO_STDERR][1], STDERR_FILENO) >= 0) {
        environ = environment;
        cli_signals_restore();
        (void)execvp(program[0], program);
    }
    problem = errno;
    ssize_t written = write(all->ends[TO_REPORT][1], &problem, sizeof problem);
    (void)written;
    _exit(CLI_NO_PROGRAM);
}

/* Waits until the child executes CMD, or says why it can't. @return 0 or errno */
static int read_report(int fd)
{
    int problem = 0;
    ssize_t got;
    do {
        got = read(fd, &problem, sizeof problem);
    } while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof problem ? problem : 0;
}

static int refuse(const char *name, int problem)
{
    char quoted[IDEM_QUOTE_SIZE];
    bool missing = problem == ENOENT || problem == ENOTDIR;
    cli_say("%s can't be run: %s", idem_quote(idem_str(name), quoted),
            missing ? "there is no such program" : strerror(problem));
    return missing ? CLI_NO_PROGRAM : CLI_NOT_EXECUTABLE;
}

static int start(char *const *program, char **environment, pipes *all, cli_child *child)
{
    pid_t parent = getpid();
    cli_signals_hold();
    child->pid = fork();
    if (child->pid == 0)
        become(program, environment, all, parent);
    int problem = errno;
    cli_signals_let_through();
    if (child->pid < 0) {
        cli_say("no process can be made: %s", strerror(problem));
        return CLI_INTERNAL;
    }
    for (int i = 0; i < PIPES_COUNT; i++)
        close_end(&all->ends[i][1]);
    problem = read_report(all->ends[TO_REPORT][0]);
    if (problem == 0)
        return CLI_OK;
    while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    return refuse(program[0], problem);
}

static bool open_stream(cli_child *child, int index, int to, size_t limit, int *from)
{
    const char *name = index == TO_STDOUT ? "stdout" : "stderr";
    if (!cli_stream_open(&child->streams[index], name, *from, to, limit))
        return false;
    *from = -1;
    return true;
}

int cli_child_start(char *const *program, char **environment, size_t limit, cli_child *child)
{
    pipes all;
    int code = CLI_INTERNAL;
    *child = (cli_child){.pid = -1};
    if (!open_pipes(&all))
        cli_say("no pipe can be made: %s", strerror(errno));
    else if (!open_stream(child, TO_STDOUT, STDOUT_FILENO, limit, &all.ends[TO_STDOUT][0]) ||
             !open_stream(child, TO_STDERR, STDERR_FILENO, limit, &all.ends[TO_STDERR][0]))
        (void)cli_report_no_memory();
    else
        code = start(program, environment, &all, child);
    close_pipes(&all);
    if (code)
        cli_child_clear(child);
    return code;
}

void cli_child_clear(cli_child *child)
{
    cli_stream_close(&child->streams[TO_STDOUT]);
    cli_stream_close(&child->streams[TO_STDERR]);
}

/* ------------------------------------------------------------------------------- following */

/* A signal that came from the terminal has reached CMD already. Once CMD has ended, a signal can
   only mean that nobody wants to wait for its output to be passed on. */
static void take_signals(cli_child *child)
{
    cli_signal arrived;
    while (cli_signals_next(&arrived)) {
        if (arrived.number == SIGCHLD)
            continue;
        if (!child->ended && !arrived.from_terminal)
            (void)kill(child->pid, arrived.number);
        if (child->ended && cli_signal_ends(arrived.number)) {
            cli_stream_mute(&child->streams[TO_STDOUT]);
            cli_stream_mute(&child->streams[TO_STDERR]);
        }
    }
}

static void look_for_end(cli_child *child)
{
    int status = 0;
    pid_t reaped = child->ended ? 0 : waitpid(child->pid, &status, WNOHANG);
    if (reaped == 0 || (reaped < 0 && errno == EINTR))
        return;
    child->ended = true;
    child->code = reaped < 0            ? CLI_INTERNAL
                  : WIFSIGNALED(status) ? CLI_SIGNAL + WTERMSIG(status)
                                        : WEXITSTATUS(status);
    cli_stream_end(&child->streams[TO_STDOUT]);
    cli_stream_end(&child->streams[TO_STDERR]);
}

/* @param[in,out] kill_at  when patience ends; 0 until the claim is lost */
static void watch_claim(cli_child *child, const idem_claim *claim, uint64_t *kill_at)
{
    if (child->ended || !idem_claim_lost(claim))
        return;
    if (!child->claim_lost) {
        cli_say("the claim is lost: another caller holds the key now, or it was forgotten; "
                "stopping the command");
        child->claim_lost = true;
        *kill_at = idem_monotonic_ms() + PATIENCE_S * 1000;
        (void)kill(child->pid, SIGTERM);
        (void)kill(child->pid, SIGCONT); /* a stopped process takes TERM only then */
    } else if (*kill_at && idem_monotonic_ms() >= *kill_at) {
        cli_say("the command has not stopped in %ds; killing it", PATIENCE_S);
        *kill_at = 0;
        (void)kill(child->pid, SIGKILL);
    }
}

static bool is_done(const cli_child *child)
{
    return child->ended && cli_stream_is_done(&child->streams[TO_STDOUT]) &&
           cli_stream_is_done(&child->streams[TO_STDERR]);
}

static void wait_and_pass_on(cli_child *child)
{
    struct pollfd fds[] = {{.fd = cli_signals_fd(), .events = POLLIN},
                           cli_stream_wants(&child->streams[TO_STDOUT]),
                           cli_stream_wants(&child->streams[TO_STDERR])};
    if (poll(fds, sizeof fds / sizeof fds[0], TICK_MS) <= 0)
        return;
    cli_stream_step(&child->streams[TO_STDOUT], &fds[1]);
    cli_stream_step(&child->streams[TO_STDERR], &fds[2]);
}

static void say_what_is_amiss(const cli_child *child)
{
    bool held = false;
    for (int i = TO_STDOUT; i <= TO_STDERR; i++) {
        const cli_stream *stream = &child->streams[i];
        held = held || stream->from >= 0;
        if (stream->problem && stream->problem != EPIPE)
            cli_say("%s could not be passed on: %s", stream->name, strerror(stream->problem));
    }
    if (held)
        cli_say("a process that the command left behind holds its output open; what comes from "
                "now on is neither passed on nor stored");
}

void cli_child_follow(cli_child *child, const idem_claim *claim)
{
    uint64_t kill_at = 0;
    uint64_t linger_until = 0;
    while (!is_done(child)) {
        wait_and_pass_on(child);
        take_signals(child);
        watch_claim(child, claim, &kill_at);
        look_for_end(child);
        if (child->ended && linger_until == 0)
            linger_until = idem_monotonic_ms() + LINGER_MS;
        bool late = linger_until && idem_monotonic_ms() >= linger_until;
        child->streams[TO_STDOUT].late = child->streams[TO_STDERR].late = late;
    }
    say_what_is_amiss(child);
}
