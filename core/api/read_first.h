/* SPDX-License-Identifier: MIT */
/* Reading a key before a claim is prepared or sent, where that probably saves work. A wrong guess
   costs one lookup, or one wait for a writer; the result is the same. */
#ifndef IDEM_CORE_READ_FIRST_H
#define IDEM_CORE_READ_FIRST_H

#include "begin.h"

/** Whether a begin on a store of IDEM_BACKEND_READ_FIRST reads before it inserts, by what the last
 *  ones found. */
bool idem__read_first(idem_store *store);

/** Takes in what a begin has found. */
void idem__read_first_learn(idem_store *store, const idem__call *call);

/** On a store in this process (IDEM_BACKEND_IN_PROCESS), where this thread's begins are replays:
 *  looks for a response.
 *  @param request       checked
 *  @param[out] outcome  the replay
 *  @return false: it is no replay, or was not looked for */
bool idem__read_first_replay(idem_store *store, const idem_request *request, idem_outcome *outcome);

/** Carries out the look of a begin that reads first, if that may save a token or the start of the
 *  keepalive's thread: what a look answers needs neither. So a replay draws no random bits, and a
 *  command that replays starts no thread.
 *  @return true: the call is done. False: it is to be driven */
bool idem__read_first_answers(idem_store *store, idem__begin *begin);

#endif
