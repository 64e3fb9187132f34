/* SPDX-License-Identifier: MIT */
/* Where a program of this folder keeps its records: one file for each backend. */
#ifndef IDEM_TESTS_FAULTY_PLACE_H
#define IDEM_TESTS_FAULTY_PLACE_H

#include <stddef.h>

#define PLACE_URL_SIZE 700

/** Called once, first of all; leaves the program if there is no such store here. */
void place_start(void);

/** Writes the URL, without parameters, of a place that is empty where no `name` was used before. It
 *  ends in `?` or `&`.
 *  @param wrapper  what stands in front of the scheme */
void place_url(char *url, size_t size, const char *wrapper, const char *name);

/** Called once, last of all. */
void place_end(void);

#endif
