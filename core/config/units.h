/* SPDX-License-Identifier: MIT */
/* Counts; durations and sizes are public, in idem/backend.h. */
#ifndef IDEM_CORE_UNITS_H
#define IDEM_CORE_UNITS_H

#include <idem/backend.h>

/** Reads a whole number from 1 up. @return IDEM_ERR_ARGUMENT */
int idem__units_count_parse(const char *text, uint64_t *value, idem_error *error);

#endif
