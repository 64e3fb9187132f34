/* SPDX-License-Identifier: MIT */
/* What core does with errors beyond idem_error_set(). `error` may be NULL everywhere. */
#ifndef IDEM_CORE_ERROR_H
#define IDEM_CORE_ERROR_H

#include <idem/idem.h>

/** Blanks an error: every public call does it first. */
void idem__error_clear(idem_error *error);

/** Hands an error on, unless `error` holds one already. @return its code */
int idem__error_copy(idem_error *error, const idem_error *from);

/** A code of a backend's as callers may see it: what is no error's code is IDEM_ERR_INTERNAL. */
int idem__error_known(int code);

/** @return IDEM_ERR_NO_MEMORY, set in `error` */
int idem__error_no_memory(idem_error *error);

#endif
