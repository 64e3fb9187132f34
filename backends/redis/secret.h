/* SPDX-License-Identifier: MIT */
/* A password that changes: in a file, or from the program. */
#ifndef IDEM_REDIS_SECRET_H
#define IDEM_REDIS_SECRET_H

#include "fault.h"

/** The longest password; tokens of cloud services have some 2 KiB. */
#define IDEM__REDIS_SECRET_MAX 8192u

typedef struct {
    char user[IDEM_CREDENTIALS_USER_MAX + 1u]; /**< empty: the URL's */
    size_t len;
    char text[IDEM__REDIS_SECRET_MAX + 2]; /* and a line break */
} idem__redis_secret;

/** Reads it, without the line break at its end. It has to be wiped, also when it fails.
 *  @param server  in messages */
int idem__redis_secret_read(idem__redis_secret *secret, const char *path, const char *server,
                            idem__redis_fault *fault);

/** Asks the program for it. The same holds. */
int idem__redis_secret_ask(idem__redis_secret *secret, const idem_config *config,
                           const char *server, idem__redis_fault *fault);

void idem__redis_secret_wipe(idem__redis_secret *secret);

#endif
