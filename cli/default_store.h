/* SPDX-License-Identifier: MIT */
/* The store where none is named: a SQLite file of the user's own. */
#ifndef IDEM_CLI_DEFAULT_STORE_H
#define IDEM_CLI_DEFAULT_STORE_H

#include "command.h"
#include "output.h"

/** Finds the default store, and makes what is missing of it and what is needed to keep it private,
 *  unless `need` is CLI_STORE_EXISTING.
 *  @param[out] url  its URL, with a NUL behind it; the caller's to clear
 *  @return CLI_OK, or the exit code after saying why not */
int cli_default_store(const cli_call *call, cli_store_need need, cli_text *url);

#endif
