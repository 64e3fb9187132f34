/* SPDX-License-Identifier: MIT */
/*
 * Messages on stderr, and the one table of exit codes. A message is one line that begins with
 * `idem: `; it never repeats a store's URL, a token, or a response.
 */
#include "report.h"

#include "unicode.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* With which code the command ends for each error: of opening the store, where the URL is part of
   the command line, and of a call, where key and JSON are its input. */
static const struct {
    unsigned char open;
    unsigned char call;
} exit_codes[] = {
    [IDEM_ERR_ARGUMENT] = {CLI_USAGE, CLI_DATA},
    [IDEM_ERR_UNKNOWN_BACKEND] = {CLI_USAGE, CLI_USAGE},
    [IDEM_ERR_UNAVAILABLE] = {CLI_UNAVAILABLE, CLI_UNAVAILABLE},
    [IDEM_ERR_UNCERTAIN] = {CLI_UNAVAILABLE, CLI_UNAVAILABLE},
    [IDEM_ERR_LOST] = {CLI_INTERNAL, CLI_LOST},
    [IDEM_ERR_NOT_FOUND] = {CLI_INTERNAL, CLI_NOT_FOUND},
    [IDEM_ERR_CORRUPT] = {CLI_DATA, CLI_DATA},
    [IDEM_ERR_FULL] = {CLI_UNAVAILABLE, CLI_UNAVAILABLE},
    [IDEM_ERR_TOO_LARGE] = {CLI_USAGE, CLI_DATA},
    [IDEM_ERR_UNSUPPORTED] = {CLI_USAGE, CLI_USAGE},
    [IDEM_ERR_NO_MEMORY] = {CLI_INTERNAL, CLI_INTERNAL},
    [IDEM_ERR_INTERNAL] = {CLI_INTERNAL, CLI_INTERNAL},
};

static bool is_known(int code)
{
    return code > 0 && (size_t)code < sizeof exit_codes / sizeof exit_codes[0];
}

#define LINE_SIZE 1024

/* Writes a message so that it stays one line and drives no terminal: parts of it come from servers,
   files and command lines. What would is shown byte by byte, as in idem_quote(). */
static void make_visible(const char *line, char shown[LINE_SIZE * 4])
{
    const unsigned char *data = (const unsigned char *)line;
    size_t left = strlen(line);
    size_t at = 0;
    while (left > 0) {
        size_t len = cli_utf8_length(data, left);
        uint32_t character = len ? cli_utf8_decode(data, len) : 0;
        bool plain = len > 0 && !cli_is_control(character) && !cli_is_invisible(character);
        len = len ? len : 1;
        for (size_t i = 0; i < len; i++)
            at += (size_t)snprintf(shown + at, 5, plain ? "%c" : "\\x%02x", data[i]);
        data += len;
        left -= len;
    }
    shown[at] = '\0';
}

static bool is_raw;

void cli_say_raw(bool raw)
{
    is_raw = raw;
}

/* One line, in one write where stderr allows it: several processes may share it. */
static void say(const char *format, va_list arguments)
{
    char line[LINE_SIZE];
    char shown[LINE_SIZE * 4];
    (void)vsnprintf(line, sizeof line, format, arguments);
    make_visible(line, shown);
    (void)fprintf(stderr, "idem: %s%s\n", shown, is_raw ? "\r" : "");
    (void)fflush(stderr);
}

void cli_say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

static bool no_notes;

void cli_notes_off(void)
{
    no_notes = true;
}

void cli_note(const char *format, ...)
{
    va_list arguments;
    if (no_notes)
        return;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

static void say_try(const char *command)
{
    (void)fprintf(stderr, "try 'idem help%s%s'\n", command ? " " : "", command ? command : "");
}

int cli_usage(const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    say_try(command);
    return CLI_USAGE;
}

int cli_report_open(const char *command, const idem_error *error)
{
    int code = is_known(error->code) ? exit_codes[error->code].open : CLI_INTERNAL;
    cli_say("%s", error->message);
    if (code == CLI_USAGE)
        say_try(command);
    return code;
}

int cli_report_call(const idem_error *error)
{
    cli_say("%s", error->message);
    return is_known(error->code) ? exit_codes[error->code].call : CLI_INTERNAL;
}

const char *cli_problem(int number)
{
    switch (number) {
    case EBADF:
        return "it is closed";
    case EFBIG:
        return "it would grow beyond the limit of this process or file system (ulimit -f)";
    case EMFILE:
        return "this process may not have more open files (ulimit -n)";
    case ENFILE:
        return "this machine may not have more open files (fs.file-max)";
    case EROFS:
        return "it is on a file system that can only be read";
    case EDQUOT:
        return "the user's quota of the file system is used up";
    default:
        return strerror(number);
    }
}

int cli_report_no_memory(void)
{
    cli_say("out of memory");
    return CLI_INTERNAL;
}

const char *cli_duration_format(uint64_t ms, char buf[CLI_DURATION_SIZE])
{
    uint64_t seconds = ms / 1000;
    if (ms < 1000)
        (void)snprintf(buf, CLI_DURATION_SIZE, "%" PRIu64 "ms", ms);
    else if (seconds < 60)
        (void)snprintf(buf, CLI_DURATION_SIZE, "%" PRIu64 "s", seconds);
    else if (seconds < 3600)
        (void)snprintf(buf, CLI_DURATION_SIZE, "%" PRIu64 "m%" PRIu64 "s", seconds / 60,
                       seconds % 60);
    else if (seconds < 86400)
        (void)snprintf(buf, CLI_DURATION_SIZE, "%" PRIu64 "h%" PRIu64 "m", seconds / 3600,
                       seconds / 60 % 60);
    else
        (void)snprintf(buf, CLI_DURATION_SIZE, "%" PRIu64 "d%" PRIu64 "h", seconds / 86400,
                       seconds / 3600 % 24);
    return buf;
}
