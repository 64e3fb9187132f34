/* SPDX-License-Identifier: MIT */
/*
 * CMD as a child process, and what it has started. None of these must work on when the claim has
 * ended: the keeper (keeper.c) stands between idem and CMD, and sees to that when idem can't. What
 * CMD leaves behind has a second to end by itself; then it is asked to, and ten seconds later
 * killed. A process that has made a session of its own is left alone.
 *
 * Such a process may hold CMD's output open for ever. What is in the pipes when CMD ends is read
 * in any case; for more than that idem waits a second and no longer.
 */
#include "child.h"

#include "descriptors.h"
#include "signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_MS     200  /* how often the claim is looked at */
#define LINGER_MS   1000 /* how long output may come after CMD's end */
#define PATIENCE_S  10   /* between asking processes to stop and making them */
#define LAST_WAIT_S 5    /* for those that were killed */

enum { OUT, ERR, STREAMS_COUNT };

/* -------------------------------------------------------------------------------- starting */

/* One file behind stdout and stderr (>log 2>&1) means that the order of what is written to the two
   counts, and one pipe keeps it. /dev/null and the like have none. */
static bool is_one_file(void)
{
    struct stat out;
    struct stat err;
    if (fstat(STDOUT_FILENO, &out) != 0 || fstat(STDERR_FILENO, &err) != 0 ||
        out.st_dev != err.st_dev || out.st_ino != err.st_ino)
        return false;
    return S_ISREG(out.st_mode) || S_ISFIFO(out.st_mode) || S_ISSOCK(out.st_mode) ||
           isatty(STDOUT_FILENO);
}

/* @param[out] ends  where CMD's output is read, and where CMD writes */
static bool open_ends(cli_child *child, int index, bool terminal, int ends[2])
{
    ends[0] = ends[1] = -1;
    if (!terminal || index != OUT)
        return cli_descriptors_pipe(ends);
    if (!cli_terminal_open(&child->terminal, &ends[0]))
        return false;
    ends[1] = child->terminal.slave; /* the launch closes it */
    child->terminal.slave = -1;
    return true;
}

/* @param[out] to  where CMD writes */
static int open_stream(cli_child *child, int index, const cli_child_plan *plan, int *to)
{
    static const char *const names[] = {"stdout", "stderr"};
    int ends[2];
    if (!open_ends(child, index, plan->terminal, ends)) {
        cli_say("no %s can be made for the command's output: %s",
                plan->terminal && index == OUT ? "pseudo-terminal" : "pipe", strerror(errno));
        return CLI_INTERNAL;
    }
    if (!cli_stream_open(&child->streams[index], names[index], ends[0],
                         index == OUT ? STDOUT_FILENO : STDERR_FILENO, plan->limit)) {
        cli_descriptors_close(&ends[0]);
        cli_descriptors_close(&ends[1]);
        return cli_report_no_memory();
    }
    *to = ends[1];
    return CLI_OK;
}

static int open_streams(cli_child *child, const cli_child_plan *plan, cli_launch *launch)
{
    child->merged = is_one_file();
    int code = open_stream(child, OUT, plan, &launch->out);
    if (code == CLI_OK && !child->merged)
        code = open_stream(child, ERR, plan, &launch->err);
    if (code == CLI_OK && plan->terminal)
        launch->terminal = &child->terminal.modes;
    return code;
}

/* Of a claim that is renewed in time two thirds of the lease are left at least. */
static uint64_t grace_ms(uint64_t lease_ms)
{
    uint64_t patience_ms = PATIENCE_S * 1000;
    return lease_ms / 3 < patience_ms ? lease_ms / 3 : patience_ms;
}

