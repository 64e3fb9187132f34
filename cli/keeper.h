/* SPDX-License-Identifier: MIT */
/*
 * The process between idem and CMD: it sees to it that no process of CMD's tree works on when the
 * claim has ended, however idem ends.
 */
#ifndef IDEM_CLI_KEEPER_H
#define IDEM_CLI_KEEPER_H

#include "launch.h"
#include "tree.h"

#include <idem/backend.h>

/** How CMD and its tree are. Small enough for a pipe to take it in one piece. */
typedef struct {
    pid_t command;
    pid_t session;    /**< of CMD when it was started */
    bool ended;       /**< CMD has */
    bool gone;        /**< and nothing of its tree is left */
    int status;       /**< of CMD, as from waitpid() */
    unsigned living;  /**< of the tree, once it is looked at: CMD has ended or is to be stopped */
    unsigned refused; /**< of these, how many must not be signalled (another user's) */
} cli_guard_state;

/** What is done about it. The keeper has one; idem has one if it loses the keeper. */
typedef struct {
    cli_tree tree;
    int stopping;         /**< the signal that the whole tree gets: SIGTERM, SIGKILL; 0: none yet */
    uint64_t courtesy_ms; /**< so long CMD has to stop the others itself, before they are asked */
    uint64_t asked_at_ms; /**< when it was; 0: not yet */
    cli_guard_state now;
} cli_guard;

/** Reaps the processes that have ended, signals the others, and counts them. Never blocks. */
void cli_guard_step(cli_guard *guard);

/** idem's end. */
typedef struct {
    pid_t pid;        /**< -1: it was lost */
    int orders;       /**< where it is told what to do */
    int reports;      /**< what it has to say */
    bool had_company; /**< idem had children of its own before */
    cli_guard guard;  /**< as last reported */
} cli_keeper;

/** Before idem has started any process. */
void cli_keeper_init(cli_keeper *keeper);

/** Starts the keeper, and CMD.
 *  @param grace_ms  what the tree is given between TERM and KILL if idem is killed
 *  @return CLI_OK, or the exit code after saying why not */
int cli_keeper_start(cli_keeper *keeper, cli_launch *launch, uint64_t grace_ms);

/** Sends a signal to CMD, if it has not ended. */
void cli_keeper_signal(cli_keeper *keeper, int number);

/** Sends a signal to all of the tree, and to what joins it from now on. */
void cli_keeper_stop(cli_keeper *keeper, int number);

/** Takes in what the keeper reports. If it is lost, idem does its work from now on.
 *  @return false if it was lost just now */
bool cli_keeper_listen(cli_keeper *keeper);

/** In how many milliseconds to listen even if nothing is reported; -1: no need to. */
int cli_keeper_timeout(const cli_keeper *keeper);

/** Lets go of it. What is left of the tree is the keeper's. */
void cli_keeper_end(cli_keeper *keeper);

#endif
