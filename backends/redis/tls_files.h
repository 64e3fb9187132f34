/* SPDX-License-Identifier: MIT */
/* The files that a store over TLS takes its certificates from. */
#ifndef IDEM_REDIS_TLS_FILES_H
#define IDEM_REDIS_TLS_FILES_H

#include "openssl.h"
#include "tls.h"

#include <sys/stat.h>

#define IDEM__REDIS_TLS_FILES 3u

/** Of a file that was read. All zero: none. */
typedef struct {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
} idem__redis_tls_stamp;

/** All zero at first. */
typedef struct {
    idem__redis_tls_stamp stamps[IDEM__REDIS_TLS_FILES];
} idem__redis_tls_files;

/**
 * Makes a context from the files, unless there is one and no file has changed since.
 *
 * @param[in,out] context  the last one, or NULL; it is freed when a new one is tried
 * @param[out] anew        a new one was tried: sessions of the last one are worth nothing
 * @return IDEM_ERR_UNAVAILABLE, permanent where the files were never right; IDEM_ERR_NO_MEMORY
 */
int idem__redis_tls_files_load(idem__redis_tls_files *files, const idem__redis_tls_options *options,
                               SSL_CTX **context, bool *anew, idem__redis_fault *fault);

#endif
