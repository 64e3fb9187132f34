/* SPDX-License-Identifier: MIT */
/*
 * Command lines. Operands and options may come in any order up to `--`. Scripts put texts of
 * strangers into them, so nothing is guessed: an option is its whole name, a negative number is an
 * operand, and help is given only to a command line that asks for nothing else. A KEY such as
 * `--help` must not end a script's `idem run` with 0, as if its CMD had run.
 */
#include "command.h"
#include "sha256.h"

#include <idem/backend.h>

#include <stddef.h>
#include <stdlib.h>

#define OPTIONS_END "--"

/* The options that are known at one place of a command line. */
typedef struct {
    const cli_option *rows[CLI_OPTIONS_MAX];
    size_t count;
} option_set;

static void add_option(option_set *set, const cli_option *row)
{
    if (set->count < CLI_OPTIONS_MAX)
        set->rows[set->count++] = row;
}

static void collect_options(const cli_command *command, option_set *set)
{
    memset(set, 0, sizeof *set);
    for (const cli_option *row = command->options; row && row->name; row++)
        add_option(set, row);
    if (command->needs_store) {
        add_option(set, &cli_option_store);
        add_option(set, &cli_option_store_file);
    }
    add_option(set, &cli_option_help);
}

/* ------------------------------------------------------------------------------------ options */

static bool is_option(const char *argument)
{
    bool is_number = argument[0] == '-' && argument[1] >= '0' && argument[1] <= '9';
    return argument[0] == '-' && argument[1] != '\0' && !is_number;
}

/* Where the value begins in `--name=value`; NULL: there is none. */
static const char *value_inside(const char *argument)
{
    const char *sign = strchr(argument, '=');
    return sign ? sign + 1 : NULL;
}

static const cli_option *find_option(const option_set *set, const char *argument)
{
    size_t len = strcspn(argument, "=");
    if (strcmp(argument, "-h") == 0)
        return &cli_option_help;
    if (strncmp(argument, "--", 2) != 0)
        return NULL;
    for (size_t i = 0; i < set->count; i++) {
        const char *name = set->rows[i]->name;
        if (strlen(name) == len - 2 && strncmp(argument + 2, name, len - 2) == 0)
            return set->rows[i];
    }
    return NULL;
}

/* How a KEY is written that begins with a dash, as the end of a message. */
static const char *way_out(const cli_command *command)
{
    if (command && command->takes_program)
        return "; a KEY that begins with a dash is written: run -- \"$KEY\" -- CMD";
    return command && command->operands_max > 0
               ? "; what begins with a dash and is no option goes behind --"
               : "";
}

static int refuse_option(const cli_command *command, const char *argument)
{
    char quoted[IDEM_QUOTE_SIZE];
    idem_bytes name = {argument, strcspn(argument, "=")};
    if (!command)
        return cli_usage(NULL, "in front of the command there can be --store URL, --store-file F, "
                               "--help and --version; other options follow it");
    return cli_usage(command->name, "'idem %s' has no option %s%s", command->name,
                     idem_quote(name, quoted), way_out(command));
}

/* Reads one option. What looks like an option is no value of another one, unless it is written
   `--name=--value`: else a KEY such as `--fingerprint` would take the next option with it, and what
   stands behind that would be taken for the KEY.
   @param command     NULL: in front of the command
   @param[in,out] at  the option's place; then that of its value, if it stands apart */
static int read_option(const option_set *set, const cli_command *command, char **argv, int *at,
                       cli_options *options)
{
    const char *name = command ? command->name : NULL;
    const cli_option *row = find_option(set, argv[*at]);
    const char *value = value_inside(argv[*at]);
    if (!row)
        return refuse_option(command, argv[*at]);
    if (!row->value && value)
        return cli_usage(name, "--%s takes no value", row->name);
    if (row->value && !value) {
        value = argv[*at + 1];
        if (!value || is_option(value))
            return cli_usage(name,
                             "--%s needs a value; one that begins with a dash is written "
                             "--%s=VALUE%s",
                             row->name, row->name, way_out(command));
        (*at)++;
    }
    return cli_option_read(name, row, value, options);
}

int cli_globals_parse(char **argv, cli_options *options, int *at)
{
    static const cli_option version = {"version", NULL, CLI_FLAG, offsetof(cli_options, version),
                                       NULL};
    static const option_set set = {
        {&cli_option_store, &cli_option_store_file, &cli_option_help, &version}, 4};
    for (*at = 1; argv[*at] && argv[*at][0] == '-'; (*at)++) {
        int rc = read_option(&set, NULL, argv, at, options);
        if (rc)
            return rc;
    }
    if ((options->help || options->version) && argv[*at])
        return cli_usage(NULL, "--help and --version stand alone; 'idem help COMMAND' explains "
                               "a command");
    return CLI_OK;
}

/* @param[out] end  where `--` stands, or the end of all */
static int read_arguments(const option_set *set, char **argv, int *end, cli_call *call)
{
    int at = 1;
    for (; argv[at] && strcmp(argv[at], OPTIONS_END) != 0; at++) {
        int rc = CLI_OK;
        if (is_option(argv[at]))
            rc = read_option(set, call->command, argv, &at, &call->options);
        else
            call->operands[call->operands_count++] = argv[at];
        if (rc)
            return rc;
    }
    *end = at;
    return CLI_OK;
}

