/* SPDX-License-Identifier: MIT */
/*
 * The values of options. Messages name an option, never its value, which may be a URL with a
 * password in it; those that the library makes quote durations and sizes only.
 */
#include "options.h"

#include <idem/backend.h>

#include <stddef.h>
#include <stdlib.h>

const cli_option cli_option_store = {
    "store", "URL", CLI_TEXT, offsetof(cli_options, store_url),
    "where records are kept, such as sqlite:///var/lib/app/idem.db\n"
    "(else $IDEM_STORE; else SQLite in $XDG_STATE_HOME/idem/idem.db\n"
    "or ~/.local/state/idem/idem.db); see 'idem backends'"};
const cli_option cli_option_store_file = {
    "store-file", "F", CLI_TEXT, offsetof(cli_options, store_file),
    "a file that holds the URL, or a descriptor (/dev/fd/3): for a\n"
    "URL with a password, which others can see on a command line"};
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

bool cli_hex_parse(const char *text, uint8_t *bytes)
{
    size_t len = strlen(text);
    for (size_t i = 0; i + 1 < len; i += 2) {
        int high = hex_value(text[i]);
        int low = hex_value(text[i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i / 2] = (uint8_t)(high << 4 | low);
    }
    return len > 0 && len % 2 == 0;
}

bool cli_token_parse(const char *text, cli_token *token)
{
    cli_token parsed = {.given = true};
    int any = 0;
    if (strlen(text) != sizeof parsed.bytes * 2 || !cli_hex_parse(text, parsed.bytes))
        return false;
    for (size_t i = 0; i < sizeof parsed.bytes; i++)
        any |= parsed.bytes[i];
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

/* An exit code, stored as one more than it is, since 0 stands for "not given". */
static bool parse_code(const char *text, uint64_t *code)
{
    if (strlen(text) < 1 || strlen(text) > 3 || strspn(text, "0123456789") != strlen(text))
        return false;
    *code = strtoull(text, NULL, 10) + 1;
    return *code <= 256;
}

static bool parse_status(const char *text, uint64_t *status)
{
    *status = strcmp(text, "in_progress") == 0 ? (uint64_t)IDEM_STATUS_IN_PROGRESS
              : strcmp(text, "completed") == 0 ? (uint64_t)IDEM_STATUS_COMPLETED
              : strcmp(text, "corrupt") == 0   ? (uint64_t)IDEM_STATUS_CORRUPT
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
    case CLI_CODE:
        if (!parse_code(text, field))
            return cli_usage(command, "--%s takes an exit code from 0 to 255", option->name);
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
            return cli_usage(command, "--%s takes in_progress, completed or corrupt", option->name);
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
