/* SPDX-License-Identifier: MIT */
/* The begin of `idem run` and `idem begin`, and how a claim that is of no use is given back. */
#ifndef IDEM_CLI_BEGIN_H
#define IDEM_CLI_BEGIN_H

#include "report.h"

/** Gives back a claim under which nothing was done. After a takeover the lease is ended and the
 *  record left, since it says that an earlier attempt stopped in the middle. @return as the call */
int cli_give_back(idem_store *store, const idem_outcome *outcome, idem_error *error);

/** As idem_begin(). Signals that would end the process are held back from here on, as long as the
 *  store does not take its time: see cli_signals_defer(). cli_signals_undefer() follows. */
int cli_begin_deferring(idem_store *store, const idem_request *request, idem_outcome *outcome,
                        idem_error *error);

#endif
