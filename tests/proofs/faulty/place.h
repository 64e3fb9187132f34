/* SPDX-License-Identifier: MIT */
/* Where a program of this folder keeps its records: one file for each backend. */
#ifndef IDEM_TESTS_FAULTY_PLACE_H
#define IDEM_TESTS_FAULTY_PLACE_H

#include <idem/idem.h>

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PLACE_URL_SIZE 700

/** Called once, first of all; leaves the program if there is no such store here. */
void place_start(void);

/** Writes the URL, without parameters, of a place that is empty where no `name` was used before. It
 *  ends in `?` or `&`.
 *  @param wrapper  what stands in front of the scheme */
void place_url(char *url, size_t size, const char *wrapper, const char *name);

/** Opens the place of a test and its row, as often as it is asked to. @return the store; the test
 *  ends if it can't be opened */
static inline idem_store *place_open(const char *wrapper, const char *test, int row,
                                     const char *params)
{
    char url[PLACE_URL_SIZE];
    char name[64];
    idem_error error;
    idem_store *store = NULL;
    (void)snprintf(name, sizeof name, "%s-%ld-%d", test, (long)getpid(), row);
    place_url(url, sizeof url, wrapper, name);
    size_t len = strlen(url);
    (void)snprintf(url + len, sizeof url - len, "%s", params);
    ck_assert_msg(idem_open(url, &store, &error) == IDEM_OK, "%s", error.message);
    return store;
}

/** Called once, last of all. */
void place_end(void);

#endif
