/* SPDX-License-Identifier: MIT */
/*
 * Input: read to its end, but not more than one byte beyond what may be stored, so that an endless
 * one ends in a message.
 */
#include "input.h"

#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* A stdin that somebody else has made non-blocking is read like any other. */
static void wait_for_input(int fd)
{
    struct pollfd input = {.fd = fd, .events = POLLIN};
    (void)poll(&input, 1, -1);
}

/* @return 0, an errno, or EFBIG if there is more than `limit` */
static int read_up_to(int fd, uint64_t limit, cli_text *text)
{
    char chunk[16384];
    while (text->buffer.len <= limit && !text->failed) {
        uint64_t room = limit - text->buffer.len + 1;
        ssize_t got = read(fd, chunk, room < sizeof chunk ? (size_t)room : sizeof chunk);
        if (got == 0)
            return 0;
        if (got < 0 && errno == EAGAIN)
            wait_for_input(fd);
        else if (got < 0 && errno != EINTR)
            return errno;
        else if (got > 0)
            cli_text_bytes(text, (idem_bytes){chunk, (size_t)got});
    }
    return text->failed ? ENOMEM : EFBIG;
}

static void say_wait(const char *what)
{
    if (isatty(STDIN_FILENO))
        cli_say("reading %s from the terminal; end it with Ctrl-D on a line of its own", what);
}

int cli_input_read_stdin(uint64_t limit, cli_text *text)
{
    say_wait("JSON");
    int problem = read_up_to(STDIN_FILENO, limit, text);
    if (problem == 0)
        return CLI_OK;
    if (problem == ENOMEM)
        return cli_report_no_memory();
    if (problem == EFBIG)
        cli_say("the JSON on stdin is longer than this store's limit of %" PRIu64
                " bytes; raise it with ?max_response= in the store's URL",
                limit);
    else
        cli_say("stdin can't be read: %s", cli_problem(problem));
    return CLI_DATA;
}

static int report_file(const char *path, uint64_t limit, const char *option, int problem)
{
    char quoted[IDEM_QUOTE_SIZE];
    (void)idem_quote(idem_str(path), quoted);
    if (problem == 0)
        return CLI_OK;
    if (problem == ENOMEM)
        return cli_report_no_memory();
    if (problem == EFBIG)
        cli_say("the file %s of %s is longer than the %" PRIu64 " bytes that can be stored", quoted,
                option, limit);
    else
        cli_say("the file %s of %s can't be read: %s", quoted, option, cli_problem(problem));
    return CLI_DATA;
}

int cli_input_read_file(const char *path, uint64_t limit, const char *option, cli_text *text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int problem = fd < 0 ? errno : read_up_to(fd, limit, text);
    if (fd >= 0)
        (void)close(fd);
    return report_file(path, limit, option, problem);
}

int cli_input_read_bytes(const char *path, uint64_t limit, const char *option, cli_text *text)
{
    if (strcmp(path, "-") != 0)
        return cli_input_read_file(path, limit, option, text);
    say_wait("the response");
    return report_file(path, limit, option, read_up_to(STDIN_FILENO, limit, text));
}
