/* SPDX-License-Identifier: MIT */
/* The faults behind the faulty backend: which one acts on an operation. */
#ifndef IDEM_TESTKIT_FAULTS_H
#define IDEM_TESTKIT_FAULTS_H

#include <idem/testkit.h>

/* A fault and what it has counted. */
typedef struct {
    idem_fault fault;
    uint64_t matched;
    uint64_t acted;
    uint64_t chance; /* the state of its random numbers */
} idem__testkit_counted;

/** Makes a fault ready to count, defaults filled in. */
void idem__testkit_fault_init(idem__testkit_counted *counted, const idem_fault *fault);

/** Counts an operation.
 *  @param own           of the store itself, behind all others; may be NULL
 *  @param[out] fault    a copy of the one that acts on it
 *  @return true if one acts */
bool idem__testkit_faults_match(idem__testkit_counted *own, unsigned place, idem_role role,
                                const idem_op *op, idem_fault *fault);

/** Keeps the faults whole across fork(), from now on. @return IDEM_ERR_INTERNAL */
int idem__testkit_faults_at_fork(idem_error *error);

#endif
