/* SPDX-License-Identifier: MIT */
/*
 * The keeper is CMD's parent and adopts the orphans of its tree. It has a process group of its own,
 * so that a KILL to idem's group does not end it, and it ignores signals. idem tells it through a
 * pipe which signal to send to which processes. If that pipe closes, idem has ended unexpectedly,
 * and the keeper stops the tree itself. While idem is stopped (SIGSTOP, ^Z) the lease is not
 * renewed, so the keeper stops the tree too. If the keeper is killed, idem adopts the orphans.
 */
#include "keeper.h"

#include "descriptors.h"
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#define LOOK_MS     50 /* how often a tree that is to end is looked at */
#define COURTESY_MS 1000
#define GIVE_UP_MS  60000 /* how long KILL is repeated where idem is gone */
#define HELD_MS     200   /* how often it is looked whether idem goes on */
#define AGAIN_MS    2000  /* how often a tree that stands still is looked at */
#define WAKE_MS     500   /* for idem, to learn whether it has its claim still */

/* An order is a signal, and whether it is for all of the tree. */
typedef struct {
    int number;
    bool all;
} order;

/* ---------------------------------------------------------------------------------- a guard */

static void reap(cli_guard *guard)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0 || (pid < 0 && errno == EINTR)) {
        if (pid != guard->tree.command || guard->now.ended)
            continue;
        guard->now.ended = true;
        guard->now.status = status;
    }
}

/* CMD comes first: it may have ways of its own to stop what it has started. */
static int signal_of(cli_guard *guard)
{
    if (guard->stopping != SIGTERM || guard->now.ended)
        return guard->stopping;
    uint64_t now = idem_monotonic_ms();
    if (!guard->asked_at_ms)
        guard->asked_at_ms = now;
    cli_tree_ask_command(&guard->tree);
    return now - guard->asked_at_ms >= guard->courtesy_ms ? SIGTERM : 0;
}

/* As long as CMD runs and nobody stops it, there is nothing to look for. */
void cli_guard_step(cli_guard *guard)
{
    if (guard->tree.command <= 0)
        return; /* to signal process 0 is to signal one's own group */
    reap(guard);
    if (!guard->now.ended && !guard->stopping)
        return;
    cli_tree_state state = {0};
    int number = signal_of(guard);
    if (cli_tree_has_children() || guard->tree.root != getpid())
        state = cli_tree_signal(&guard->tree, number);
    reap(guard);
    guard->now.living = state.living;
    guard->now.refused = state.refused;
    guard->now.gone = guard->now.ended && state.living == 0;
}

static void signal_command(const cli_guard *guard, int number)
{
    if (!guard->now.ended && guard->tree.command > 0)
        (void)kill(guard->tree.command, number);
}

static uint64_t courtesy(uint64_t grace_ms)
{
    return grace_ms / 2 < COURTESY_MS ? grace_ms / 2 : COURTESY_MS;
}

static void adopt_orphans(void)
{
#ifdef __linux__
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
#endif
}

/* ------------------------------------------------------------------------ the keeper's side */

typedef struct {
    cli_guard guard;
    bool alone;                         /* idem is gone */
    const cli_terminal_modes *terminal; /* what idem has changed; NULL: nothing */
    uint64_t grace_ms;
    uint64_t alone_since_ms;
    bool holding; /* idem is stopped, and so is the tree */
    uint64_t idem_seen_stopped_ms;
    uint64_t hold_again_ms;
} watch;