int cli_child_start(const cli_child_plan *plan, cli_child *child)
{
    cli_launch launch = {.program = plan->program,
                         .environment = plan->environment,
                         .out = -1,
                         .err = -1,
                         .report = -1};
    memset(child, 0, sizeof *child);
    cli_keeper_init(&child->keeper);
    cli_terminal_init(&child->terminal);
    child->witness.pid = child->witness.questions = child->witness.answers = -1;
    child->streams[OUT].from = child->streams[ERR].from = -1;
    int code = open_streams(child, plan, &launch);
    if (code == CLI_OK) {
        cli_launch whole = launch;
        if (child->merged)
            whole.err = launch.out;
        cli_witness_start(&child->witness);
        code = cli_keeper_start(&child->keeper, &whole, grace_ms(plan->lease_ms));
    }
    child->max_time_ms = plan->max_time_ms;
    if (plan->max_time_ms)
        child->stop_at = idem_monotonic_ms() + plan->max_time_ms;
    cli_descriptors_close(&launch.out);
    cli_descriptors_close(&launch.err);
    if (code)
        cli_child_clear(child);
    else
        cli_terminal_begin(&child->terminal);
    return code;
}

void cli_child_clear(cli_child *child)
{
    cli_keeper_end(&child->keeper);
    cli_witness_end(&child->witness);
    cli_terminal_end(&child->terminal);
    cli_stream_close(&child->streams[OUT]);
    cli_stream_close(&child->streams[ERR]);
}

/* -------------------------------------------------------------------------------- stopping */

static const cli_guard_state *state_of(const cli_child *child)
{
    return &child->keeper.guard.now;
}

static void stop_tree(cli_child *child)
{
    if (child->keeper.guard.stopping)
        return;
    cli_keeper_stop(&child->keeper, SIGTERM);
    child->kill_at = idem_monotonic_ms() + PATIENCE_S * 1000;
}

static void watch_patience(cli_child *child)
{
    uint64_t now = idem_monotonic_ms();
    if (child->kill_at && now >= child->kill_at && !state_of(child)->gone) {
        if (child->ended)
            cli_say("%u of them have not ended in %ds; killing them", state_of(child)->living,
                    PATIENCE_S);
        else
            cli_say("the command has not stopped in %ds; killing it", PATIENCE_S);
        child->kill_at = 0;
        child->give_up_at = now + LAST_WAIT_S * 1000;
        cli_keeper_stop(&child->keeper, SIGKILL);
    }
    child->left_alive = child->give_up_at && now >= child->give_up_at && !state_of(child)->gone;
}

static void watch_claim(cli_child *child, const idem_claim *claim)
{
    if (child->ended || child->claim_lost || !idem_claim_lost(claim))
        return;
    cli_say("the claim is lost: another caller holds the key now, or it was forgotten; "
            "stopping the command");
    child->claim_lost = true;
    stop_tree(child);
}

/* A CMD that hangs would have its lease renewed for ever. */
static void watch_time(cli_child *child)
{
    char length[CLI_DURATION_SIZE];
    if (child->ended || child->claim_lost || child->timed_out || !child->stop_at ||
        idem_monotonic_ms() < child->stop_at)
        return;
    cli_say("the command has not ended in %s (--max-time); stopping it",
            cli_duration_format(child->max_time_ms, length));
    child->timed_out = true;
    stop_tree(child);
}

static void watch_leftovers(cli_child *child)
{
    unsigned left = state_of(child)->living;
    if (!child->ended || state_of(child)->gone || child->keeper.guard.stopping || left == 0 ||
        idem_monotonic_ms() < child->linger_until)
        return;
    cli_say("the command has left %u %s behind, which must not work on without its claim; ending "
            "%s (what is to stay needs a session of its own: setsid)",
            left, left == 1 ? "process" : "processes", left == 1 ? "it" : "them");
    stop_tree(child);
}

/* ------------------------------------------------------------------------------- following */

/* Once CMD has ended, a signal can only mean that nobody wants to wait for the rest. */
static void hurry(cli_child *child)
{
    cli_stream_mute(&child->streams[OUT]);
    cli_stream_mute(&child->streams[ERR]);
    child->linger_until = idem_monotonic_ms();
}

/* A signal that came from the terminal has reached CMD already, and so has one for the whole group;
   but not if CMD has a terminal of its own. */
