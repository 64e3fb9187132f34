/* SPDX-License-Identifier: MIT */
/* Children of fork() in a test: they report by their exit code and through a pipe, and leave with
   _exit(): the tests, their teardown and the sanitizers' reports are the parent's. */
#ifndef IDEM_TESTS_CHILDREN_H
#define IDEM_TESTS_CHILDREN_H

#include "conformance.h"

#include <sys/types.h>

typedef struct {
    pid_t pid;
    int from; /* what the child writes */
} child;

/** For a child that was forked by hand: one that hangs ends by itself, and not by check's handler,
 *  which would end all of us. */
void limit_child(void);

/** Runs `work` in a child; its result is the exit code. NULL: the child ends at once. */
child start_child(int (*work)(int to));

/** Fails the test unless the child ends with 0. */
void join_child(const child *started);

void read_from(const child *started, void *buf, size_t size);
bool write_to(int to, const void *buf, size_t size);

/** Claims, completes and replays a key. @return 0, or the step that failed */
int whole_cycle(idem_store *store, const char *key, const char *response);

#endif
