/* SPDX-License-Identifier: MIT */
/* What a call says whose key is in no state for it: the code, and one line that names the key. */
#ifndef IDEM_CORE_PROTOCOL_ERROR_H
#define IDEM_CORE_PROTOCOL_ERROR_H

#include "protocol.h"

/** The record that a claim's call has found, or its absence. @return IDEM_ERR_LOST or
 *  IDEM_ERR_NOT_FOUND */
int idem__protocol_error_not_held(idem__call *call);

/** A record that an operator may not decide about. @return IDEM_ERR_LOST */
int idem__protocol_error_not_abandoned(idem__call *call);

/** @return IDEM_ERR_NOT_FOUND */
int idem__protocol_error_not_found(idem__call *call);

/** Makes op fail: a change was refused although what is there is what it named. */
void idem__protocol_error_refused(idem__call *call);

/** Makes op fail: one operation led to the next too often. It may be repeated. */
void idem__protocol_error_restless(idem__call *call);

#endif
