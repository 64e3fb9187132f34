/* SPDX-License-Identifier: MIT */
/* Sockets of the loopback interface and of the file system, for relays and false servers. */
#include "loopback.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_in address_of(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)},
                                  .sin_port = htons((unsigned short)port)};
    return address;
}

int loopback_listen(int backlog, int *port)
{
    struct sockaddr_in address = address_of(0);
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
        getsockname(fd, (struct sockaddr *)&address, &len) == 0 && listen(fd, backlog) == 0) {
        *port = ntohs(address.sin_port);
        return fd;
    }
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

int loopback_dial(int port)
{
    struct sockaddr_in address = address_of(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) {
        loopback_send_at_once(fd);
        return fd;
    }
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

/* @param use  bind() or connect() */
static int socket_at(const char *path, int (*use)(int, const struct sockaddr *, socklen_t))
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (strlen(path) >= sizeof address.sun_path)
        errno = ENAMETOOLONG;
    else
        memcpy(address.sun_path, path, strlen(path));
    if (fd >= 0 && address.sun_path[0] &&
        use(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

int loopback_listen_path(int backlog, const char *path)
{
    int fd = socket_at(path, bind);
    if (fd >= 0 && listen(fd, backlog) == 0)
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

int loopback_dial_path(const char *path)
{
    return socket_at(path, connect);
}

int loopback_free_port(void)
{
    int port = -1;
    int fd = loopback_listen(1, &port);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0 ? port : -1;
}

void loopback_send_at_once(int fd)
{
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

bool loopback_send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t count = send(fd, data, len, MSG_NOSIGNAL);
        if (count <= 0 && errno != EINTR)
            return false;
        data += count > 0 ? count : 0;
        len -= count > 0 ? (size_t)count : 0;
    }
    return true;
}
