/* SPDX-License-Identifier: MIT */
/* Which store a command works on. */
#ifndef IDEM_CLI_STORE_H
#define IDEM_CLI_STORE_H

#include "command.h"

/** Opens the store that the call names, or $IDEM_STORE, or the default one.
 *  @param[out] store  the caller's; end it with idem_close()
 *  @return CLI_OK, or the exit code after saying why not */
int cli_store_open(const cli_call *call, idem_store **store);

#endif
