/* SPDX-License-Identifier: MIT */
/* Which store a command works on. */
#ifndef IDEM_CLI_STORE_H
#define IDEM_CLI_STORE_H

#include "command.h"

/** Set for CMD where $IDEM_STORE was taken out of its environment. */
#define CLI_STORE_WITHHELD "IDEM_STORE_WITHHELD"

/** Opens the store that the call names, or $IDEM_STORE, or the default one.
 *  @param[out] store  the caller's; end it with idem_close()
 *  @return CLI_OK, or the exit code after saying why not */
int cli_store_open(const cli_call *call, idem_store **store);

/** True if a URL holds a password, or can't be read so far that it can be ruled out. */
bool cli_store_has_password(const char *url);

#endif
