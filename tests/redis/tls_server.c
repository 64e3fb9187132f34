/* SPDX-License-Identifier: MIT */
/* Certificates are made anew for each program, so that none ever runs out. */
#include "tls_server.h"

#include "loopback.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 24

/* Never started: its folder is what is wanted, and that it goes at exit. */
static const child_kind kind = {.name = "tls"};
static child_process scratch;

static _Noreturn void fail(const char *what)
{
    (void)fprintf(stderr, "tls_server: %s\n", what);
    abort();
}

static void run(const char *format)
{
    char command[600];
    (void)snprintf(command, sizeof command, format, scratch.folder);
    if (system(command) != 0) /* NOLINT(cert-env33-c): the test's own words */
        fail(command);
}

typedef struct {
    char port[16], certificate[160], key[160], ca[160];
} words;

static void start(tls_server *self, const char *certificate, const char *const *more)
{
    words own;
    const char *options[WORDS_MAX] = {"--tls-port",         own.port,         "--tls-cert-file",
                                      own.certificate,      "--tls-key-file", own.key,
                                      "--tls-ca-cert-file", own.ca,           NULL};
    size_t count = 8;
    (void)snprintf(own.port, sizeof own.port, "%d", self->port);
    (void)snprintf(own.certificate, sizeof own.certificate, "%s/%s.crt", scratch.folder,
                   certificate);
    (void)snprintf(own.key, sizeof own.key, "%s/%s.key", scratch.folder, certificate);
    (void)snprintf(own.ca, sizeof own.ca, "%s/ca.crt", scratch.folder);
    if (!more) {
        options[count++] = "--tls-auth-clients";
        options[count++] = "no";
    }
    for (; more && *more && count < WORDS_MAX - 1; more++)
        options[count++] = *more;
    if (self->plain.port)
        server_again(&self->plain, options);
    else
        server_start(&self->plain, options);
}

const char *tls_certificates(void)
{
    if (scratch.owner)
        return scratch.folder;
    child_make(&scratch, &kind);
    run("sh " CERTIFICATES " %s");
    return scratch.folder;
}

void tls_server_start(tls_server *self, const char *certificate, const char *const *options)
{
    memset(self, 0, sizeof *self);
    (void)tls_certificates();
    self->port = loopback_free_port();
    (void)snprintf(self->url, sizeof self->url, "rediss://localhost:%d?tls_ca=%s/ca.crt",
                   self->port, scratch.folder);
    start(self, certificate, options);
}

void tls_server_again(tls_server *self)
{
    start(self, "server", NULL);
}
