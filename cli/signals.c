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
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* SIGCHLD has to be the first: it is caught even where the caller had it ignored. */
static const int caught[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

#define WATCHER_STACK 65536

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

#define CAME '!'
#define OVER '.' /* the call is */

static atomic_bool defers;       /* a call is under way that none should cut in two */
static atomic_int deferred;      /* the first that came meanwhile */
static int urgent[2] = {-1, -1}; /* a pipe to the thread that watches the call */

static void write_byte(char byte)
{
    ssize_t written = write(urgent[1], &byte, 1);
    (void)written;
}

static void defer(int number)
{
    int none = 0;
    (void)atomic_compare_exchange_strong(&deferred, &none, number);
    write_byte(CAME);
}

/* The pipe is non-blocking; if it is full, there is enough in it to wake the loop up. */
static void note(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    cli_signal arrived;
    (void)context;
    if (defers && number != SIGCHLD) {
        defer(number);
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

static bool make_pipe(int made[2])
{
    if (pipe(made) != 0)
        return false;
    for (int i = 0; i < 2; i++) {
        if (fcntl(made[i], F_SETFD, FD_CLOEXEC) != 0 || fcntl(made[i], F_SETFL, O_NONBLOCK) != 0)
            return false;
    }
    return true;
}

static void close_pipe(int made[2])
{
    for (int i = 0; i < 2; i++) {
        if (made[i] >= 0)
            (void)close(made[i]);
        made[i] = -1;
    }
}

bool cli_signals_catch(void)
{
    struct sigaction catch = {.sa_flags = SA_SIGINFO | SA_RESTART | SA_NOCLDSTOP};
    catch.sa_sigaction = note;
    (void)sigfillset(&catch.sa_mask);
    if (!make_pipe(ends))
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

/* --------------------------------------------------- calls that no signal should cut in two */

static pthread_t watcher;
static bool has_watcher;

/* @param grace_ms  -1: for ever  @return true if the call is over */
static bool waits_for_end(int grace_ms)
{
    char byte = CAME;
    struct pollfd next = {.fd = urgent[0], .events = POLLIN};
    return poll(&next, 1, grace_ms) > 0 && read(urgent[0], &byte, 1) == 1 && byte == OVER;
}

/* A store that can't be reached is tried for seconds, and a key may be waited for much longer. */
static void *watch_call(void *grace_ms)
{
    if (!waits_for_end(-1) && !waits_for_end(*(const int *)grace_ms))
        _exit(cli_signals_die(atomic_load(&deferred)));
    return NULL;
}

/* Without a thread a signal waits for the call, however long that takes. */
static void start_watcher(const int *grace_ms)
{
    sigset_t all;
    sigset_t before;
    pthread_attr_t small;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_attr_init(&small) == 0) {
        (void)pthread_attr_setstacksize(&small, WATCHER_STACK);
        has_watcher = pthread_create(&watcher, &small, watch_call, (void *)grace_ms) == 0;
        (void)pthread_attr_destroy(&small);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

bool cli_signals_defer(int grace_ms)
{
    static int grace;
    grace = grace_ms;
    atomic_store(&deferred, 0);
    if (!make_pipe(urgent))
        return false;
    start_watcher(&grace);
    atomic_store(&defers, true);
    return cli_signals_catch();
}

int cli_signals_deferred(void)
{
    return atomic_load(&deferred);
}

static void let_act(void)
{
    for (size_t i = 0; i < CAUGHT_COUNT; i++) {
        if (changed[i])
            (void)sigaction(caught[i], &original[i], NULL);
        changed[i] = false;
    }
    close_pipe(ends);
}

int cli_signals_undefer(bool keep_caught)
{
    write_byte(OVER);
    if (has_watcher)
        (void)pthread_join(watcher, NULL);
    has_watcher = false;
    if (!keep_caught)
        let_act();
    atomic_store(&defers, false);
    close_pipe(urgent);
    return atomic_load(&deferred);
}

bool cli_signals_own(void)
{
    close_pipe(ends);
    return make_pipe(ends);
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
