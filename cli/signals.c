/* SPDX-License-Identifier: MIT */
/*
 * Signals as input: a handler writes what arrived into a pipe, which the loop of `idem run` reads
 * along with CMD's output. What the caller had ignored (nohup, a shell's background jobs) stays
 * ignored, for idem and for CMD.
 */
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

/* SIGCHLD has to be the first: it is caught even where the caller had it ignored. */
static const int caught[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

#define CAUGHT_COUNT (sizeof caught / sizeof caught[0])

static struct sigaction original[CAUGHT_COUNT];
static bool changed[CAUGHT_COUNT];
static struct sigaction original_pipe;
static sigset_t original_mask;
static int ends[2] = {-1, -1}; /* of the pipe: to read, to write */

void cli_signals_ignore_pipe(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, &original_pipe);
}

/* The pipe is non-blocking; if it is full, there is enough in it to wake the loop up. */
static void note(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    cli_signal arrived = {number, false};
    (void)context;
#ifdef SI_KERNEL
    arrived.from_terminal = (number == SIGINT || number == SIGQUIT) && info->si_code == SI_KERNEL;
#else
    (void)info;
#endif
    ssize_t written = write(ends[1], &arrived, sizeof arrived);
    (void)written;
    errno = saved;
}

static bool make_pipe(void)
{
    if (pipe(ends) != 0)
        return false;
    for (int i = 0; i < 2; i++) {
        if (fcntl(ends[i], F_SETFD, FD_CLOEXEC) != 0 || fcntl(ends[i], F_SETFL, O_NONBLOCK) != 0)
            return false;
    }
    return true;
}

bool cli_signals_catch(void)
{
    struct sigaction catch = {.sa_flags = SA_SIGINFO | SA_RESTART | SA_NOCLDSTOP};
    catch.sa_sigaction = note;
    (void)sigfillset(&catch.sa_mask);
    if (!make_pipe())
        return false;
    for (size_t i = 0; i < CAUGHT_COUNT; i++) {
        if (sigaction(caught[i], NULL, &original[i]) != 0)
            return false;
        if (caught[i] != SIGCHLD && original[i].sa_handler == SIG_IGN)
            continue;
        if (sigaction(caught[i], &catch, NULL) != 0)
            return false;
        changed[i] = true;
    }
    return true;
}

int cli_signals_fd(void)
{
    return ends[0];
}

bool cli_signals_next(cli_signal *signal)
{
    return read(ends[0], signal, sizeof *signal) == (ssize_t)sizeof *signal;
}

bool cli_signal_ends(int number)
{
    return number == SIGINT || number == SIGTERM || number == SIGHUP || number == SIGQUIT;
}

void cli_signals_hold(void)
{
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &original_mask);
}

void cli_signals_let_through(void)
{
    (void)sigprocmask(SIG_SETMASK, &original_mask, NULL);
}

void cli_signals_restore(void)
{
    for (size_t i = 0; i < CAUGHT_COUNT; i++) {
        if (changed[i])
            (void)sigaction(caught[i], &original[i], NULL);
    }
    (void)sigaction(SIGPIPE, &original_pipe, NULL);
    cli_signals_let_through();
}
