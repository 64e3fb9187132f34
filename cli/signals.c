/* SPDX-License-Identifier: MIT */
/*
 * Signals as input: a handler writes what arrived into a pipe, which the loop of `idem run` reads
 * along with CMD's output. What the caller had ignored (nohup, a shell's background jobs) stays
 * ignored, for idem and for CMD. The processes beside CMD (keeper.c, witness.c) inherit the
 * handlers and give them a pipe of their own.
 */
#include "signals.h"

#include "report.h"

#include <idem/backend.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

/* SIGCHLD has to be the first: it is caught even where the caller had it ignored. */
static const int caught[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

#define CAUGHT_COUNT (sizeof caught / sizeof caught[0])

static struct sigaction original[CAUGHT_COUNT];
static bool changed[CAUGHT_COUNT];

/* Writing to a pipe without a reader, or beyond the limit on a file's size, is an error here. */
static const int ignored[] = {SIGPIPE, SIGXFSZ};

#define IGNORED_COUNT (sizeof ignored / sizeof ignored[0])

static struct sigaction original_ignored[IGNORED_COUNT];
static sigset_t original_mask;
static int ends[2] = {-1, -1}; /* of the pipe: to read, to write */

/* The first process of a container has no default actions: what would end another process is
   lost on it. */
static void end_as_first(int number)
{
    _exit(CLI_SIGNAL + number);
}

static void set_up_first(void)
{
    struct sigaction end = {.sa_handler = end_as_first};
    struct sigaction reap = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
    struct sigaction before;
    for (size_t i = 0; i < CAUGHT_COUNT; i++) {
        if (sigaction(caught[i], NULL, &before) != 0 || before.sa_handler != SIG_DFL)
            continue;
        (void)sigaction(caught[i], caught[i] == SIGCHLD ? &reap : &end, NULL);
    }
}

void cli_signals_set_up(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    for (size_t i = 0; i < IGNORED_COUNT; i++)
        (void)sigaction(ignored[i], &ignore, &original_ignored[i]);
    if (getpid() == 1)
        set_up_first();
}

static volatile sig_atomic_t defers; /* a call is under way that none should cut in two */
static volatile sig_atomic_t deferred;
static int grace_ms;

static void end_late(int number)
{
    (void)number;
    _exit(cli_signals_die(deferred));
}

/* A timer that the caller left to this process is overwritten, but only when it is about to end. */
static void defer(int number, ucontext_t *context)
{
    struct sigaction late = {.sa_handler = end_late};
    const struct itimerval grace = {
        .it_value = {.tv_sec = grace_ms / 1000, .tv_usec = grace_ms % 1000 * 1000}};
    if (deferred)
        return;
    deferred = number;
    (void)sigaction(SIGALRM, &late, NULL);
    (void)sigdelset(&context->uc_sigmask, SIGALRM);
    (void)setitimer(ITIMER_REAL, &grace, NULL);
}

/* The pipe is non-blocking; if it is full, there is enough in it to wake the loop up. */
static void note(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    cli_signal arrived;
    if (defers && number != SIGCHLD) {
        defer(number, context);
        errno = saved;
        return;
    }
    memset(&arrived, 0, sizeof arrived);
    arrived.number = number;
    arrived.sender = info->si_pid;
    arrived.at_ms = idem_monotonic_ms();
#ifdef SI_KERNEL
    arrived.from_terminal = (number == SIGINT || number == SIGQUIT) && info->si_code == SI_KERNEL;
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

/* @return false with errno set */
static bool catch_one(size_t i)
{
    struct sigaction catch = {.sa_flags = SA_SIGINFO | SA_RESTART | SA_NOCLDSTOP};
    catch.sa_sigaction = note;
    (void)sigfillset(&catch.sa_mask);
    if (changed[i])
        return true;
    if (sigaction(caught[i], NULL, &original[i]) != 0)
        return false;
    if (caught[i] != SIGCHLD && original[i].sa_handler == SIG_IGN)
        return true;
    changed[i] = sigaction(caught[i], &catch, NULL) == 0;
    return changed[i];
}

bool cli_signals_catch(void)
{
    bool ok = make_pipe();
    for (size_t i = 0; i < CAUGHT_COUNT && ok; i++)
        ok = catch_one(i);
    if (ok)
        defers = false;
    return ok;
}

/* --------------------------------------------------- calls that no signal should cut in two */

bool cli_signals_defer(int grace)
{
    bool ok = true;
    grace_ms = grace;
    if (!defers)
        deferred = 0;
    defers = true;
    for (size_t i = 0; i < CAUGHT_COUNT && ok; i++)
        ok = caught[i] == SIGCHLD || catch_one(i);
    return ok;
}

int cli_signals_deferred(void)
{
    return deferred;
}

int cli_signals_undefer(void)
{
    for (size_t i = 0; i < CAUGHT_COUNT; i++) {
        if (changed[i])
            (void)sigaction(caught[i], &original[i], NULL);
        changed[i] = false;
    }
    defers = false;
    return deferred;
}

bool cli_signals_own(void)
{
    (void)close(ends[0]);
    (void)close(ends[1]);
    return make_pipe();
}

void cli_signals_send_to(int fd)
{
    (void)close(ends[0]);
    (void)close(ends[1]);
    ends[0] = -1;
    ends[1] = fd;
}

void cli_signals_let_through_only(bool children)
{
    sigset_t held;
    (void)sigfillset(&held);
    for (size_t i = 0; i < CAUGHT_COUNT; i++) {
        if (changed[i] && (caught[i] == SIGCHLD) == children)
            (void)sigdelset(&held, caught[i]);
    }
    (void)sigprocmask(SIG_SETMASK, &held, NULL);
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
    for (size_t i = 0; i < IGNORED_COUNT; i++)
        (void)sigaction(ignored[i], &original_ignored[i], NULL);
    cli_signals_let_through();
}

/* CMD has left its core already. */
int cli_signals_die(int number)
{
    const struct rlimit no_core = {0, 0};
    struct sigaction as_usual = {.sa_handler = SIG_DFL};
    sigset_t only;
    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)sigaction(number, &as_usual, NULL);
    (void)sigemptyset(&only);
    (void)sigaddset(&only, number);
    (void)sigprocmask(SIG_UNBLOCK, &only, NULL);
    (void)kill(getpid(), number);
    return CLI_SIGNAL + number;
}
