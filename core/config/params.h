/* SPDX-License-Identifier: MIT */
/* The parameters behind a URL's `?`, driven by tables. */
#ifndef IDEM_CORE_PARAMS_H
#define IDEM_CORE_PARAMS_H

#include <idem/backend.h>

/** The rows of idem_common_params(). */
enum {
    IDEM__PARAM_LEASE,
    IDEM__PARAM_TTL,
    IDEM__PARAM_PREFIX,
    IDEM__PARAM_MAX_RESPONSE,
    IDEM__PARAM_TIMEOUT,
    IDEM__PARAM_OPEN, /* its value.number is one of the two below */
    IDEM__PARAM_COMMON
};

enum { IDEM__OPEN_NOW, IDEM__OPEN_LAZY };

/**
 * Reads a query into the values of the common parameters and of a backend's own, defaults filled
 * in.
 * @param query   decoded in place; the values point into it; NULL is an empty one
 * @param common  IDEM__PARAM_COMMON values
 * @param own     ops->params_count values
 * @return IDEM_ERR_ARGUMENT: a name that is not known, or twice; a value that can't be read
 */
int idem__params_parse(char *query, const idem_backend_ops *ops, idem_value *common,
                       idem_value *own, idem_error *error);

#endif
