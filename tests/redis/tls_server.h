/* SPDX-License-Identifier: MIT */
/* A server that speaks TLS, beside its plain port, which the test itself uses. */
#ifndef IDEM_TESTS_TLS_SERVER_H
#define IDEM_TESTS_TLS_SERVER_H

#include "server.h"

typedef struct {
    server plain;
    int port;
    char url[SERVER_URL_SIZE]; /* rediss://localhost:port?tls_ca=… */
} tls_server;

/** The folder with what certificates.sh makes, once for the program: it begins in main(). */
const char *tls_certificates(void);

/** Starts it with a certificate of certificates.sh's.
 *  @param options  more of its settings, NULL at the end; may be NULL */
void tls_server_start(tls_server *self, const char *certificate, const char *const *options);

/** Starts it again on the same ports, after server_stop() or server_kill() of `plain`. */
void tls_server_again(tls_server *self);

#endif
