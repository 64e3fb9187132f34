/* SPDX-License-Identifier: MIT */
/* CMD as a child process: started, followed to its end, its output taken in. */
#ifndef IDEM_CLI_CHILD_H
#define IDEM_CLI_CHILD_H

#include "keeper.h"
#include "stream.h"
#include "witness.h"

typedef struct {
    cli_keeper keeper;
    cli_witness witness;
    int code;              /**< how it ended: its exit code, or CLI_SIGNAL + the signal */
    int signal;            /**< the one that it died of; 0: none */
    bool ended;            /**< false if it could not be stopped */
    bool claim_lost;       /**< it was stopped because the claim was lost */
    bool left_alive;       /**< a process of its tree could not be ended */
    bool merged;           /**< stdout and stderr are one, in streams[0] */
    cli_stream streams[2]; /**< stdout, stderr */
    uint64_t linger_until; /**< what CMD left behind may end by itself until then; 0: CMD runs */
    uint64_t kill_at;      /**< when patience ends; 0: nobody is waited for */
    uint64_t give_up_at;   /**< when it is of no use to wait on; 0: nobody was killed */
} cli_child;

/** Starts a program with idem's own stdin. cli_signals_catch() comes before.
 *  @param program      the name and the arguments, with a NULL behind them
 *  @param environment  likewise
 *  @param limit        how much of each stream is kept
 *  @param lease_ms     of the claim
 *  @param[out] child   end it with cli_child_clear()
 *  @return CLI_OK; after saying why not, CLI_NO_PROGRAM, CLI_NOT_EXECUTABLE or CLI_INTERNAL */
int cli_child_start(char *const *program, char **environment, size_t limit, uint64_t lease_ms,
                    cli_child *child);

/** Follows the child to its end: passes its output and our signals on, stops it when the claim is
 *  lost, and ends what it has left behind. */
void cli_child_follow(cli_child *child, const idem_claim *claim);

/** Frees what a child that has ended leaves. */
void cli_child_clear(cli_child *child);

#endif
