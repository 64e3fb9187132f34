/* SPDX-License-Identifier: MIT */
/* The signals of `idem run`: caught, and read like input. */
#ifndef IDEM_CLI_SIGNALS_H
#define IDEM_CLI_SIGNALS_H

#include <stdbool.h>

/** What arrived. */
typedef struct {
    int number;
    bool from_terminal; /**< the terminal has sent it to the whole foreground group */
} cli_signal;

/** Makes writing to a closed pipe an error. Once, at the start. */
void cli_signals_ignore_pipe(void);

/** From now on signals wait to be read: SIGCHLD, and the ones that are passed on to CMD unless the
 *  caller had them ignored. @return false with errno set */
bool cli_signals_catch(void);

/** A descriptor that can be read when a signal waits. */
int cli_signals_fd(void);

/** Takes the next signal. @return false if none waits */
bool cli_signals_next(cli_signal *signal);

/** True for those that ask a program to end. */
bool cli_signal_ends(int number);

/** In the parent, around fork(): holds all signals back, and lets them through again. */
void cli_signals_hold(void);
void cli_signals_let_through(void);

/** In the child: everything as it was when the command was started. Async-signal-safe. */
void cli_signals_restore(void);

#endif
