/* SPDX-License-Identifier: MIT */
/* What goes wrong in SQLite, told in the library's words. */
#ifndef IDEM_SQLITE_FAULT_H
#define IDEM_SQLITE_FAULT_H

#include <idem/backend.h>

struct idem__sqlite;

/** Why a call failed. All zero: it did not. */
typedef struct {
    idem_error error;
    bool permanent; /**< repeating does not help */
    bool of_one_op; /**< the file may be fine for the other ops of the batch */
    bool of_lock;   /**< another connection has the lock, and nothing was done */
} idem__sqlite_fault;

/**
 * Takes down what SQLite has just reported.
 * @param code  what the failing call returned
 * @return the fault's IDEM_ERR code
 */
int idem__sqlite_fault_take(struct idem__sqlite *self, int code, idem__sqlite_fault *fault);

/** The same for a COMMIT, after which the change may be there all the same. */
int idem__sqlite_fault_take_commit(struct idem__sqlite *self, int code, idem__sqlite_fault *fault);

/** Hands a fault on as what a slot returns. @return its code, with IDEM_PERMANENT where that says
 *  something */
int idem__sqlite_fault_report(const idem__sqlite_fault *fault, idem_error *error);

/** Takes down a fault that is not SQLite's. @return `code` */
int idem__sqlite_fault_set(idem__sqlite_fault *fault, bool permanent, int code, const char *format,
                           ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 4, 5)))
#endif
    ;

#endif
