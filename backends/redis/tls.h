/* SPDX-License-Identifier: MIT */
/* TLS between the wire and its socket. */
#ifndef IDEM_REDIS_TLS_H
#define IDEM_REDIS_TLS_H

#include "fault.h"

#include <sys/types.h>

typedef struct idem__redis_tls_ops idem__redis_tls_ops;

/** One connection's TLS, and what is kept for the next: certificates, and a session to resume. Only
 *  rediss.c names its functions, so that a build can be without TLS. */
typedef struct {
    const idem__redis_tls_ops *ops;
} idem__redis_tls;

struct idem__redis_tls_ops {
    /**
     * Shakes hands over a connected socket. Certificates are read anew when a file has changed, or
     * when the last time failed.
     *
     * @param[out] silent  the peer has said nothing, or something that is no TLS
     * @return IDEM_ERR_UNAVAILABLE; IDEM_ERR_NO_MEMORY; `fault` is left alone where `silent` is set
     */
    int (*start)(idem__redis_tls *tls, int fd, uint64_t deadline_ms, bool *silent,
                 idem__redis_fault *fault);

    /** Names the host that the next certificate has to be for. A session of another's is forgotten:
     *  a server that resumes one shows no certificate. */
    void (*aim)(idem__redis_tls *tls, const char *host);

    /** When the server's certificate ends, or ours. @return false: there is none */
    bool (*ends)(const idem__redis_tls *tls, bool own, int *days);

    /** Forgets the connection, without a word to the server. */
    void (*stop)(idem__redis_tls *tls);

    /** As send(), recv() and recv() with MSG_PEEK, without waiting: -1 with EAGAIN is "not now".
     *  Only a whole TLS record counts as sent: the server can't read a byte of one that is cut. */
    ssize_t (*send)(idem__redis_tls *tls, const void *data, size_t len);
    ssize_t (*receive)(idem__redis_tls *tls, void *data, size_t len);
    ssize_t (*peek)(idem__redis_tls *tls, void *data, size_t len);

    /** True if something was received that was not given out yet, whole or in part. */
    bool (*pending)(const idem__redis_tls *tls);

    /** What to poll for besides POLLIN. */
    short (*events)(const idem__redis_tls *tls);

    /** Takes down why the server has ended the connection, if it told by TLS. @return false: it did
     *  not */
    bool (*tell)(const idem__redis_tls *tls, idem__redis_fault *fault);

    void (*free)(idem__redis_tls *tls);
};

/** What a URL says of it; NULL where it says nothing. */
typedef struct {
    const char *server; /**< in messages */
    const char *host;   /**< the name or address that the certificate has to be for; NULL: aim()
                             names it */
    const char *ca;     /**< files */
    const char *cert;
    const char *key;
} idem__redis_tls_options;

/**
 * The first call loads OpenSSL. The options' texts have to stay.
 *
 * @return IDEM_ERR_UNSUPPORTED: it can't be loaded; IDEM_ERR_NO_MEMORY
 */
int idem__redis_tls_make(const idem__redis_tls_options *options, idem__redis_tls **made,
                         idem__redis_fault *fault);

#endif
