/* SPDX-License-Identifier: MIT */
/* The signals of `idem run`: caught, and read like input. */
#ifndef IDEM_CLI_SIGNALS_H
#define IDEM_CLI_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/** What arrived. */
typedef struct {
    int number;
    pid_t sender;       /**< 0: the kernel, or a process of another container */
    uint64_t at_ms;     /**< when, by the monotonic clock */
    bool from_terminal; /**< the terminal has sent it to the whole foreground group */
} cli_signal;

/** Once, at the start. Failing writes (closed pipes, the limit on a file's size) become an error
 *  instead of a signal, and signals end even the first process of a container. */
void cli_signals_set_up(void);

/** From now on signals wait to be read: SIGCHLD, and the ones that are passed on to CMD unless the
 *  caller had them ignored. @return false with errno set */
bool cli_signals_catch(void);

/** Catches them for a call that none should cut in two. The first that comes is kept; if the call
 *  is not over `grace_ms` later, the process dies of it. Called once more, it sets another time.
 *  cli_signals_catch() ends this for good, cli_signals_undefer() otherwise.
 *  @return false with errno set */
bool cli_signals_defer(int grace_ms);

/** The signal that has come since; 0: none. The process has to end then. */
int cli_signals_deferred(void);

/** Lets them act as before. @return cli_signals_deferred() */
int cli_signals_undefer(void);

/** In a process that was forked: from now on its signals wait in a pipe of its own.
 *  @return false with errno set */
bool cli_signals_own(void);

/** In a process that was forked: writes what arrives to `fd`, as ::cli_signal, without waiting. */
void cli_signals_send_to(int fd);

/** Holds back all signals but SIGCHLD, or all but the ones that are passed on to CMD. */
void cli_signals_let_through_only(bool children);

/** A descriptor that can be read when a signal waits. */
int cli_signals_fd(void);

/** Takes the next signal. @return false if none waits */
bool cli_signals_next(cli_signal *signal);

/** True for those that ask a program to end. */
bool cli_signal_ends(int number);

/** In the parent, around fork(): holds all signals back, and lets them through again. */
void cli_signals_hold(void);
void cli_signals_let_through(void);

/** Dies of a signal, without a core file.
 *  @return the exit code that stands for it, if the process lives on */
int cli_signals_die(int number);

/** In the child: everything as it was when the command was started. Async-signal-safe. */
void cli_signals_restore(void);

#endif
