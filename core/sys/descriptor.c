/* SPDX-License-Identifier: MIT */
/*
 * Descriptors 0, 1 and 2 are the program's, also where it has closed them: what it then prints, or
 * a library of its prints for it, would go into a socket of ours. The system always gives the
 * lowest number that is free, so each descriptor that the library makes goes through here.
 */
#include "cancel.h"

#include <idem/backend.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define FIRST_OF_OURS 3

int idem_descriptor_raise(int fd)
{
    if (fd < 0 || fd >= FIRST_OF_OURS)
        return fd;
    int raised = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_OF_OURS);
    int number = errno;
    int cancel_state = idem__cancel_hold();
    (void)close(fd);
    idem__cancel_restore(cancel_state);
    errno = number;
    return raised;
}
