/* SPDX-License-Identifier: MIT */
/*
 * The tree of processes below one that adopts orphans (PR_SET_CHILD_SUBREAPER), so that whatever
 * CMD has started is below it for as long as it lives. Two ways lead to them:
 *
 * - /proc gives the parent of each process. A process belongs to the tree if its line of parents
 *   ends at the root. That of a namespace of other processes is not used: its numbers mean others.
 * - Without /proc, waitid() tells the caller's own children from all other numbers. A grandchild
 *   is out of reach until its parent has ended, and is then a child itself.
 *
 * A signal goes to a process by its pidfd, where there are such, so that it never reaches another
 * one that has got the number meanwhile.
 */
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PID_MAX   4194304 /* the kernel's own limit */
#define DEPTH_MAX 100000  /* of a line of parents that changes while it is followed */

bool cli_tree_has_children(void)
{
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* A dead child is waited for first, and seen to then. */
static bool has_dead_child(void)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

/* ------------------------------------------------------------------------- one process */

/* CMD may have made a session of its own (setsid CMD); what it starts then is in that one. */
static bool is_detached(const cli_tree *tree, pid_t pid)
{
    pid_t session = getsid(pid);
    return pid != tree->command && session > 0 && session != tree->session &&
           session != tree->command;
}

static int open_handle(pid_t pid)
{
#ifdef SYS_pidfd_open
    return (int)syscall(SYS_pidfd_open, pid, 0);
#else
    (void)pid;
    return -1;
#endif
}

static int send_signal(pid_t pid, int handle, int number)
{
#ifdef SYS_pidfd_send_signal
    if (handle >= 0)
        return (int)syscall(SYS_pidfd_send_signal, handle, number, NULL, 0);
#else
    (void)handle;
#endif
    return kill(pid, number);
}

static bool was_asked(const cli_tree *tree, pid_t pid)
{
    for (size_t i = 0; i < tree->asked_count; i++) {
        if (tree->asked[i] == pid)
            return true;
    }
    return false;
}

/* More than can be remembered are not asked, but killed when the time has come. */
static bool ask(cli_tree *tree, pid_t pid)
{
    if (was_asked(tree, pid) || tree->asked_count == CLI_TREE_ASKED_MAX)
        return false;
    tree->asked[tree->asked_count++] = pid;
    return true;
}

void cli_tree_ask_command(cli_tree *tree)
{
    if (!ask(tree, tree->command))
        return;
    (void)kill(tree->command, SIGTERM);
    (void)kill(tree->command, SIGCONT);
}

static bool was_held(const cli_tree *tree, pid_t pid)
{
    bool all = tree->held_count == CLI_TREE_HELD_MAX;
    for (size_t i = 0; !all && i < tree->held_count; i++) {
        if (tree->held[i] == pid)
            return true;
    }
    return all;
}

static void remember_held(cli_tree *tree, pid_t pid)
{
    if (!was_held(tree, pid))
        tree->held[tree->held_count++] = pid;
}

static void signal_one(cli_tree *tree, pid_t pid, int handle, int number, cli_tree_state *state)
{
    state->living++;
    if (number == SIGTERM && !ask(tree, pid))
        return;
    if (number && send_signal(pid, handle, number) != 0 && errno == EPERM)
        state->refused++;
    if (number == SIGTERM)
        (void)send_signal(pid, handle, SIGCONT);
}

/* -------------------------------------------------------------------------- with /proc */

typedef struct {
    pid_t parent;
    bool alive;
    bool stopped;
} process;

/* A process whose first thread has ended is a zombie to look at, while others work on. */
static bool read_process(pid_t pid, process *found)
{
    char path[64];
    char text[1024];
    char status = 0;
    int threads = 0;
    int above = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, text, sizeof text - 1);
    (void)close(fd);
    text[got > 0 ? got : 0] = '\0';
    const char *behind_name = strrchr(text, ')');
    if (!behind_name ||
        sscanf(behind_name + 1,
               " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d", &status,
               &above, &threads) != 3)
        return false;
    found->parent = above;
    found->alive = (status != 'Z' && status != 'X') || threads > 1;
    found->stopped = status == 'T';
    return true;
}

