/* SPDX-License-Identifier: MIT */
/*
 * Command lines: getopt_long() over the rows of a command's table. Operands and options may come in
 * any order up to `--`. Messages name an option, never its value, which may be a URL with a
 * password in it; those that the library makes quote durations and sizes only.
 */
#include "command.h"

#include <idem/backend.h>

#include <getopt.h>
#include <stdlib.h>

#define FIRST_VALUE 256 /* what getopt_long() returns for a table's first row */

const cli_option cli_option_store = {
    "store", "URL", CLI_TEXT, offsetof(cli_options, store_url),
    "where records are kept, such as sqlite:///var/lib/app/idem.db\n"
    "(else $IDEM_STORE; else SQLite in $XDG_STATE_HOME/idem/idem.db\n"
    "or ~/.local/state/idem/idem.db); see 'idem backends'"};
const cli_option cli_option_help = {"help", NULL, CLI_FLAG, offsetof(cli_options, help),
                                    "show this help"};

/* ---------------------------------------------------------------------------------- values */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool cli_token_parse(const char *text, cli_token *token)
{
    cli_token parsed = {.given = true};
    int any = 0;
    if (strlen(text) != sizeof parsed.bytes * 2)
        return false;
    for (size_t i = 0; i < sizeof parsed.bytes; i++) {
        int high = hex_value(text[2 * i]);
        int low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        parsed.bytes[i] = (uint8_t)(high << 4 | low);
        any |= parsed.bytes[i];
    }
    if (any)
        *token = parsed;
    return any != 0;
}

static bool parse_count(const char *text, uint64_t *count)
{
    char *end = NULL;
    if (*text < '0' || *text > '9' || strlen(text) > 18)
        return false;
    *count = strtoull(text, &end, 10);
    return *end == '\0' && *count > 0;
}

static bool parse_status(const char *text, uint64_t *status)
{
    *status = strcmp(text, "in_progress") == 0 ? (uint64_t)IDEM_STATUS_IN_PROGRESS
              : strcmp(text, "completed") == 0 ? (uint64_t)IDEM_STATUS_COMPLETED
                                               : 0;
    return *status != 0;
}

static const char *const mode_names[] = {
    [CLI_BENCH_CYCLE] = "cycle", [CLI_BENCH_CLAIM] = "claim", [CLI_BENCH_REPLAY] = "replay"};
#define MODES (sizeof mode_names / sizeof mode_names[0])

const char *cli_bench_mode_name(cli_bench_mode mode)
{
    return mode_names[mode];
}

static bool parse_mode(const char *text, uint64_t *mode)
{
    for (*mode = CLI_BENCH_CYCLE; *mode < MODES; (*mode)++) {
        if (strcmp(text, mode_names[*mode]) == 0)
            return true;
    }
    return false;
}

int cli_option_read(const char *command, const cli_option *option, const char *text,
                    cli_options *options)
{
    void *field = (char *)options + option->offset;
    idem_error error = {0};
    switch (option->kind) {
    case CLI_FLAG:
        *(bool *)field = true;
        return CLI_OK;
    case CLI_TEXT:
        *(const char **)field = text;
        return CLI_OK;
    case CLI_DURATION:
        if (idem_duration_parse(text, field, &error))
            return cli_usage(command, "--%s: %s", option->name, error.message);
        return CLI_OK;
    case CLI_COUNT:
        if (!parse_count(text, field))
            return cli_usage(command, "--%s takes a whole number from 1 up", option->name);
        return CLI_OK;
    case CLI_SIZE:
        if (idem_size_parse(text, field, &error))
            return cli_usage(command, "--%s: %s", option->name, error.message);
        return CLI_OK;
    case CLI_MODE:
        if (!parse_mode(text, field))
            return cli_usage(command, "--%s takes cycle, claim or replay", option->name);
        return CLI_OK;
    case CLI_STATUS:
        if (!parse_status(text, field))
            return cli_usage(command, "--%s takes in_progress or completed", option->name);
        return CLI_OK;
    case CLI_TOKEN:
        if (!cli_token_parse(text, field))
            return cli_usage(command,
                             "--%s takes the 32 hexadecimal digits that 'idem begin' has printed",
                             option->name);
        return CLI_OK;
    }
    return CLI_INTERNAL;
}

