/* SPDX-License-Identifier: MIT */
/* The test kit's faulty backend under the short names that the tests here use. */
#ifndef IDEM_TESTS_FAULTY_H
#define IDEM_TESTS_FAULTY_H

#include <idem/testkit.h>

#include <stdio.h>
#include <stdlib.h>

#define FAULTY_OPEN        IDEM_FAULT_OPEN
#define FAULTY_SCAN        IDEM_FAULT_SCAN
#define FAULTY_PURGE       IDEM_FAULT_PURGE
#define FAULTY_CHECK       IDEM_FAULT_CHECK
#define FAULTY_PLACES      IDEM_FAULT_PLACES
#define FAULTY_NONE        IDEM_FAULT_NONE
#define FAULTY_BEFORE      IDEM_FAULT_BEFORE
#define FAULTY_AFTER       IDEM_FAULT_AFTER
#define FAULTY_LATE        IDEM_FAULT_LATE
#define FAULTY_DELAYED     IDEM_FAULT_DELAYED
#define FAULTY_GARBAGE     IDEM_FAULT_GARBAGE
#define FAULTY_ON          IDEM_FAULT_ON
#define FAULTY_EVERY_OP    IDEM_FAULT_EVERY_OP
#define FAULTY_EVERY_WRITE IDEM_FAULT_EVERY_WRITE
#define FAULTY_ALWAYS      IDEM_FAULT_ALWAYS
#define FAULTY(...)        IDEM_FAULT(__VA_ARGS__)

typedef idem_fault faulty_rule;
typedef idem_fault_kind faulty_kind;

#define faulty_register idem_testkit_register
#define faulty_add      idem_testkit_fault_add
#define faulty_clear    idem_testkit_faults_clear
#define faulty_seen     idem_testkit_fault_seen
#define faulty_hits     idem_testkit_fault_hits

/** Registers `faulty+…`; leaves the program if it can't be. */
static inline void faulty_require(void)
{
    idem_error error;
    if (faulty_register(&error) == IDEM_OK)
        return;
    (void)fprintf(stderr, "%s\n", error.message);
    exit(EXIT_FAILURE);
}

#endif
