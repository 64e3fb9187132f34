/* SPDX-License-Identifier: MIT */
/* The text that INFO gives: `name:value` in lines. */
#ifndef IDEM_REDIS_INFO_H
#define IDEM_REDIS_INFO_H

#include <idem/backend.h>

/** Makes a server's words fit for a message: what is no printable ASCII becomes `?`. */
void idem__redis_info_plain(char *text);

/** The value of a field, plain and cut to fit, which must not be shorter than 1. @return false:
 *  none */
bool idem__redis_info_text(idem_bytes info, const char *name, char *buf, size_t size);

/** The same as a number. @return 0: there is no such field, or it is none */
uint64_t idem__redis_info_number(idem_bytes info, const char *name);

/** The number behind `name=` in a value such as `state=online,lag=1`. @return UINT64_MAX: none */
uint64_t idem__redis_info_part(const char *value, const char *name);

#endif