static bool is_below(const cli_tree *tree, pid_t parent)
{
    process above;
    for (int depth = 0; parent > 1 && depth < DEPTH_MAX; depth++) {
        if (parent == tree->root)
            return true;
        if (!read_process(parent, &above))
            return false;
        parent = above.parent;
    }
    return parent == tree->root;
}

/* SIGSTOP and SIGCONT leave those alone that somebody else has stopped. */
static bool is_meant(cli_tree *tree, pid_t pid, int number, bool stopped)
{
    if (number == SIGCONT)
        return was_held(tree, pid);
    if (number == SIGSTOP && !stopped)
        remember_held(tree, pid);
    return number != SIGSTOP || !stopped;
}

static void look_at(cli_tree *tree, pid_t pid, int number, cli_tree_state *state)
{
    process found;
    if (pid == getpid())
        return;
    if (is_detached(tree, pid)) {
        bool is_child = read_process(pid, &found) && found.parent == tree->root;
        state->detached = state->detached || is_child;
        return;
    }
    int handle = number ? open_handle(pid) : -1;
    if (read_process(pid, &found) && found.alive &&
        (pid == tree->root || is_below(tree, found.parent)) &&
        is_meant(tree, pid, number, found.stopped))
        signal_one(tree, pid, handle, number, state);
    if (handle >= 0)
        (void)close(handle);
}

static bool is_own_proc(void)
{
    char text[32];
    ssize_t len = readlink("/proc/self", text, sizeof text - 1);
    if (len <= 0)
        return false;
    text[len] = '\0';
    return strtol(text, NULL, 10) == (long)getpid();
}

static bool look_in_proc(cli_tree *tree, int number, cli_tree_state *state)
{
    DIR *all = is_own_proc() ? opendir("/proc") : NULL;
    const struct dirent *entry;
    if (!all)
        return false;
    while ((entry = readdir(all)) != NULL) {
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid > 0 && pid <= PID_MAX)
            look_at(tree, (pid_t)pid, number, state);
    }
    (void)closedir(all);
    return true;
}

/* ----------------------------------------------------------------------- without /proc */

/* A child can't lose its number before its parent has waited for it. */
static void look_at_children(cli_tree *tree, pid_t first, pid_t last, int number,
                             cli_tree_state *state)
{
    for (pid_t pid = first; pid <= last; pid++) {
        siginfo_t info;
        memset(&info, 0, sizeof info);
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0)
            continue;
        if (is_detached(tree, pid))
            state->detached = true;
        else
            signal_one(tree, pid, -1, number, state);
    }
}

/* The number that a new process gets: numbers are given in turn. */
static pid_t newest(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    return pid;
}

/* All of the tree came after CMD; the numbers may have begun anew since then. */
static void look_without_proc(cli_tree *tree, int number, cli_tree_state *state)
{
    pid_t last = newest();
    if (last > tree->command)
        look_at_children(tree, tree->command, last, number, state);
    if (state->living || state->detached || !cli_tree_has_children())
        return;
    if (has_dead_child())
        state->living++;
    else
        look_at_children(tree, 1, PID_MAX, number, state);
}

cli_tree_state cli_tree_signal(cli_tree *tree, int number)
{
    cli_tree_state state = {0};
    bool found = look_in_proc(tree, number, &state);
    bool explained = found && (state.living || state.detached);
    if (explained || tree->root != getpid() || !cli_tree_has_children())
        return state;
    if (has_dead_child())
        state.living++;
    else
        look_without_proc(tree, number, &state);
    return state;
}

bool cli_tree_is_stopped(pid_t pid)
{
    process found;
    return is_own_proc() && read_process(pid, &found) && found.stopped;
}

bool cli_tree_hold(cli_tree *tree)
{
    cli_tree_state state = {0};
    return look_in_proc(tree, SIGSTOP, &state) && state.living > 0;
}

void cli_tree_let_go(cli_tree *tree)
{
    cli_tree_state state = {0};
    (void)look_in_proc(tree, SIGCONT, &state);
    tree->held_count = 0;
}
