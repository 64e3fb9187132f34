/* SPDX-License-Identifier: MIT */
/* What the programs of this folder have in common: their arguments, and a folder to work in. */
#ifndef IDEM_TESTS_DISK_OPTIONS_H
#define IDEM_TESTS_DISK_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t seed;    /**< --seed N; else one of the system's, which is printed */
    uint64_t stride;  /**< --stride N: every n-th point only */
    uint64_t seconds; /**< --seconds N: how long to draw at random; 0: not at all */
} options;

void options_read(int argc, char **argv, options *given);

/** Makes a folder, in memory if the system has such a place: what syncs do is not in question, and
 *  thousands of them would take minutes. */
void options_folder(char path[64]);

/** Zeroed memory that children share; ends the program if there is none. */
void *shared_memory(size_t size);

#endif
