/* SPDX-License-Identifier: MIT */
/* A backend of one's own: `dir:///var/lib/app/idem` keeps each record in a file of a directory. */
#ifndef CUSTOM_BACKEND_H
#define CUSTOM_BACKEND_H

#include <idem/idem.h>

/** Makes `dir:///abs/path` and `dir:rel/path` known to idem_open(). Call it once, at the start.
 *  @return as idem_backend_register() */
int custom_backend_register(idem_error *error);

#endif
