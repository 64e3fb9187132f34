/* SPDX-License-Identifier: MIT */
/*
 * Descriptors across fork(). A process that only watches keeps none of idem's: not the store's, not
 * the terminal, not the pipes whose readers wait for their end.
 */
#include "descriptors.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FDS_MAX 65536 /* how far to look where the kernel can't close them all at once */

bool cli_descriptors_pipe(int ends[2])
{
    ends[0] = ends[1] = -1;
    if (pipe(ends) != 0)
        return false;
    (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return true;
}

void cli_descriptors_close(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static void close_from(int first)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)first, ~0U, 0) == 0)
        return;
#endif
    long limit = sysconf(_SC_OPEN_MAX);
    if (limit < 0 || limit > FDS_MAX)
        limit = FDS_MAX;
    for (int fd = first; fd < limit; fd++)
        (void)close(fd);
}

void cli_descriptors_keep(int in, int out)
{
    (void)dup2(in, STDIN_FILENO);
    (void)dup2(out, STDOUT_FILENO);
    close_from(STDERR_FILENO);
}
