/* SPDX-License-Identifier: MIT */
/* TCP on the loopback interface, for what the tests put between the library and a server. */
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

/** Makes small pieces leave at once (TCP_NODELAY), each as a packet of its own. */
void loopback_send_at_once(int fd);

/** Sends all, however long it takes. @return false: the other side has gone */
bool loopback_send_all(int fd, const char *data, size_t len);

#endif