static void take_signals(cli_child *child)
{
    cli_signal arrived;
    while (cli_signals_next(&arrived)) {
        if (arrived.number == SIGCHLD)
            continue;
        if (!child->ended && child->terminal.master >= 0)
            cli_keeper_signal(&child->keeper, arrived.number);
        else if (!child->ended && !arrived.from_terminal)
            cli_witness_add(&child->witness, &arrived);
        if (child->ended && cli_signal_ends(arrived.number))
            hurry(child);
    }
    cli_witness_listen(&child->witness);
    while (cli_witness_next(&child->witness, &arrived)) {
        if (!child->ended)
            cli_keeper_signal(&child->keeper, arrived.number);
    }
}

static void look_for_end(cli_child *child)
{
    if (!cli_keeper_listen(&child->keeper)) {
        cli_say("the process that keeps the command was killed; stopping the command");
        cli_witness_end(&child->witness); /* or it would count as one of the tree */
        stop_tree(child);
    }
    const cli_guard_state *state = state_of(child);
    if (child->ended || !state->ended)
        return;
    child->ended = true;
    child->signal = WIFSIGNALED(state->status) ? WTERMSIG(state->status) : 0;
    child->code = child->signal ? CLI_SIGNAL + child->signal : WEXITSTATUS(state->status);
    child->linger_until = idem_monotonic_ms() + LINGER_MS;
    cli_stream_end(&child->streams[OUT]);
    cli_stream_end(&child->streams[ERR]);
}

static bool is_done(const cli_child *child)
{
    return child->left_alive ||
           (child->ended && state_of(child)->gone && cli_stream_is_done(&child->streams[OUT]) &&
            cli_stream_is_done(&child->streams[ERR]));
}

static int sooner(int one, int other)
{
    return other >= 0 && other < one ? other : one;
}

static int timeout(const cli_child *child)
{
    uint64_t now = idem_monotonic_ms();
    int least = sooner(TICK_MS, cli_witness_timeout(&child->witness));
    least = sooner(least, cli_keeper_timeout(&child->keeper));
    if (!child->ended && now < child->stop_at && child->stop_at - now < TICK_MS)
        least = sooner(least, (int)(child->stop_at - now));
    return least;
}

static void wait_and_pass_on(cli_child *child)
{
    struct pollfd fds[] = {{.fd = cli_signals_fd(), .events = POLLIN},
                           {.fd = child->keeper.reports, .events = POLLIN},
                           {.fd = child->witness.answers, .events = POLLIN},
                           cli_stream_wants(&child->streams[OUT]),
                           cli_stream_wants(&child->streams[ERR]),
                           {.fd = -1},
                           {.fd = -1}};
    cli_terminal_wants(&child->terminal, &fds[5]);
    if (poll(fds, sizeof fds / sizeof fds[0], timeout(child)) <= 0)
        return;
    cli_stream_step(&child->streams[OUT], &fds[3]);
    cli_stream_step(&child->streams[ERR], &fds[4]);
    cli_terminal_step(&child->terminal, &fds[5]);
}

static void say_what_is_amiss(const cli_child *child)
{
    bool held = false;
    for (int i = OUT; i < STREAMS_COUNT; i++) {
        const cli_stream *stream = &child->streams[i];
        held = held || (stream->chunk && stream->from >= 0);
        if (stream->problem && stream->problem != EPIPE)
            cli_say("%s could not be passed on: %s", stream->name, strerror(stream->problem));
    }
    if (child->left_alive)
        cli_say("%u processes of the command can't be ended%s", state_of(child)->living,
                state_of(child)->refused ? ", since they are another user's" : "");
    else if (held)
        cli_say("a process that the command left behind holds its output open; what comes from "
                "now on is neither passed on nor stored");
}

void cli_child_follow(cli_child *child, const idem_claim *claim)
{
    while (!is_done(child)) {
        wait_and_pass_on(child);
        take_signals(child);
        look_for_end(child);
        watch_claim(child, claim);
        watch_time(child);
        watch_leftovers(child);
        watch_patience(child);
        bool late =
            child->ended && state_of(child)->gone && idem_monotonic_ms() >= child->linger_until;
        for (int i = OUT; i < STREAMS_COUNT; i++) {
            child->streams[i].late = late;
            cli_stream_settle(&child->streams[i]);
        }
    }
    cli_terminal_end(&child->terminal);
    say_what_is_amiss(child);
}
