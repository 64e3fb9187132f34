/* SPDX-License-Identifier: MIT */
/*
 * Connecting, without blocking but for the lookup of names. libpq makes its sockets itself, and
 * they must not get the numbers 0 to 2: where these are free they are taken meanwhile.
 *
 * Errors of a connection that is being made are told by SQLSTATE alone where a server has said
 * one: what servers say may repeat what they were told. libpq's own words are shown unless the
 * password is in them.
 */
#include "dial.h"

#include "target.h"
#include "wire.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define LOWEST 3

/* ------------------------------------------------------------------------------- descriptors */

static void hold_low(int held[LOWEST])
{
    for (int i = 0; i < LOWEST; i++) {
        held[i] = -1;
        if (fcntl(i, F_GETFD) < 0)
            held[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
    }
}

static void let_go(const int held[LOWEST])
{
    for (int i = 0; i < LOWEST; i++) {
        if (held[i] >= 0)
            (void)close(held[i]);
    }
}

void idem__postgres_hang_up(idem__postgres *self)
{
    if (self->pq) { /* else there never was a connection */
        idem__postgres_wire_forget(self, &self->own);
        if (self->conn)
            self->pq->PQfinish(self->conn);
    }
    self->conn = NULL;
    self->broken = false;
    self->late = false;
    self->sweep_failed = false; /* by then it may have passed */
    self->prepared = 0;
}

/* To finish a connection is to say good-bye to the server, which would end the parent's session. */
void idem__postgres_hang_up_child(idem__postgres *self)
{
    int fd = self->conn ? self->pq->PQsocket(self->conn) : -1;
    int null = fd >= 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0 && (null < 0 || dup2(null, fd) < 0)) {
        (void)close(fd); /* libpq's memory is lost, the parent's session is not */
        self->conn = NULL;
    }
    if (null >= 0)
        (void)close(null);
    idem__postgres_hang_up(self);
}

/* ------------------------------------------------------------------------------------ errors */

/* A line's SQLSTATE if that is all that it says behind the severity: see PQERRORS_SQLSTATE. */
static bool state_of(const char *line, size_t len, char state[6])
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (len < 8 || line[len - 6] != ' ' || line[len - 7] != ' ')
        return false;
    memcpy(state, line + len - 5, 5);
    state[5] = '\0';
    return strspn(state, digits) == 5;
}

static bool has_secret(const idem__postgres *self, const char *text)
{
    const char *password = self->config->password;
    return (password && *password && strstr(text, password)) || strstr(text, "password=") != NULL;
}

/* Says why an address would not do. */
static int judge(idem__postgres *self, const char *message, idem__postgres_fault *fault)
{
    char state[6];
    char line[200];
    char quoted[IDEM_QUOTE_SIZE];
    size_t len = strlen(message);
    while (len > 0 && message[len - 1] == '\n')
        len--;
    size_t begin = len;
    while (begin > 0 && message[begin - 1] != '\n')
        begin--;
    len -= begin;
    if (state_of(message + begin, len, state))
        return idem__postgres_fault_take(fault, self->name, self->table, state);
    (void)snprintf(line, sizeof line, "%.*s", (int)(len < sizeof line ? len : sizeof line - 1),
                   message + begin);
    if (has_secret(self, message))
        (void)snprintf(line, sizeof line, "no connection");
    const char *behind = strrchr(line, '"');     /* names of hosts and files are quoted */
    if (strstr(behind ? behind : line, "emory")) /* "out of memory", "Memory allocation failure" */
        return idem__postgres_fault_set(fault, true, IDEM_ERR_NO_MEMORY, "out of memory");
    const char *words = strstr(line, "failed: ");
    words = words ? words + strlen("failed: ") : line;
    bool option = strstr(message, "invalid connection option") ||
                  strstr(message, "invalid sslmode") || strstr(message, " value: \"");
    if (option)
        return idem__postgres_fault_set(fault, true, IDEM_ERR_ARGUMENT,
                                        "libpq does not take the URL's options (%s): correct them",
                                        idem_quote(idem_str(words), quoted));
    return idem__postgres_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                    "%s can't be reached (%s): start it, or correct the URL; no "
                                    "connection was made",
                                    self->name, idem_quote(idem_str(words), quoted));
}

