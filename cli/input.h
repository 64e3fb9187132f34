/* SPDX-License-Identifier: MIT */
/* What a command is given to store: read from stdin or from a file, and never without a limit. */
#ifndef IDEM_CLI_INPUT_H
#define IDEM_CLI_INPUT_H

#include "output.h"

/** Reads a JSON text from stdin, to its end.
 *  @param limit  the store's, in bytes
 *  @return CLI_OK, or the exit code after saying why not */
int cli_input_read_stdin(uint64_t limit, cli_text *text);

/** The same with any bytes, of stdin if the path is `-`. */
int cli_input_read_bytes(const char *path, uint64_t limit, const char *option, cli_text *text);

/** Reads a file of any bytes. @param option  the one that named it, for messages */
int cli_input_read_file(const char *path, uint64_t limit, const char *option, cli_text *text);

#endif