/* ----------------------------------------------------------------------------------- calls */

/* A command's options as rows and in getopt's form; both end with a zeroed one. */
typedef struct {
    const cli_option *rows[CLI_OPTIONS_MAX];
    struct option longs[CLI_OPTIONS_MAX + 1];
    int count;
} option_set;

static void add_option(option_set *set, const cli_option *row)
{
    if (set->count >= CLI_OPTIONS_MAX)
        return;
    set->rows[set->count] = row;
    set->longs[set->count] = (struct option){
        row->name, row->value ? required_argument : no_argument, NULL, FIRST_VALUE + set->count};
    set->count++;
}

static void collect_options(const cli_command *command, option_set *set)
{
    memset(set, 0, sizeof *set);
    for (const cli_option *row = command->options; row && row->name; row++)
        add_option(set, row);
    if (command->needs_store)
        add_option(set, &cli_option_store);
    add_option(set, &cli_option_help);
}

/* What getopt_long() could not take: the option's name without its value. */
static int refuse_option(const cli_command *command, int problem, const option_set *set,
                         const char *argument)
{
    char quoted[IDEM_QUOTE_SIZE];
    char letter[3] = {'-', (char)optopt, '\0'};
    bool is_row = optopt >= FIRST_VALUE && optopt < FIRST_VALUE + set->count;
    bool is_letter = optopt > 0 && optopt < FIRST_VALUE;
    if (is_row)
        return cli_usage(command->name,
                         problem == ':' ? "--%s needs a value" : "--%s takes no value",
                         set->rows[optopt - FIRST_VALUE]->name);
    idem_bytes name = is_letter ? idem_str(letter) : (idem_bytes){argument, strcspn(argument, "=")};
    return cli_usage(command->name, "'idem %s' has no option %s, or several that begin so",
                     command->name, idem_quote(name, quoted));
}

static int parse_options(int argc, char **argv, const option_set *set, cli_call *call)
{
    int c;
    optind = 0; /* makes the GNU and the musl getopt start afresh */
    opterr = 0;
    /* "-": operands come as option 1, where they stand; ":": a missing value is told apart */
    while ((c = getopt_long(argc, argv, "-:h", set->longs, NULL)) != -1) {
        int rc = CLI_OK;
        if (c == 1)
            call->operands[call->operands_count++] = optarg;
        else if (c == 'h')
            call->options.help = true;
        else if (c >= FIRST_VALUE)
            rc = cli_option_read(call->command->name, set->rows[c - FIRST_VALUE], optarg,
                                 &call->options);
        else
            rc = refuse_option(call->command, c, set, argv[optind - 1]);
        if (rc)
            return rc;
    }
    return CLI_OK;
}

/* What stands behind `--`: CMD, or operands that may begin with a dash. `run -- KEY -- CMD` takes
   a KEY with a dash. */
static void take_rest(char **rest, cli_call *call)
{
    bool is_program = call->command->takes_program;
    if (is_program && call->operands_count == 0 && rest[0] && rest[1] &&
        strcmp(rest[1], "--") == 0) {
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
    if (command->takes_program && !call->program)
        return cli_usage(command->name, "there is no command to run: idem %s KEY -- CMD",
                         command->name);
    return CLI_OK;
}

int cli_call_parse(int argc, char **argv, cli_call *call)
{
    option_set set;
    collect_options(call->command, &set);
    call->operands = calloc((size_t)argc + 1, sizeof *call->operands);
    if (!call->operands)
        return cli_report_no_memory();
    int rc = parse_options(argc, argv, &set, call);
    if (rc || call->options.help)
        return rc;
    take_rest(argv + optind, call);
    return check_operands(call);
}

void cli_call_request(const cli_call *call, idem_request *request)
{
    const cli_options *options = &call->options;
    idem_request_init(request);
    request->key = idem_str(call->operands[0]);
    request->fingerprint = idem_str(options->fingerprint);
    request->lease_ms = options->lease_ms;
    request->ttl_ms = options->ttl_ms;
    request->wait_ms = options->wait_ms;
    request->token = options->token.given ? options->token.bytes : NULL;
    request->flags = options->no_takeover ? IDEM_NO_TAKEOVER : 0;
}

void cli_call_clear(cli_call *call)
{
    free(call->operands);
    memset(call, 0, sizeof *call);
}
