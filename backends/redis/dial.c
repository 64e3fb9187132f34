/* SPDX-License-Identifier: MIT */
/*
 * From an address to a connected socket: TCP, trying the addresses of a host one after the other
 * with a fair share of the time each, or a unix socket. No descriptor outlives exec(), and none is below
 * 3. What getaddrinfo() opens while it looks a name up is the C library's, and closed when it returns; a
 * host that is written as a number opens nothing.
 */
#include "dial.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A peer that is gone without a word is noticed after 60 s + 3 * 10 s of silence. */
#define KEEPALIVE_IDLE_S     60
#define KEEPALIVE_INTERVAL_S 10
#define KEEPALIVE_PROBES     3

/* Whatever the program has closed, the socket is none of its own three descriptors. */
static int make_socket(int family)
{
#if defined(SOCK_CLOEXEC) && defined(SOCK_NONBLOCK)
    return idem_descriptor_raise(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
#else
    int fd = idem_descriptor_raise(socket(family, SOCK_STREAM, 0));
    if (fd >= 0 && (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)) {
        (void)close(fd);
        return -1;
    }
    return fd;
#endif
}

static void set_option(int fd, int level, int option, int value)
{
    /* Without it the connection works as well, only later or slower. */
    (void)setsockopt(fd, level, option, &value, sizeof value);
}

static void set_tcp_options(int fd)
{
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
#if defined(TCP_KEEPIDLE) && defined(TCP_KEEPINTVL) && defined(TCP_KEEPCNT)
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
#endif
}

/* Waits for the outcome of a connect(). @return 0 or an errno */
static int wait_connected(int fd, uint64_t deadline_ms)
{
    int number = 0;
    short happened;
    socklen_t len = sizeof number;
    if (!idem__redis_wire_wait(fd, POLLOUT, deadline_ms, &happened))
        return ETIMEDOUT;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &len) != 0 ? errno : number;
}

/* @return 0 or an errno */
static int connect_to(int family, const struct sockaddr *address, socklen_t len,
                      uint64_t deadline_ms, int *connected)
{
    int fd = make_socket(family);
    if (fd < 0)
        return errno;
    int number = connect(fd, address, len) == 0 ? 0 : errno;
    if (number == EINPROGRESS || number == EINTR)
        number = wait_connected(fd, deadline_ms);
    if (number != 0)
        (void)close(fd);
    else
        *connected = fd;
    return number;
}

static int refuse(const idem__redis *self, int number, idem__redis_fault *fault)
{
    char buf[80];
    const char *why = strerror_r(number, buf, sizeof buf) == 0 ? buf : "unknown error";
    return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                 "%s can't be reached (%.60s): start it, or correct the URL; no "
                                 "connection was made",
                                 self->name, why);
}

static int dial_unix(const idem__redis *self, uint64_t deadline_ms, int *fd,
                     idem__redis_fault *fault)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(self->path);
    if (len >= sizeof address.sun_path)
        return idem__redis_fault_set(fault, true, IDEM_ERR_ARGUMENT,
                                     "%s: the path of a socket has at most %zu bytes", self->name,
                                     sizeof address.sun_path - 1);
    memcpy(address.sun_path, self->path, len);
    int number = connect_to(AF_UNIX, (const struct sockaddr *)&address, (socklen_t)sizeof address,
                            deadline_ms, fd);
    return number ? refuse(self, number, fault) : IDEM_OK;
}

static int dial_all(const struct addrinfo *list, uint64_t deadline_ms, int *fd)
{
    int number = ETIMEDOUT;
    uint64_t left = 0;
    for (const struct addrinfo *at = list; at; at = at->ai_next)
        left++;
    for (const struct addrinfo *at = list; at && number != 0; at = at->ai_next, left--) {
        uint64_t now_ms = idem_monotonic_ms();
        uint64_t share_ms = now_ms < deadline_ms ? (deadline_ms - now_ms) / left : 0;
        number = connect_to(at->ai_family, at->ai_addr, at->ai_addrlen, now_ms + share_ms, fd);
    }
    return number;
}

int idem__redis_dial(const idem__redis *self, uint64_t deadline_ms, int *fd,
                     idem__redis_fault *fault)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    char service[16];
    if (!self->host)
        return dial_unix(self, deadline_ms, fd, fault);
    (void)snprintf(service, sizeof service, "%u", (unsigned)self->port);
    int code = getaddrinfo(self->host, service, &hints, &list);
    if (code != 0)
        return idem__redis_fault_set(
            fault, false, code == EAI_MEMORY ? IDEM_ERR_NO_MEMORY : IDEM_ERR_UNAVAILABLE,
            "%s can't be found (%.60s): correct the URL's host", self->name, gai_strerror(code));
    int number = dial_all(list, deadline_ms, fd);
    freeaddrinfo(list);
    if (number != 0)
        return refuse(self, number, fault);
    set_tcp_options(*fd);
    return IDEM_OK;
}
