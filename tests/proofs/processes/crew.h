/* SPDX-License-Identifier: MIT */
/*
 * The worker processes of a run, and what befalls them: killed with SIGKILL at random moments, stopped
 * with SIGSTOP for longer than their leases and continued, and started again. Every process is ended
 * by its own number, and the kernel ends it if the driver dies.
 */
#ifndef IDEM_TESTS_CREW_H
#define IDEM_TESTS_CREW_H

#include "dice.h"

#include <stddef.h>
#include <sys/types.h>

#define CREW_SIZE 8

typedef struct {
    pid_t pid;            /* 0: none */
    uint64_t continue_at; /* when a stopped one goes on; 0: it runs */
    bool killed;          /* by us */
} member;

typedef struct {
    const char *program;
    const char *folder;
    const char *url;
    const char *breakage;
    uint64_t seed;
    dice dice;
    unsigned next_number;
    member members[CREW_SIZE];
    uint64_t next_blow; /* when somebody is killed or stopped next */
    size_t started;
    size_t killed;
    size_t stopped;
    size_t died; /* by themselves, as workers do */
    size_t failed;
} crew;

/** Starts whoever is missing, and lets the next thing befall one of them. Called again and again. */
void crew_tend(crew *self);

/** Ends all of them. */
void crew_end(crew *self);

/** Runs one more worker that looks at every key, and waits for its end. @return false if it failed */
bool crew_look(crew *self);

#endif
