/* SPDX-License-Identifier: MIT */
/* `idem run --tty`: a pseudo-terminal for CMD, between it and idem's own terminal. */
#ifndef IDEM_CLI_TERMINAL_H
#define IDEM_CLI_TERMINAL_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

#define CLI_TERMINAL_TYPED_MAX 1024

/** The modes of idem's own terminal: as they were, and while CMD has one. */
typedef struct {
    struct termios original;
    struct termios raw;
} cli_terminal_modes;

typedef struct {
    int master; /**< what is typed goes here; -1: CMD has pipes */
    int slave;  /**< CMD's end, until CMD has it */
    bool ended; /**< nothing more is typed, or taken */
    cli_terminal_modes modes;
    char typed[CLI_TERMINAL_TYPED_MAX]; /**< what was read and waits to be passed on */
    size_t typed_at;
    size_t typed_len;
} cli_terminal;

/** No terminal: it can be asked and closed. */
void cli_terminal_init(cli_terminal *terminal);

/** True if idem has a terminal for input and output. */
bool cli_terminal_is_there(void);

/** Makes a pseudo-terminal with the modes and the size of idem's own.
 *  @param[out] output  where CMD's output is read; the caller's
 *  @return false with errno set */
bool cli_terminal_open(cli_terminal *terminal, int *output);

/** CMD was started: idem's own terminal becomes raw, so that every key is CMD's. From here on until
 *  the end, its modes are given back whenever idem stops, and its size is passed on. */
void cli_terminal_begin(cli_terminal *terminal);

/** Gives idem's own terminal its modes back, and closes what is open. May be called twice. */
void cli_terminal_end(cli_terminal *terminal);

/** What it waits for: keys, and room to pass them on. */
void cli_terminal_wants(const cli_terminal *terminal, struct pollfd wants[2]);

/** Does what can be done without waiting, after poll() has filled in `ready`. */
void cli_terminal_step(cli_terminal *terminal, const struct pollfd ready[2]);

/** In CMD, before it is executed: the pseudo-terminal is its own. Async-signal-safe.
 *  @return false with errno set */
bool cli_terminal_own(int slave);

/** In the keeper: idem was killed and could not give the modes back. They are, unless somebody has
 *  set others since. */
void cli_terminal_rescue(const cli_terminal_modes *modes);

#endif