static int too_late(idem__postgres *self, idem__postgres_fault *fault)
{
    return idem__postgres_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                    "%s did not answer in time: start it, or correct the URL; no "
                                    "connection was made",
                                    self->name);
}

/* -------------------------------------------------------------------------------- connecting */

static int poll_connection(idem__postgres *self, uint64_t deadline_ms, idem__postgres_fault *fault)
{
    const idem__pq *pq = self->pq;
    PostgresPollingStatusType want = PGRES_POLLING_WRITING;
    while (want != PGRES_POLLING_OK) {
        short events = want == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        if (!idem__postgres_wire_wait(pq->PQsocket(self->conn), events, deadline_ms))
            return too_late(self, fault);
        want = pq->PQconnectPoll(self->conn);
        if (want == PGRES_POLLING_FAILED)
            return judge(self, pq->PQerrorMessage(self->conn), fault);
    }
    return IDEM_OK;
}

static int connect_to(idem__postgres *self, const idem__postgres_address *address,
                      uint64_t deadline_ms, idem__postgres_fault *fault)
{
    const char *names[IDEM__POSTGRES_LIBPQ_MAX];
    const char *values[IDEM__POSTGRES_LIBPQ_MAX];
    const idem__pq *pq = self->pq;
    idem__postgres_target_words(self, address, names, values);
    self->conn = pq->PQconnectStartParams(names, values, 0);
    if (!self->conn)
        return idem__postgres_fault_set(fault, true, IDEM_ERR_NO_MEMORY, "out of memory");
    (void)pq->PQsetNoticeReceiver(self->conn, idem__postgres_wire_notice, self);
    (void)pq->PQsetErrorVerbosity(self->conn, PQERRORS_SQLSTATE);
    int rc = pq->PQstatus(self->conn) == CONNECTION_BAD
                 ? judge(self, pq->PQerrorMessage(self->conn), fault)
                 : poll_connection(self, deadline_ms, fault);
    if (rc == IDEM_OK && pq->PQsetnonblocking(self->conn, 1) != 0)
        rc = idem__postgres_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                      "%s: the connection was lost", self->name);
    if (rc)
        idem__postgres_hang_up(self);
    return rc;
}

/* A fault that may pass at one address counts for more than one that stays at another. */
static void keep_better(idem__postgres_fault *kept, const idem__postgres_fault *own)
{
    if (kept->error.code == IDEM_OK || (kept->permanent && !own->permanent))
        *kept = *own;
}

static int dial_all(idem__postgres *self, const idem__postgres_address *addresses, size_t count,
                    uint64_t deadline_ms, idem__postgres_fault *fault)
{
    idem__postgres_fault kept = {0};
    for (size_t i = 0; i < count; i++) {
        idem__postgres_fault own = {0};
        uint64_t now_ms = idem_monotonic_ms();
        uint64_t left_ms = now_ms < deadline_ms ? deadline_ms - now_ms : 0;
        uint64_t share_ms = left_ms / (count - i);
        if (connect_to(self, &addresses[i], now_ms + share_ms, &own) == IDEM_OK)
            return IDEM_OK;
        keep_better(&kept, &own);
    }
    if (fault->error.code == IDEM_OK)
        *fault = kept;
    return fault->error.code;
}

int idem__postgres_dial(idem__postgres *self, uint64_t deadline_ms, idem__postgres_fault *fault)
{
    idem__postgres_address addresses[IDEM__POSTGRES_ADDRESSES_MAX];
    int held[LOWEST];
    int code = 0;
    int rc;
    hold_low(held);
    size_t count = idem__postgres_target_addresses(self, addresses, &code);
    if (count > 0)
        rc = dial_all(self, addresses, count, deadline_ms, fault);
    else
        rc = idem__postgres_fault_set(
            fault, false, code == EAI_MEMORY ? IDEM_ERR_NO_MEMORY : IDEM_ERR_UNAVAILABLE,
            "%s can't be found (%.60s): correct the URL's host", self->name, gai_strerror(code));
    let_go(held);
    return rc;
}