/* @return false if idem is gone */
static bool take_orders(cli_guard *guard)
{
    order given;
    ssize_t got;
    while ((got = read(STDIN_FILENO, &given, sizeof given)) == (ssize_t)sizeof given) {
        if (given.all)
            guard->stopping = given.number;
        else
            signal_command(guard, given.number);
    }
    return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

static void tell(const cli_guard *guard)
{
    ssize_t written = write(STDOUT_FILENO, &guard->now, sizeof guard->now);
    (void)written;
}

static void be_alone(watch *self)
{
    uint64_t now = idem_monotonic_ms();
    if (!self->alone) {
        self->alone = true;
        self->alone_since_ms = now;
        if (self->terminal)
            cli_terminal_rescue(self->terminal);
        if (!self->guard.stopping)
            self->guard.stopping = SIGTERM;
    }
    if (now - self->alone_since_ms >= self->grace_ms)
        self->guard.stopping = SIGKILL;
}

/* An idem that goes on may have lost its claim meanwhile: it has the first word. */
static void follow_idem(watch *self)
{
    uint64_t now = idem_monotonic_ms();
    if (!self->alone && cli_tree_is_stopped(getppid())) {
        bool look = !self->holding || now >= self->hold_again_ms;
        self->holding = true;
        self->idem_seen_stopped_ms = now;
        if (look)
            self->hold_again_ms = cli_tree_hold(&self->guard.tree) ? now : now + AGAIN_MS;
    } else if (self->alone || self->guard.stopping) {
        self->holding = false; /* a process must run to handle TERM */
    } else if (self->holding && now - self->idem_seen_stopped_ms >= WAKE_MS) {
        self->holding = false;
        cli_tree_let_go(&self->guard.tree);
    }
}

static bool is_done(const watch *self)
{
    return self->guard.now.gone || (self->alone && idem_monotonic_ms() - self->alone_since_ms >=
                                                       self->grace_ms + GIVE_UP_MS);
}

/* Of a claim that is renewed in time two thirds of the lease are left; this is a sixth at most. */
static int pause_ms(const watch *self)
{
    uint64_t pause = self->grace_ms / 2;
    if (self->holding && pause > HELD_MS)
        pause = HELD_MS;
    return pause < LOOK_MS ? LOOK_MS : (int)pause;
}

static void wait_for_something(const watch *self)
{
    bool looks = self->alone || self->guard.now.ended || self->guard.stopping;
    int pause = looks ? LOOK_MS : pause_ms(self);
    struct pollfd fds[] = {{.fd = cli_signals_fd(), .events = POLLIN},
                           {.fd = self->alone ? -1 : STDIN_FILENO, .events = POLLIN}};
    cli_signal child;
    (void)poll(fds, 2, pause);
    while (cli_signals_next(&child)) {
    }
}

static bool is_news(const cli_guard_state *now, const cli_guard_state *told)
{
    return now->ended != told->ended || now->living != told->living ||
           now->refused != told->refused || now->gone;
}

static void see_to_the_end(watch *self)
{
    cli_guard_state told = self->guard.now;
    while (!is_done(self)) {
        wait_for_something(self);
        if (self->alone || !take_orders(&self->guard))
            be_alone(self);
        follow_idem(self);
        cli_guard_step(&self->guard);
        if (is_news(&self->guard.now, &told))
            tell(&self->guard);
        told = self->guard.now;
    }
}

/* CMD is forked before the keeper leaves the group and closes what CMD is to have. */
static _Noreturn void keep(cli_launch *launch, int orders, int reports, uint64_t grace_ms)
{
    static watch self;
    ssize_t told;
    adopt_orphans();
#ifdef __linux__
    (void)prctl(PR_SET_PDEATHSIG, SIGCONT); /* a keeper that was stopped has something to do now */
#endif
    self.grace_ms = grace_ms;
    self.terminal = launch->terminal;
    self.guard.courtesy_ms = courtesy(grace_ms);
    self.guard.tree.root = getpid();
    self.guard.tree.session = getsid(0);
    self.guard.tree.command = cli_descriptors_pipe(launch->gate)
                                  ? cli_launch_fork(launch)
                                  : (cli_launch_fail(launch, errno), -1);
    if (self.guard.tree.command < 0)
        _exit(CLI_INTERNAL);
    self.guard.now.command = self.guard.tree.command;
    self.guard.now.session = self.guard.tree.session;
    told = write(reports, &self.guard.now, sizeof self.guard.now); /* before CMD can do anything */
    (void)told;
    (void)setpgid(0, 0);
    cli_descriptors_keep(orders, reports); /* opens the gate */
    (void)fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    if (cli_signals_own()) {
        cli_signals_let_through_only(true);
        see_to_the_end(&self);
    }
    _exit(CLI_OK);
}

/* ------------------------------------------------------------------------------ idem's side */

static pid_t fork_keeper(cli_launch *launch, const int orders[2], const int reports[2],
                         uint64_t grace_ms)
{
    cli_signals_hold();
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(orders[1]);
        keep(launch, orders[0], reports[1], grace_ms);
    }
    if (pid < 0)
        cli_launch_fail(launch, errno);
    cli_signals_let_through();
    return pid;
}

