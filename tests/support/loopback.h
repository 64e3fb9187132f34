/* SPDX-License-Identifier: MIT */
/* Sockets of this machine, for what the tests put between the library and a server. */
#ifndef IDEM_TESTS_LOOPBACK_H
#define IDEM_TESTS_LOOPBACK_H

#include <stdbool.h>
#include <stddef.h>

/** Listens on a free port of 127.0.0.1. @param[out] port  which. @return the socket; -1: errno tells */
int loopback_listen(int backlog, int *port);

/** Connects to a port of 127.0.0.1; what is sent there leaves at once. @return the socket, or -1 */
int loopback_dial(int port);

/** A port that nobody listens at for now; -1: errno tells. */
int loopback_free_port(void);

/** The same with a unix socket at a path, which is not there yet. */
int loopback_listen_path(int backlog, const char *path);
int loopback_dial_path(const char *path);

/** Makes small pieces leave at once (TCP_NODELAY), each as a packet of its own. */
void loopback_send_at_once(int fd);

/** Sends all, however long it takes. @return false: the other side has gone */
bool loopback_send_all(int fd, const char *data, size_t len);

#endif
