/* SPDX-License-Identifier: MIT */
/* What goes wrong with a server, told in the library's words. */
#ifndef IDEM_POSTGRES_FAULT_H
#define IDEM_POSTGRES_FAULT_H

#include <idem/backend.h>

/** Why a call failed. All zero: it did not. */
typedef struct {
    idem_error error;
    bool permanent;   /**< repeating does not help */
    bool drop;        /**< the connection is of no more use */
    bool of_one_op;   /**< the other ops of the batch may succeed */
    bool of_lock;     /**< another transaction holds the row, or the key */
    bool no_writes;   /**< the server refuses changes, but can be read */
    bool no_table;    /**< the table is not there */
    char sqlstate[6]; /**< what the server has said; empty: it was no server */
} idem__postgres_fault;

/** Takes down a fault, unless there is one. @return the fault's IDEM_ERR code */
int idem__postgres_fault_set(idem__postgres_fault *fault, bool permanent, int code,
                             const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 4, 5)))
#endif
    ;

/** Hands a fault on as what a slot returns. @return its code, with IDEM_PERMANENT where that says
 *  something */
int idem__postgres_fault_report(const idem__postgres_fault *fault, idem_error *error);

/**
 * Takes down an SQLSTATE that a server has answered with. None of the server's own words are shown:
 * they may repeat what it was sent.
 *
 * @param name   the server in messages
 * @param table  the table in messages
 * @return the fault's IDEM_ERR code
 */
int idem__postgres_fault_take(idem__postgres_fault *fault, const char *name, const char *table,
                              const char *sqlstate);

#endif
