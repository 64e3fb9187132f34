/* SPDX-License-Identifier: MIT */
/* Pipes between idem and the processes that it starts. */
#ifndef IDEM_CLI_DESCRIPTORS_H
#define IDEM_CLI_DESCRIPTORS_H

#include <stdbool.h>

/** Makes a pipe whose two ends no program inherits. @return false with errno set, and -1 in both */
bool cli_descriptors_pipe(int ends[2]);

/** Closes a descriptor, if it is one, and makes it -1. */
void cli_descriptors_close(int *fd);

/** In a process that was forked: makes `in` stdin and `out` stdout, and closes everything else. */
void cli_descriptors_keep(int in, int out);

#endif
