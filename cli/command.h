/* SPDX-License-Identifier: MIT */
/* The table of commands: it drives dispatch, help, and the error that lists what there is. */
#ifndef IDEM_CLI_COMMAND_H
#define IDEM_CLI_COMMAND_H

#include "options.h"
#include "run_report.h"

typedef struct cli_command cli_command;

/** One call of a command, as read from the command line. */
typedef struct {
    const cli_command *command;
    cli_options options;
    char **operands; /**< KEY (NULL if it came by --key-hex) and so on */
    int operands_count;
    idem_bytes key;         /**< KEY; empty if the command takes none */
    void *key_memory;       /**< what it lives in, if it came by --key-hex */
    idem_bytes fingerprint; /**< empty: none */
    uint8_t fingerprint_memory[IDEM_FINGERPRINT_MAX]; /**< where it was made */
    char **program;         /**< CMD and its arguments, with a NULL behind them; NULL: none */
    cli_run_report *report; /**< for --report: what happens, as it happens */
} cli_call;

/** What a command wants of its store. */
typedef enum {
    CLI_NO_STORE = 0,
    CLI_STORE,         /**< it is made if it is missing */
    CLI_STORE_EXISTING /**< to look and to tidy up: nothing is made or set */
} cli_store_need;

/** One row of the table. */
struct cli_command {
    const char *name;
    const char *synopsis;      /**< what follows the name */
    const char *summary;       /**< one line */
    const char *details;       /**< the rest of its help, in lines */
    const cli_option *options; /**< its own, apart from --store and --help; NULL: none */
    int operands_min;
    int operands_max;
    bool takes_program; /**< `-- CMD…` follows */
    cli_store_need needs_store;
    /** @param store  open if one is needed, else NULL  @return the exit code */
    int (*run)(idem_store *store, const cli_call *call);
};

/** The command of that name; NULL if there is none. */
const cli_command *cli_command_find(const char *name);

/** Reads the options in front of the command.
 *  @param[out] at  where the command stands, or the end of all
 *  @return CLI_OK, or CLI_USAGE after saying why */
int cli_globals_parse(char **argv, cli_options *options, int *at);

/** Reads what follows a command's name, which is `argv[0]`, into `call` (blank, but for the
 *  command and what is in its options already). End it with cli_call_clear().
 *  @return CLI_OK, or CLI_USAGE after saying why */
int cli_call_parse(int argc, char **argv, cli_call *call);
void cli_call_clear(cli_call *call);

/** Fills in a request with the call's KEY and options, which it borrows. */
void cli_call_request(const cli_call *call, idem_request *request);

/** Says that there is no such command, and lists what there is. @return CLI_USAGE */
int cli_command_unknown(const char *name);

/** Prints the list of commands, or the help of one. @return the exit code */
int cli_help_all(void);
int cli_help_command(const cli_command *command);

/** True for an unfinished record whose lease has run out, or whose lease has no known end. */
bool cli_record_is_stuck(const idem_record *record);

/* The commands. */
int cli_run(idem_store *store, const cli_call *call);
int cli_begin(idem_store *store, const cli_call *call);
int cli_complete(idem_store *store, const cli_call *call);
int cli_renew(idem_store *store, const cli_call *call);
int cli_checkpoint(idem_store *store, const cli_call *call);
int cli_release(idem_store *store, const cli_call *call);
int cli_get(idem_store *store, const cli_call *call);
int cli_settle(idem_store *store, const cli_call *call);
int cli_forget(idem_store *store, const cli_call *call);
int cli_ls(idem_store *store, const cli_call *call);
int cli_watch(idem_store *store, const cli_call *call);
int cli_purge(idem_store *store, const cli_call *call);
int cli_doctor(idem_store *store, const cli_call *call);
int cli_bench(idem_store *store, const cli_call *call);
int cli_backends(idem_store *store, const cli_call *call);
int cli_version(idem_store *store, const cli_call *call);
int cli_help(idem_store *store, const cli_call *call);

#endif
