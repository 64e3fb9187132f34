/* SPDX-License-Identifier: MIT */
/* Is what a power failure has left what it has to be? */
#ifndef IDEM_TESTS_DISK_VERIFY_H
#define IDEM_TESTS_DISK_VERIFY_H

#include "history.h"

typedef struct {
    const char *folder;
    const char *options; /**< of the store's URL */
    size_t moment;       /**< when the power failed */
    bool all;            /**< what was acknowledged has to be there */
    bool in_order;       /**< one caller made all calls, and none failed */
} verification;

/** Looks in a process of its own, through the library over the system's VFS, and then works on with
 *  the store. What keys were found in goes into `told->observed`.
 *  @return false: `told->failure` says what is wrong */
bool verify(const verification *what);

/** Runs a function in a child process. @return true if it ended with 0 */
bool in_child(void (*run)(const void *user), const void *user);

#endif
