/* SPDX-License-Identifier: MIT */
/*
 * Schedules in the conformance suite's frame: `one` and `other` are two handles on one store,
 * through the faulty backend, and something can be made to happen right in front of an operation.
 */
#ifndef IDEM_TESTS_SCHEDULES_H
#define IDEM_TESTS_SCHEDULES_H

#define WRAPPED_BY "faulty+"

#include "faulty.h"

#include "children.h"
#include "main.h"

/** What happens in between: a function, and how often it was called. */
typedef struct {
    void (*act)(void);
    unsigned times;
} meanwhile;

/** The hook: `user` is a ::meanwhile. */
void meanwhile_act(void *user, const idem_op *op);

/** Lets `what` happen in front of the next operation of this kind, whoever sends it. */
void in_front_of(idem_op_kind kind, meanwhile *what);

/** Lets it happen behind that operation, whose reply is then lost. */
void behind_a_lost(idem_op_kind kind, meanwhile *what);

void schedules_races(Suite *suite);
void schedules_replies(Suite *suite);
void schedules_forks(Suite *suite);
void schedules_leaders(Suite *suite);

/** Runs all schedules. @return the process's exit code */
int schedules_main(const conformance_backend *backend);

#endif
