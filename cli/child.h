/* SPDX-License-Identifier: MIT */
/* CMD as a child process: started, followed to its end, its output taken in. */
#ifndef IDEM_CLI_CHILD_H
#define IDEM_CLI_CHILD_H

#include "keeper.h"
#include "stream.h"
#include "terminal.h"
#include "witness.h"

typedef struct {
    cli_keeper keeper;
    cli_witness witness;
    cli_terminal terminal; /**< --tty */
    int code;              /**< how it ended: its exit code, or CLI_SIGNAL + the signal */
    int signal;            /**< the one that it died of; 0: none */
    bool ended;            /**< false if it could not be stopped */
    bool timed_out;        /**< it was stopped because it ran for too long */
    bool claim_lost;       /**< it was stopped because the claim was lost */
    bool left_alive;       /**< a process of its tree could not be ended */
    bool merged;           /**< stdout and stderr are one, in streams[0] */
    cli_stream streams[2]; /**< stdout, stderr */
    uint64_t max_time_ms;  /**< how long it may run; 0: for as long as it likes */
    uint64_t stop_at;      /**< when it will have run for so long; 0: never */
    uint64_t linger_until; /**< what CMD left behind may end by itself until then; 0: CMD runs */
    uint64_t kill_at;      /**< when patience ends; 0: nobody is waited for */
    uint64_t give_up_at;   /**< when it is of no use to wait on; 0: nobody was killed */
} cli_child;

/** What is started, and within which bounds. */
typedef struct {
    char *const *program; /**< the name and the arguments, with a NULL behind them */
    char **environment;   /**< likewise */
    size_t limit;         /**< how much of each stream is kept */
    uint64_t lease_ms;    /**< of the claim */
    uint64_t max_time_ms; /**< it is stopped then; 0: never */
    bool terminal;        /**< it gets a pseudo-terminal for idem's own */
} cli_child_plan;

/** Starts a program with idem's own stdin, or with a pseudo-terminal. cli_signals_catch() comes
 *  before.
 *  @param[out] child   end it with cli_child_clear()
 *  @return CLI_OK; after saying why not, CLI_NO_PROGRAM, CLI_NOT_EXECUTABLE or CLI_INTERNAL */
int cli_child_start(const cli_child_plan *plan, cli_child *child);

/** Follows the child to its end: passes its output and our signals on, stops it when the claim is
 *  lost or its time is over, and ends what it has left behind. */
void cli_child_follow(cli_child *child, const idem_claim *claim);

/** Frees what a child that has ended leaves. */
void cli_child_clear(cli_child *child);

#endif
