/* SPDX-License-Identifier: MIT */
/* The environment of CMD: idem's own, and what CMD may want to know about its claim. */
#ifndef IDEM_CLI_ENVIRONMENT_H
#define IDEM_CLI_ENVIRONMENT_H

#include <idem/idem.h>

/** The longest checkpoint that is handed on as $IDEM_CHECKPOINT: longer ones could keep the
 *  program from being executed. */
#define CLI_ENVIRONMENT_CHECKPOINT_MAX 65536u

/** Makes the environment.
 *  @param[out] environment  end it with cli_environment_free()
 *  @return CLI_OK; after saying why not, CLI_DATA (the checkpoint is none) or CLI_INTERNAL */
int cli_environment_make(const char *key, const idem_outcome *outcome, char ***environment);
void cli_environment_free(char **environment);

/** In the process that is about to become CMD: makes sockets that were passed to idem CMD's own.
 *  Async-signal-safe. */
void cli_environment_adapt(char **environment);

#endif
