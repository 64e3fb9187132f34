/* SPDX-License-Identifier: MIT */
/* Certificates are made anew for each program, so that none ever runs out. */
#include "tls_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WORDS_MAX 24

static char folder[64];
static pid_t maker;

static void fail(const char *what)
{
    (void)fprintf(stderr, "tls_server: %s\n", what);
    abort();
}

int tls_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, len) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        fail("no port is free");
    (void)close(fd);
    return ntohs(address.sin_port);
}

static void run(const char *format)
{
    char command[600];
    (void)snprintf(command, sizeof command, format, folder);
    if (system(command) != 0) /* NOLINT(cert-env33-c): the test's own words */
        fail(command);
}

typedef struct {
    char port[16], certificate[96], key[96], ca[96];
} words;

static void start(tls_server *self, const char *certificate, const char *const *more)
{
    words own;
    const char *options[WORDS_MAX] = {"--tls-port",         own.port,         "--tls-cert-file",
                                      own.certificate,      "--tls-key-file", own.key,
                                      "--tls-ca-cert-file", own.ca,           NULL};
    size_t count = 8;
    (void)snprintf(own.port, sizeof own.port, "%d", self->port);
    (void)snprintf(own.certificate, sizeof own.certificate, "%s/%s.crt", folder, certificate);
    (void)snprintf(own.key, sizeof own.key, "%s/%s.key", folder, certificate);
    (void)snprintf(own.ca, sizeof own.ca, "%s/ca.crt", folder);
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

static void remove_certificates(void)
{
    if (getpid() == maker)
        run("rm -rf %s");
}

const char *tls_certificates(void)
{
    if (folder[0])
        return folder;
    (void)snprintf(folder, sizeof folder, "/tmp/idem-tls-XXXXXX");
    if (!mkdtemp(folder))
        fail("no folder");
    maker = getpid();
    (void)atexit(remove_certificates);
    run("sh " CERTIFICATES " %s");
    return folder;
}

void tls_server_start(tls_server *self, const char *certificate, const char *const *options)
{
    memset(self, 0, sizeof *self);
    (void)tls_certificates();
    self->port = tls_free_port();
    (void)snprintf(self->url, sizeof self->url, "rediss://localhost:%d?tls_ca=%s/ca.crt",
                   self->port, folder);
    start(self, certificate, options);
}

void tls_server_again(tls_server *self)
{
    start(self, "server", NULL);
}
