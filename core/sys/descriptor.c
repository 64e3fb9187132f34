/* SPDX-License-Identifier: MIT */
/*
 * Descriptors 0, 1 and 2 are the program's, also where it has closed them: what it then prints, or
 * a library of its prints for it, would go into a socket of ours. The system always gives the
 * lowest number that is free, so each descriptor that the library makes goes through here.
 */
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
    (void)close(fd);
    errno = number;
    return raised;
}
