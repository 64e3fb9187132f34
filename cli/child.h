/* SPDX-License-Identifier: MIT */
/* CMD as a child process: started, followed to its end, its output taken in. */
#ifndef IDEM_CLI_CHILD_H
#define IDEM_CLI_CHILD_H

#include "report.h"
#include "stream.h"

#include <sys/types.h>

typedef struct {
    pid_t pid;
    bool ended;
    int code;              /**< how it ended: its exit code, or CLI_SIGNAL + the signal */
    bool claim_lost;       /**< it was stopped because the claim was lost */
    cli_stream streams[2]; /**< stdout, stderr */
} cli_child;

/** Starts a program with idem's own stdin. cli_signals_catch() comes before.
 *  @param program      the name and the arguments, with a NULL behind them
 *  @param environment  likewise
 *  @param limit        how much of each stream is kept
 *  @param[out] child   end it with cli_child_clear()
 *  @return CLI_OK; after saying why not, CLI_NO_PROGRAM, CLI_NOT_EXECUTABLE or CLI_INTERNAL */
int cli_child_start(char *const *program, char **environment, size_t limit, cli_child *child);

/** Follows the child to its end: passes its output and our signals on, and stops it when the
 *  claim is lost. */
void cli_child_follow(cli_child *child, const idem_claim *claim);

/** Frees what a child that has ended leaves. */
void cli_child_clear(cli_child *child);

#endif