/* @param report  the reading end that belongs to the launch */
static int start(cli_keeper *keeper, cli_launch *launch, int report, uint64_t grace_ms)
{
    int orders[2];
    int reports[2];
    int code = CLI_INTERNAL;
    bool opened = cli_descriptors_pipe(orders);
    if (!cli_descriptors_pipe(reports) || !opened) {
        cli_say("no pipe can be made: %s", strerror(errno));
    } else {
        keeper->pid = fork_keeper(launch, orders, reports, grace_ms);
        cli_descriptors_close(&launch->report);
        code = cli_launch_result(launch, report);
    }
    cli_descriptors_close(&orders[0]);
    cli_descriptors_close(&reports[1]);
    keeper->orders = orders[1];
    keeper->reports = reports[0];
    if (code == CLI_OK)
        (void)fcntl(keeper->reports, F_SETFL, O_NONBLOCK);
    else
        cli_keeper_end(keeper);
    return code;
}

void cli_keeper_init(cli_keeper *keeper)
{
    memset(keeper, 0, sizeof *keeper);
    keeper->pid = keeper->orders = keeper->reports = -1;
    keeper->had_company = cli_tree_has_children();
}

int cli_keeper_start(cli_keeper *keeper, cli_launch *launch, uint64_t grace_ms)
{
    int report[2];
    keeper->guard.courtesy_ms = courtesy(grace_ms);
    adopt_orphans();
    if (!cli_descriptors_pipe(report)) {
        cli_say("no pipe can be made: %s", strerror(errno));
        return CLI_INTERNAL;
    }
    launch->report = report[1];
    int code = start(keeper, launch, report[0], grace_ms);
    cli_descriptors_close(&launch->report);
    cli_descriptors_close(&report[0]);
    return code;
}

static bool give_order(cli_keeper *keeper, int number, bool all)
{
    order given;
    memset(&given, 0, sizeof given);
    given.number = number;
    given.all = all;
    return keeper->orders >= 0 &&
           write(keeper->orders, &given, sizeof given) == (ssize_t)sizeof given;
}

void cli_keeper_signal(cli_keeper *keeper, int number)
{
    if (!give_order(keeper, number, false) && keeper->pid < 0)
        signal_command(&keeper->guard, number);
}

void cli_keeper_stop(cli_keeper *keeper, int number)
{
    keeper->guard.stopping = number;
    (void)give_order(keeper, number, true);
}

/* The orphans are idem's now. If it had other children before, it can't tell them from these: what
   is below CMD is certain, and the rest is left alone. */
static void take_over(cli_keeper *keeper)
{
    cli_descriptors_close(&keeper->orders);
    cli_descriptors_close(&keeper->reports);
    keeper->pid = -1;
    if (keeper->guard.now.command <= 0) { /* it was killed before there was a CMD */
        keeper->guard.now.ended = keeper->guard.now.gone = true;
        keeper->guard.now.status = CLI_INTERNAL << 8;
        return;
    }
    keeper->guard.tree.command = keeper->guard.now.command;
    keeper->guard.tree.session = keeper->guard.now.session;
    keeper->guard.tree.root = keeper->had_company ? keeper->guard.tree.command : getpid();
}

bool cli_keeper_listen(cli_keeper *keeper)
{
    cli_guard_state told;
    ssize_t got = -1;
    if (keeper->pid < 0) {
        cli_guard_step(&keeper->guard);
        return true;
    }
    while ((got = read(keeper->reports, &told, sizeof told)) == (ssize_t)sizeof told)
        keeper->guard.now = told;
    if (got != 0 || keeper->guard.now.gone)
        return true;
    take_over(keeper);
    return false;
}

int cli_keeper_timeout(const cli_keeper *keeper)
{
    return keeper->pid < 0 ? LOOK_MS : -1;
}

void cli_keeper_end(cli_keeper *keeper)
{
    cli_descriptors_close(&keeper->orders);
    cli_descriptors_close(&keeper->reports);
    if (keeper->pid > 0 && (keeper->guard.now.gone || keeper->guard.now.command == 0)) {
        while (waitpid(keeper->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    keeper->pid = -1;
}
