/* SPDX-License-Identifier: MIT */
/*
 * A signal does not show whether it was sent to idem alone or to all of its group, as by kill --
 * -PGID, a shell's kill %1, or systemd for all processes of a unit. The witness gets what the group
 * gets. A sender that signals one process after the other takes time, so a signal waits;
 * then the witness is asked. It answers behind whatever it has got until then, so that it does not
 * matter how late it comes to run.
 */
#include "witness.h"

#include "descriptors.h"
#include "report.h"

#include <idem/backend.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#define GRACE_MS  150  /* between the first process of a group and the last */
#define ANSWER_MS 2000 /* a witness that was stopped does not answer */
#define MEMORY_MS 1000 /* how long what was seen may belong to a signal that is still to come */

/* ---------------------------------------------------------------------- the witness' side */

/* The handler itself tells what arrives. With the end of the questions idem is gone. */
static _Noreturn void watch(int questions, int answers)
{
    cli_signal none;
    char question;
    ssize_t got;
    memset(&none, 0, sizeof none);
#ifdef __linux__
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    cli_descriptors_keep(questions, answers);
    cli_signals_send_to(STDOUT_FILENO);
    cli_signals_let_through_only(false);
    while ((got = read(STDIN_FILENO, &question, 1)) != 0) {
        if (got < 0 && errno != EINTR)
            break;
        if (got == 1 && write(STDOUT_FILENO, &none, sizeof none) < 0 && errno == EPIPE)
            break;
    }
    _exit(CLI_OK);
}

/* ------------------------------------------------------------------------------ idem's side */

void cli_witness_start(cli_witness *witness)
{
    int questions[2];
    int answers[2];
    memset(witness, 0, sizeof *witness);
    witness->pid = witness->questions = witness->answers = -1;
    bool opened = cli_descriptors_pipe(questions);
    if (cli_descriptors_pipe(answers) && opened) {
        cli_signals_hold();
        witness->pid = fork();
        if (witness->pid == 0)
            watch(questions[0], answers[1]);
        cli_signals_let_through();
    }
    if (witness->pid > 0) {
        witness->questions = questions[1];
        witness->answers = answers[0];
        (void)fcntl(witness->answers, F_SETFL, O_NONBLOCK);
        questions[1] = answers[0] = -1;
    }
    for (int i = 0; i < 2; i++) {
        cli_descriptors_close(&questions[i]);
        cli_descriptors_close(&answers[i]);
    }
}

void cli_witness_end(cli_witness *witness)
{
    cli_descriptors_close(&witness->questions);
    cli_descriptors_close(&witness->answers);
    if (witness->pid > 0) {
        (void)kill(witness->pid, SIGKILL); /* it may have been stopped */
        while (waitpid(witness->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    witness->pid = -1;
}

static void remove_pending(cli_witness *witness, size_t at)
{
    witness->pending_count--;
    memmove(&witness->pending[at], &witness->pending[at + 1],
            (witness->pending_count - at) * sizeof witness->pending[0]);
}

static bool is_same(const cli_signal *one, const cli_signal *other)
{
    uint64_t apart =
        one->at_ms > other->at_ms ? one->at_ms - other->at_ms : other->at_ms - one->at_ms;
    return one->number == other->number && one->sender == other->sender && apart <= MEMORY_MS;
}

/* What both have got has reached CMD. */
static void strike_out(cli_witness *witness)
{
    size_t kept = 0;
    uint64_t now = idem_monotonic_ms();
    for (size_t i = 0; i < witness->seen_count; i++) {
        const cli_signal seen = witness->seen[i];
        size_t at = 0;
        while (at < witness->pending_count && !is_same(&witness->pending[at].signal, &seen))
            at++;
        if (at < witness->pending_count)
            remove_pending(witness, at);
        else if (now - seen.at_ms <= MEMORY_MS)
            witness->seen[kept++] = seen;
    }
    witness->seen_count = kept;
}

/* Its answer: a signal that was asked about and is still pending came to idem alone. */
static void answer(cli_witness *witness)
{
    strike_out(witness);
    for (size_t i = 0; i < witness->pending_count; i++) {
        if (witness->pending[i].asked)
            witness->pending[i].signal.at_ms = 0;
    }
}

void cli_witness_listen(cli_witness *witness)
{
    cli_signal told;
    ssize_t got = -1;
    while (witness->answers >= 0 && (got = read(witness->answers, &told, sizeof told)) > 0) {
        if (told.number == 0)
            answer(witness);
        else if (witness->seen_count < CLI_WITNESS_MAX)
            witness->seen[witness->seen_count++] = told;
    }
    strike_out(witness);
    if (got == 0)
        cli_witness_end(witness);
}

void cli_witness_add(cli_witness *witness, const cli_signal *signal)
{
    if (witness->pending_count < CLI_WITNESS_MAX)
        witness->pending[witness->pending_count++] = (cli_witness_pending){*signal, false};
    strike_out(witness);
}

bool cli_witness_next(cli_witness *witness, cli_signal *signal)
{
    uint64_t now = idem_monotonic_ms();
    for (size_t i = 0; i < witness->pending_count; i++) {
        cli_witness_pending *pending = &witness->pending[i];
        uint64_t waited = now - pending->signal.at_ms;
        bool certain = witness->pid <= 0 || pending->signal.at_ms == 0;
        if (certain || waited > ANSWER_MS) {
            *signal = pending->signal;
            remove_pending(witness, i);
            return true;
        }
        if (!pending->asked && waited >= GRACE_MS)
            pending->asked = write(witness->questions, "?", 1) == 1;
    }
    return false;
}

int cli_witness_timeout(const cli_witness *witness)
{
    return witness->pending_count ? GRACE_MS / 3 : -1;
}
