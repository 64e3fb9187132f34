/* SPDX-License-Identifier: MIT */
/*
 * The command `idem`: finds the command that is asked for, opens the store it works on, runs it.
 */
#include "command.h"
#include "sqlite_config.h"
#include "output.h"
#include "signals.h"
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* A descriptor that nothing can be read from and written to, /dev or not. */
static int open_dead_end(int fd)
{
    int flags = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;
    int got = open("/dev/null", flags);
#ifdef O_PATH
    if (got < 0)
        got = open("/", O_PATH);
#endif
    return got < 0 ? open("/", O_RDONLY) : got;
}

/* Descriptors 0 to 2 are opened if the caller closed them. Otherwise a file of a store could get
   such a number, and output would be written into it. They are opened in the wrong direction, so
   that reading stdin and writing stdout still fail. */
static int hold_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) != -1 || open_dead_end(fd) == fd)
            continue;
        cli_say("descriptor %d is closed, and nothing can be opened in its place: %s", fd,
                strerror(errno));
        return CLI_INTERNAL;
    }
    return CLI_OK;
}

/* An answer that can't be given is known before anything is done. `idem run` has CMD's output to
   give, if there is any: it finds out by itself. */
static int check_stdout(const cli_command *command)
{
    int flags = fcntl(STDOUT_FILENO, F_GETFL);
    bool writable = flags != -1 && (flags & O_ACCMODE) != O_RDONLY;
#ifdef O_PATH
    writable = writable && !(flags & O_PATH);
#endif
    if (writable || command->takes_program)
        return CLI_OK;
    cli_say("stdout is closed or can't be written, so that there is no place for the answer; "
            "nothing was done");
    return CLI_INTERNAL;
}

static int run_command(int argc, char **argv, cli_call *call)
{
    idem_store *store = NULL;
    int code = cli_call_parse(argc, argv, call);
    if (code)
        return code;
    if (call->options.help)
        return cli_help_command(call->command);
    code = check_stdout(call->command);
    if (code == CLI_OK)
        code = cli_run_report_open(call->report, call->options.report);
    if (code == CLI_OK && call->command->needs_store)
        code = cli_store_open(call, &store);
    if (code == CLI_OK)
        code = call->command->run(store, call);
    idem_close(store);
    return cli_run_report_close(call->report, call->key, code);
}

int main(int argc, char **argv)
{
    cli_run_report report = {.fd = -1};
    cli_call call = {.report = &report};
    int at = 0;
    int code = hold_standard_descriptors();
    if (code)
        return code;
    cli_signals_set_up();
    cli_frugal_sqlite();
    code = cli_globals_parse(argv, &call.options, &at);
    if (code)
        return code;
    if (call.options.help)
        return cli_help_all();
    if (call.options.version)
        return cli_version(NULL, &call);
    if (at >= argc)
        return cli_usage(NULL, "which command? 'idem help' lists them");
    call.command = cli_command_find(argv[at]);
    if (!call.command)
        return cli_command_unknown(argv[at]);
    code = run_command(argc - at, argv + at, &call);
    cli_call_clear(&call);
    return code > CLI_DIED ? cli_signals_die(code - CLI_DIED) : code;
}
