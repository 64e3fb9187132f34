/* SPDX-License-Identifier: MIT */
/* CMD: executed, or why it can't be. */
#ifndef IDEM_CLI_LAUNCH_H
#define IDEM_CLI_LAUNCH_H

#include "report.h"
#include "terminal.h"

#include <sys/types.h>

/** What is to be executed, and with what. */
typedef struct {
    char *const *program; /**< the name and the arguments, with a NULL behind them */
    char **environment;   /**< likewise */
    int out;              /**< CMD's stdout */
    int err;              /**< CMD's stderr; may be the same */
    /** Modes of idem's own terminal, if `out` is CMD's pseudo-terminal; otherwise NULL. */
    const cli_terminal_modes *terminal;
    int gate[2]; /**< a pipe; CMD waits until nobody else has its writing end */
    int report;  /**< the writing end of a pipe; closed once CMD is executed */
} cli_launch;

/** Forks, with all signals held back, and executes CMD in the child. The report says whether it
 *  could be. @return the child; -1 if there is none, with the reason in the report */
pid_t cli_launch_fork(const cli_launch *launch);

/** Puts a reason into the report. Async-signal-safe. */
void cli_launch_fail(const cli_launch *launch, int problem);

/** Waits for the report. @param fd  the reading end of its pipe  @return CLI_OK; after saying why
 *  CMD could not be executed, CLI_NO_PROGRAM, CLI_NOT_EXECUTABLE or CLI_INTERNAL */
int cli_launch_result(const cli_launch *launch, int fd);

#endif
