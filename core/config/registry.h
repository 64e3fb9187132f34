/* SPDX-License-Identifier: MIT */
/* Which backend a scheme means. Registration and listing are public, in idem/backend.h. */
#ifndef IDEM_CORE_REGISTRY_H
#define IDEM_CORE_REGISTRY_H

#include <idem/backend.h>

/** Finds the backend of a scheme.
 *  @return IDEM_ERR_UNKNOWN_BACKEND, with a message that lists what there is */
int idem__registry_find(const char *scheme, const idem_backend_ops **ops, idem_error *error);

/** Copies a table into one of today's size and checks it. @return IDEM_ERR_ARGUMENT */
int idem__registry_adopt(const idem_backend_ops *ops, idem_backend_ops *copy, idem_error *error);

/** Holds the registry still across a fork(). */
void idem__registry_lock(void);
void idem__registry_unlock(void);

#endif
