/* SPDX-License-Identifier: MIT */
/* What goes wrong with a server, told in the library's words. */
#ifndef IDEM_REDIS_FAULT_H
#define IDEM_REDIS_FAULT_H

#include <idem/backend.h>

/** Why a call failed. All zero: it did not. */
typedef struct {
    idem_error error;
    bool permanent; /**< repeating does not help */
    bool drop;      /**< the connection is of no more use */
    bool mute;      /**< the server answers nothing more on it */
    bool distrust;  /**< answers were out of step: those before it prove nothing either */
    bool look;      /**< of a refused change: what is there may answer it as well */
    bool stale;     /**< what this server holds may be older than what was acknowledged */
    bool rights;    /**< the user lacks a right */
} idem__redis_fault;

/** Takes down a fault, unless there is one. @return the fault's IDEM_ERR code */
int idem__redis_fault_set(idem__redis_fault *fault, bool permanent, int code, const char *format,
                          ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 4, 5)))
#endif
    ;

/**
 * Takes down what a server has answered instead of doing what it was told: nothing was changed.
 *
 * @param name  the server in messages
 * @param key   what the command was about; empty: no key
 * @param text  the server's words, which are shown only where they can't hold a secret
 * @return the fault's IDEM_ERR code
 */
int idem__redis_fault_take(idem__redis_fault *fault, const char *name, idem_bytes key,
                           idem_bytes text);

/** The same for an answer to the greeting, which may repeat the password: its words are not
 *  shown. */
int idem__redis_fault_take_unquoted(idem__redis_fault *fault, const char *name, idem_bytes text);

/** True if the server's words begin with these, behind what scripts put in front of them. */
bool idem__redis_fault_is(idem_bytes text, const char *beginning);

#endif
