/* SPDX-License-Identifier: MIT */
/* Parameters that are arrays, in the server's binary form. */
#ifndef IDEM_POSTGRES_ARRAY_H
#define IDEM_POSTGRES_ARRAY_H

#include <idem/backend.h>

/** Types of elements. */
#define IDEM__POSTGRES_BYTEA 17u
#define IDEM__POSTGRES_INT8  20u

/** Begins an array of so many elements in a buffer. @return IDEM_ERR_NO_MEMORY */
int idem__postgres_array_begin(idem_buffer *buffer, uint32_t type, size_t count, idem_error *error);

/** Appends an element. @return IDEM_ERR_NO_MEMORY */
int idem__postgres_array_bytes(idem_buffer *buffer, idem_bytes bytes, idem_error *error);
int idem__postgres_array_number(idem_buffer *buffer, int64_t number, idem_error *error);

#endif
