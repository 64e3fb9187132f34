/* SPDX-License-Identifier: MIT */
/*
 * From an address to a connected socket: TCP, trying the addresses of a host one after the other
 * with a fair share of the time each, or a unix socket. No descriptor outlives exec(), and none is
 * below
 * 3. What getaddrinfo() opens while it looks a name up is the C library's, and closed when it
 * returns; a host that is written as a number opens nothing.
 *
 * A name may take until the deadline, and a connection no longer than connect_timeout behind that:
 * a lookup that is slower than connect_timeout would else never be waited for.
 */
#include "dial.h"

#include "resolve.h"

#include <errno.h>
#include <fcntl.h>
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

/* What a person can do. A process without descriptors looks no better for a server that is
   started. */
static const char *advice(int number)
{
    switch (number) {
    case EACCES:
    case EPERM:
        return "let this user and this process connect to it";
    case EMFILE:
        return "raise this process's limit of open files (ulimit -n)";
    case ENFILE:
        return "raise this machine's limit of open files (fs.file-max)";
    case ENOMEM:
    case ENOBUFS:
        return "free memory of this machine";
    case EADDRNOTAVAIL:
        return "this machine has no port left for it, or the URL's host is none";
    case EAGAIN:
        return "it takes no more connections now";
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
        return "look at the network between, or correct the URL";
    default:
        return "start it, or correct the URL";
    }
}

static int refuse(const idem__redis *self, int number, idem__redis_fault *fault)
{
    char buf[80];
    const char *why = strerror_r(number, buf, sizeof buf) == 0 ? buf : "unknown error";
    return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                 "%s can't be reached (%.60s): %s; no connection was made",
                                 self->name, why, advice(number));
}

static int refuse_late(const idem__redis *self, bool crowded, idem__redis_fault *fault)
{
    if (crowded)
        return idem__redis_fault_set(
            fault, false, IDEM_ERR_UNAVAILABLE,
            "%s can't be found: too many other names are being looked up, and the name server does "
            "not answer: look at it, or write an address",
            self->name);
    return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                 "%s can't be found: the name server did not answer by the "
                                 "deadline: look at it, write an address, or set a longer timeout",
                                 self->name);
}

static int refuse_host(const idem__redis *self, const idem__redis_addresses *found,
                       idem__redis_fault *fault)
{
    if (found->late)
        return refuse_late(self, found->crowded, fault);
    if (found->code == EAI_SYSTEM && found->number == EAGAIN)
        return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                     "%s can't be found: there is no thread to look it up with: "
                                     "raise this user's limit of them (ulimit -u)",
                                     self->name);
    if (found->code == EAI_SYSTEM && found->number != 0)
        return refuse(self, found->number, fault);
    return idem__redis_fault_set(
        fault, false, found->code == EAI_MEMORY ? IDEM_ERR_NO_MEMORY : IDEM_ERR_UNAVAILABLE,
        "%s can't be found (%.60s): %s", self->name, gai_strerror(found->code),
        found->code == EAI_AGAIN
            ? "look whether the name server can be reached, or correct the URL's host"
            : "correct the URL's host");
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

/* The addresses are shared, and know no port. @return 0 or an errno */
static int dial_one(const struct addrinfo *at, uint32_t port, uint64_t deadline_ms, int *fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } address;
    if (at->ai_addrlen > sizeof address)
        return EAFNOSUPPORT;
    memcpy(&address, at->ai_addr, at->ai_addrlen);
    if (at->ai_family == AF_INET)
        address.v4.sin_port = htons((uint16_t)port);
    else if (at->ai_family == AF_INET6)
        address.v6.sin6_port = htons((uint16_t)port);
    else
        return EAFNOSUPPORT;
    return connect_to(at->ai_family, &address.any, at->ai_addrlen, deadline_ms, fd);
}

static int dial_all(const struct addrinfo *list, uint32_t port, uint64_t deadline_ms, int *fd)
{
    int number = ETIMEDOUT;
    uint64_t left = 0;
    for (const struct addrinfo *at = list; at; at = at->ai_next)
        left++;
    for (const struct addrinfo *at = list; at && number != 0; at = at->ai_next, left--) {
        uint64_t now_ms = idem_monotonic_ms();
        uint64_t share_ms = now_ms < deadline_ms ? (deadline_ms - now_ms) / left : 0;
        number = dial_one(at, port, now_ms + share_ms, fd);
    }
    return number;
}

/* When a connection that is begun now has to be ready. */
static uint64_t limit_of(const idem__redis *self, uint64_t deadline_ms)
{
    uint64_t limit_ms =
        idem_monotonic_ms() + self->config->values[IDEM__REDIS_CONNECT_TIMEOUT].number;
    return limit_ms < deadline_ms ? limit_ms : deadline_ms;
}

int idem__redis_dial(const idem__redis *self, uint64_t deadline_ms, uint64_t *limit_ms, int *fd,
                     idem__redis_fault *fault)
{
    idem__redis_addresses found;
    *limit_ms = limit_of(self, deadline_ms);
    if (!self->host)
        return dial_unix(self, *limit_ms, fd, fault);
    if (!idem__redis_resolve(self->host, deadline_ms, &found))
        return refuse_host(self, &found, fault);
    *limit_ms = limit_of(self, deadline_ms);
    int number = dial_all(found.list, self->port, *limit_ms, fd);
    idem__redis_resolve_free(&found);
    if (number != 0)
        return refuse(self, number, fault);
    set_tcp_options(*fd);
    return IDEM_OK;
}
