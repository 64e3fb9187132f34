/* SPDX-License-Identifier: MIT */
/* Items fail one by one. The whole call returns the code of the first one that did, and says which. */
#include "many.h"

#include "error.h"

#include <idem/backend.h>

void idem__many_init(idem__many *many, size_t count, idem_error *errors, idem_error *error)
{
    memset(many, 0, sizeof *many);
    many->count = count;
    many->errors = errors;
    many->error = error;
}

idem_error *idem__many_error(idem__many *many, size_t index)
{
    idem_error *error = many->errors ? &many->errors[index] : &many->spare;
    idem__error_clear(error);
    return error;
}

void idem__many_settle(idem__many *many, size_t index)
{
    const idem_error *error = many->errors ? &many->errors[index] : &many->spare;
    if (error->code == IDEM_OK || many->code != IDEM_OK)
        return;
    many->code = error->code;
    (void)idem_error_set(many->error, error->code, "number %zu of %zu: %s", index + 1, many->count,
                         error->message);
}
