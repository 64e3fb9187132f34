/* SPDX-License-Identifier: MIT */
/*
 * A process that stands beside CMD in its process group, and tells idem which signals came to the
 * group as a whole: CMD has had those already, and they are not passed on a second time.
 */
#ifndef IDEM_CLI_WITNESS_H
#define IDEM_CLI_WITNESS_H

#include "signals.h"

#include <stddef.h>

#define CLI_WITNESS_MAX 64 /* signals that wait to be decided about, or were seen */

/** A signal that came to idem, and waits until it is known whether it came to the group. */
typedef struct {
    cli_signal signal;
    bool asked; /**< the witness was asked for what it has seen */
} cli_witness_pending;

typedef struct {
    pid_t pid;     /**< -1: there is none */
    int questions; /**< where it is asked */
    int answers;   /**< where it tells */
    size_t seen_count;
    cli_signal seen[CLI_WITNESS_MAX];
    size_t pending_count;
    cli_witness_pending pending[CLI_WITNESS_MAX];
} cli_witness;

/** Starts it. Where that can't be, signals are passed on at once. */
void cli_witness_start(cli_witness *witness);
void cli_witness_end(cli_witness *witness);

/** Takes in what it has told; `witness->answers` can be read then. */
void cli_witness_listen(cli_witness *witness);

/** idem has got a signal. */
void cli_witness_add(cli_witness *witness, const cli_signal *signal);

/** The next signal that came to idem alone. @return false if there is none, or not yet */
bool cli_witness_next(cli_witness *witness, cli_signal *signal);

/** In how many milliseconds to ask again; -1: nothing is pending. */
int cli_witness_timeout(const cli_witness *witness);

#endif
