/* SPDX-License-Identifier: MIT */
/* The processes that CMD has started, and theirs: found, counted, signalled. */
#ifndef IDEM_CLI_TREE_H
#define IDEM_CLI_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/** How many processes are remembered, so that each is asked to stop once. */
#define CLI_TREE_ASKED_MAX 4096

/** How many are remembered that were stopped for a while; with more, all of the tree goes on. */
#define CLI_TREE_HELD_MAX 4096

typedef struct {
    pid_t root;    /**< whose descendants the tree is: the caller, or CMD */
    pid_t command; /**< CMD */
    pid_t session; /**< of CMD when it was started: a process with another one is left alone */
    size_t asked_count;
    pid_t asked[CLI_TREE_ASKED_MAX]; /**< those that have had a SIGTERM */
    size_t held_count;
    pid_t held[CLI_TREE_HELD_MAX]; /**< those that had a SIGSTOP and were not stopped before */
} cli_tree;

/** What a look at the tree has found. */
typedef struct {
    unsigned living;
    unsigned refused; /**< of these, how many must not be signalled (another user's) */
    bool detached;    /**< a child of the root is in a session of its own */
} cli_tree_state;

/** True if a process has children at this moment, dead ones included. The caller itself. */
bool cli_tree_has_children(void);

/** Asks CMD alone to stop; it will not be asked again. */
void cli_tree_ask_command(cli_tree *tree);

/** Sends a signal to all processes of the tree: SIGTERM to each once, and SIGCONT behind it, since
 *  a stopped process takes it only then; SIGKILL; 0 counts only.
 *  @return what lives, the root itself apart, as far as this system can tell */
cli_tree_state cli_tree_signal(cli_tree *tree, int number);

/** True if a process is stopped (SIGSTOP, ^Z). Without /proc nobody is. */
bool cli_tree_is_stopped(pid_t pid);

/** Stops what is at work of the tree, until cli_tree_let_go(). To be repeated: a process that has
 *  just begun may be missed.
 *  @return false if nothing was at work any more */
bool cli_tree_hold(cli_tree *tree);

/** Lets those go on that cli_tree_hold() has stopped, and nobody else. */
void cli_tree_let_go(cli_tree *tree);

#endif