/* ----------------------------------------------------------------------------------- operands */

/* What stands behind `--`: CMD, or operands that may begin with a dash. `run -- KEY -- CMD` takes
   a KEY with a dash. */
static void take_rest(char **rest, cli_call *call)
{
    bool is_program = call->command->takes_program;
    if (is_program && call->operands_count == 0 && rest[0] && rest[1] &&
        strcmp(rest[1], OPTIONS_END) == 0) {
        call->operands[call->operands_count++] = rest[0];
        rest += 2;
    }
    if (is_program) {
        call->program = *rest ? rest : NULL;
        return;
    }
    while (*rest)
        call->operands[call->operands_count++] = *rest++;
}

/* A KEY in hexadecimal becomes the first operand, as bytes. */
static int take_key_hex(cli_call *call)
{
    const char *hex = call->options.key_hex;
    const char *name = call->command->name;
    call->key_memory = malloc(strlen(hex) / 2 + 1);
    if (!call->key_memory)
        return cli_report_no_memory();
    if (!cli_hex_parse(hex, call->key_memory))
        return cli_usage(name, "--key-hex takes pairs of hexadecimal digits, as 'idem ls' prints "
                               "them as key_hex");
    if (call->operands_count >= call->command->operands_max)
        return cli_usage(name, "'idem %s' takes either a KEY or --key-hex", name);
    memmove(call->operands + 1, call->operands,
            (size_t)call->operands_count * sizeof *call->operands);
    call->operands[0] = NULL;
    call->operands_count++;
    call->key = (idem_bytes){call->key_memory, strlen(hex) / 2};
    return CLI_OK;
}

/* One that is too long to be kept is kept as its hash. */
static int take_fingerprint(cli_call *call)
{
    const char *text = call->options.fingerprint;
    const char *hex = call->options.fingerprint_hex;
    const char *name = call->command->name;
    call->fingerprint = idem_str(text);
    if (call->fingerprint.len > IDEM_FINGERPRINT_MAX) {
        cli_sha256_fingerprint(call->fingerprint, call->fingerprint_memory);
        call->fingerprint = (idem_bytes){call->fingerprint_memory, CLI_SHA256_SIZE};
    }
    if (!hex)
        return CLI_OK;
    if (text)
        return cli_usage(name, "--fingerprint and --fingerprint-hex exclude each other");
    if (strlen(hex) / 2 > IDEM_FINGERPRINT_MAX || !cli_hex_parse(hex, call->fingerprint_memory))
        return cli_usage(name,
                         "--fingerprint-hex takes pairs of hexadecimal digits for up to %u "
                         "bytes, as 'idem get' prints them",
                         IDEM_FINGERPRINT_MAX);
    call->fingerprint = (idem_bytes){call->fingerprint_memory, strlen(hex) / 2};
    return CLI_OK;
}

static int check_operands(const cli_call *call)
{
    const cli_command *command = call->command;
    if (command->takes_program && call->operands_count > 1 && !call->program)
        return cli_usage(command->name, "put -- in front of the command to run: idem %s KEY -- CMD",
                         command->name);
    if (call->operands_count < command->operands_min)
        return cli_usage(command->name, "'idem %s' needs a KEY", command->name);
    if (call->operands_count > command->operands_max)
        return cli_usage(command->name, "'idem %s' has too many arguments; put spaces in quotes",
                         command->name);
    if (command->operands_min > 0 && call->key.len == 0)
        return cli_usage(command->name, "'idem %s' needs a KEY, and this one is empty",
                         command->name);
    if (command->takes_program && !call->program)
        return cli_usage(command->name, "there is no command to run: idem %s KEY -- CMD",
                         command->name);
    return CLI_OK;
}

/* Help stands alone: beside a KEY, a JSON text or a CMD it may be a KEY that only looks like it. */
static int check_help(int argc, const cli_call *call)
{
    if (argc == 2)
        return CLI_OK;
    return cli_usage(call->command->name, "--help stands alone: idem %s --help%s",
                     call->command->name, way_out(call->command));
}

int cli_call_parse(int argc, char **argv, cli_call *call)
{
    option_set set;
    int end = argc;
    collect_options(call->command, &set);
    call->operands = calloc((size_t)argc + 2, sizeof *call->operands);
    if (!call->operands)
        return cli_report_no_memory();
    int rc = read_arguments(&set, argv, &end, call);
    if (rc || call->options.help)
        return rc ? rc : check_help(argc, call);
    if (end < argc)
        take_rest(argv + end + 1, call);
    if (call->options.key_hex)
        rc = take_key_hex(call);
    else
        call->key = idem_str(call->operands[0]);
    if (rc == CLI_OK)
        rc = take_fingerprint(call);
    return rc ? rc : check_operands(call);
}

void cli_call_request(const cli_call *call, idem_request *request)
{
    const cli_options *options = &call->options;
    idem_request_init(request);
    request->key = call->key;
    request->fingerprint = call->fingerprint;
    request->lease_ms = options->lease_ms;
    request->ttl_ms = options->ttl_ms;
    request->wait_ms = options->wait_ms;
    request->token = options->token.given ? options->token.bytes : NULL;
    request->flags = options->no_takeover ? IDEM_NO_TAKEOVER : 0;
}

void cli_call_clear(cli_call *call)
{
    free(call->operands);
    free(call->key_memory);
    memset(call, 0, sizeof *call);
}
