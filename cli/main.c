/* SPDX-License-Identifier: MIT */
/*
 * The command `idem`: finds the command that is asked for, opens the store it works on, runs it.
 */
#include "command.h"
#include "frugal.h"
#include "output.h"
#include "signals.h"
#include "store.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

/* Descriptors 0 to 2 are taken if the caller closed them, so that no file of a store gets such a
   number and is written into as if it were stdout. They are opened the wrong way round: reading
   stdin and writing stdout fail, as they should. Without /dev the root directory serves: it can be
   neither read nor written. */
static bool hold_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        int flags = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;
        if (fcntl(fd, F_GETFD) != -1 || open("/dev/null", flags) == fd)
            continue;
        if (open("/", O_RDONLY | O_DIRECTORY) != fd)
            return false;
    }
    return true;
}

/* Reads the options in front of the command. @return CLI_OK with `optind` at the command */
static int parse_globals(int argc, char **argv, cli_options *options, bool *version)
{
    static const struct option longs[] = {{"store", required_argument, NULL, 's'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'v'},
                                          {NULL, 0, NULL, 0}};
    int c;
    opterr = 0;
    while ((c = getopt_long(argc, argv, "+:h", longs, NULL)) != -1) {
        if (c == 's')
            options->store_url = optarg;
        else if (c == 'h')
            options->help = true;
        else if (c == 'v')
            *version = true;
        else if (c == ':')
            return cli_usage(NULL, "--store needs a URL");
        else
            return cli_usage(NULL, "in front of the command there can be --store URL, --help and "
                                   "--version; other options follow it");
    }
    return CLI_OK;
}

static int run_command(int argc, char **argv, cli_call *call)
{
    idem_store *store = NULL;
    int code = cli_call_parse(argc, argv, call);
    if (code)
        return code;
    if (call->options.help)
        return cli_help_command(call->command);
    if (call->command->needs_store)
        code = cli_store_open(call, &store);
    if (code == CLI_OK)
        code = call->command->run(store, call);
    idem_close(store);
    return code;
}

int main(int argc, char **argv)
{
    cli_call call = {0};
    bool version = false;
    if (!hold_standard_descriptors())
        return CLI_INTERNAL;
    cli_signals_set_up();
    cli_frugal_sqlite();
    int code = parse_globals(argc, argv, &call.options, &version);
    if (code)
        return code;
    if (call.options.help)
        return cli_help_all();
    if (version)
        return cli_version(NULL, &call);
    if (optind >= argc)
        return cli_usage(NULL, "which command? 'idem help' lists them");
    call.command = cli_command_find(argv[optind]);
    if (!call.command)
        return cli_command_unknown(argv[optind]);
    code = run_command(argc - optind, argv + optind, &call);
    cli_call_clear(&call);
    return code > CLI_DIED ? cli_signals_die(code - CLI_DIED) : code;
}
