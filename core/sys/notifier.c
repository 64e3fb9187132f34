/* SPDX-License-Identifier: MIT */
/*
 * What a poll loop is woken by: an eventfd where there is one, else a pipe. Whether it is raised is
 * remembered, so that a batch of answers costs one write, however many they are. The caller holds a
 * lock, so none of it is a point of cancellation.
 */
#include "notifier.h"

#include "cancel.h"

#include <idem/backend.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#if defined(__linux__) && !defined(IDEM_WAKE_BY_PIPE)
#define WAKE_BY_EVENTFD 1
#include <sys/eventfd.h>
#else
static int set_flags(int fd)
{
    return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -1 : 0;
}
#endif

/* One function for both, since tests that build both count their coverage together. */
static int make(idem__notifier *wake)
{
#ifdef WAKE_BY_EVENTFD
    wake->fd = idem_descriptor_raise(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    wake->writer = wake->fd;
    return wake->fd < 0 ? -1 : 0;
#else
    int ends[2];
    wake->fd = -1;
    wake->writer = -1;
    if (pipe(ends))
        return -1;
    wake->fd = idem_descriptor_raise(ends[0]);
    wake->writer = idem_descriptor_raise(ends[1]);
    return set_flags(wake->fd) || set_flags(wake->writer) ? -1 : 0;
#endif
}

int idem__notifier_open(idem__notifier *wake, idem_error *error)
{
    wake->raised = false;
    if (make(wake) == 0)
        return IDEM_OK;
    idem__notifier_close(wake);
    return idem_error_set(error, IDEM_ERR_UNAVAILABLE,
                          "there is no file descriptor for the event loop to poll; close some, or "
                          "raise the limit on open files");
}

void idem__notifier_close(idem__notifier *wake)
{
    int cancel_state = idem__cancel_hold();
    if (wake->writer >= 0 && wake->writer != wake->fd)
        (void)close(wake->writer);
    if (wake->fd >= 0)
        (void)close(wake->fd);
    idem__cancel_restore(cancel_state);
    wake->fd = -1;
    wake->writer = -1;
}

/* Either end is non-blocking, and neither full nor empty when it comes to it: it can't fail but for
   a signal. */
void idem__notifier_signal(idem__notifier *wake)
{
    static const uint64_t one = 1;
    if (wake->raised || wake->fd < 0)
        return;
    wake->raised = true;
    int cancel_state = idem__cancel_hold();
    while (write(wake->writer, &one, sizeof one) < 0 && errno == EINTR) {
    }
    idem__cancel_restore(cancel_state);
}

void idem__notifier_clear(idem__notifier *wake)
{
    uint64_t read_in;
    if (!wake->raised)
        return;
    wake->raised = false;
    int cancel_state = idem__cancel_hold();
    while (read(wake->fd, &read_in, sizeof read_in) < 0 && errno == EINTR) {
    }
    idem__cancel_restore(cancel_state);
}

/* Puts `made` under another number than it has. A pipe's writer may have been given that number. */
static void move_to(idem__notifier *made, int number)
{
    bool one = made->writer == made->fd;
    if (!one && made->writer == number)
        made->writer = fcntl(number, F_DUPFD_CLOEXEC, number + 1);
    int moved = dup2(made->fd, number);
    (void)close(made->fd);
    if (one)
        made->writer = moved;
    made->fd = moved;
    if (moved >= 0)
        (void)fcntl(moved, F_SETFD, FD_CLOEXEC);
}

void idem__notifier_renew(idem__notifier *wake)
{
    int number = wake->fd;
    idem__notifier made;
    int cancel_state = idem__cancel_hold();
    idem__notifier_close(wake); /* first: the process may have no descriptor left */
    wake->raised = false;
    if (number >= 0 && make(&made) == 0) {
        if (made.fd != number)
            move_to(&made, number);
        wake->fd = made.fd;
        wake->writer = made.writer;
    }
    idem__cancel_restore(cancel_state);
}
