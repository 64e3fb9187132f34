/* SPDX-License-Identifier: MIT */
/* A descriptor that is readable while it is raised, for somebody's poll loop. */
#ifndef IDEM_CORE_NOTIFIER_H
#define IDEM_CORE_NOTIFIER_H

#include <idem/idem.h>

typedef struct {
    int fd;     /* to poll; -1: there is none */
    int writer; /* where it is raised: the same one, or a pipe's other end */
    bool raised;
} idem__notifier;

/** @return IDEM_ERR_UNAVAILABLE: no descriptor is left */
int idem__notifier_open(idem__notifier *wake, idem_error *error);
void idem__notifier_close(idem__notifier *wake);

/** Makes it readable, or not. One system call each, and none if it is so already. The caller keeps
 *  others away. */
void idem__notifier_signal(idem__notifier *wake);
void idem__notifier_clear(idem__notifier *wake);

/** In the child of a fork(), where the descriptor is shared with the parent: puts a new,
 *  unsignalled one under its number. If none can be made, the notifier has none any more. */
void idem__notifier_renew(idem__notifier *wake);

#endif
