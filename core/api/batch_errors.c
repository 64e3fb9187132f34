/* SPDX-License-Identifier: MIT */
/* Items fail one by one. The whole call returns the code of the first one that did, and says
   which. */
#include "batch_errors.h"

#include "error.h"

#include <idem/backend.h>

void idem__batch_errors_init(idem__batch_errors *many, size_t count, idem_error *errors,
                             idem_error *error)
{
    many->count = count;
    many->errors = errors;
    many->error = error;
    many->first = 0;
    many->code = IDEM_OK;
    many->context = 0;
    idem__error_clear(error);
}

idem_error *idem__batch_errors_error(idem__batch_errors *many, size_t index)
{
    idem_error *error = many->errors ? &many->errors[index] : &many->spare;
    idem__error_clear(error);
    return error;
}

void idem__batch_errors_settle(idem__batch_errors *many, size_t index)
{
    const idem_error *error = many->errors ? &many->errors[index] : &many->spare;
    if (error->code == IDEM_OK || (many->code != IDEM_OK && many->first < index))
        return;
    many->code = error->code;
    many->first = index;
    idem__error_clear(many->error); /* items end in any order */
    (void)idem_error_set(many->error, error->code, "number %zu of %zu: %s", index + 1, many->count,
                         error->message);
}

int idem__batch_errors_refuse(idem__batch_errors *many, int code, const char *message)
{
    for (size_t i = 0; many->errors && i < many->count; i++)
        (void)idem_error_set(idem__batch_errors_error(many, i), code, "%s", message);
    return idem_error_set(many->error, code, "%s", message);
}
