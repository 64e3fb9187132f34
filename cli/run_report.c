/* SPDX-License-Identifier: MIT */
/*
 * --report: one line of JSON that tells a program what `idem run` did, since exit codes are those
 * of CMD as well. A file appears under its name in one piece, or not at all; that of an earlier run
 * is taken away first. Whether there is a place for it is found out before anything is done. Tokens
 * and output of CMD are not in it.
 */
#include "run_report.h"

#include "output.h"
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* --------------------------------------------------------------------------------- its place */

static int refuse(const char *name, const char *problem)
{
    char quoted[IDEM_QUOTE_SIZE];
    return cli_usage("run", "the report can't be written to %s: %s; nothing was done",
                     idem_quote(idem_str(name), quoted), problem);
}

/* @return the N of /dev/fd/N and the like; -1: it is none of these */
static int descriptor_of(const char *name)
{
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        const char *number = name + strlen(folders[i]);
        if (strncmp(name, folders[i], strlen(folders[i])) == 0 && strlen(number) - 1 < 7 &&
            strspn(number, "0123456789") == strlen(number))
            return atoi(number);
    }
    if (strcmp(name, "/dev/stdout") == 0)
        return STDOUT_FILENO;
    return strcmp(name, "/dev/stderr") == 0 ? STDERR_FILENO : -1;
}

/* CMD must not inherit it: the reader of the report may wait for its end. */
static int use_descriptor(cli_run_report *report, const char *name, int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags == -1 || (flags & O_ACCMODE) == O_RDONLY)
        return refuse(name, flags == -1 ? cli_problem(errno) : "it is open for reading alone");
    if (fd > STDERR_FILENO)
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    report->fd = fd;
    return CLI_OK;
}

/* The folder that a path lies in, with the last slash; empty: the current one. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

static int check_folder(const char *path)
{
    char *folder = strdup(path);
    if (!folder)
        return ENOMEM;
    folder[folder_length(path)] = '\0';
    int problem = access(*folder ? folder : ".", W_OK | X_OK) ? errno : 0;
    free(folder);
    return problem;
}

static int use_file(cli_run_report *report, const char *name)
{
    mode_t mask = umask(077);
    (void)umask(mask);
    report->mode = 0666 & ~mask;
    report->path = realpath(name, NULL); /* a link stays, and what it leads to is replaced */
    if (!report->path)
        report->path = strdup(name);
    if (!report->path)
        return cli_report_no_memory();
    int problem = check_folder(report->path);
    if (!problem && unlink(report->path) && errno != ENOENT)
        problem = errno;
    if (!problem)
        return CLI_OK;
    free(report->path);
    report->path = NULL;
    return refuse(name, cli_problem(problem));
}

int cli_run_report_open(cli_run_report *report, const char *name)
{
    struct stat found;
    int fd = name ? descriptor_of(name) : -1;
    if (!name)
        return CLI_OK;
    if (fd >= 0)
        return use_descriptor(report, name, fd);
    if (stat(name, &found) != 0)
        return errno == ENOENT && *name ? use_file(report, name) : refuse(name, cli_problem(errno));
    if (S_ISREG(found.st_mode))
        return use_file(report, name);
    report->fd = open(name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    return report->fd < 0 ? refuse(name, cli_problem(errno)) : CLI_OK;
}

/* ---------------------------------------------------------------------------------- its text */

static const char *outcome_name(idem_outcome_kind kind)
{
    switch (kind) {
    case IDEM_NEW:
        return "new";
    case IDEM_COMPLETED:
        return "completed";
    case IDEM_IN_PROGRESS:
        return "in_progress";
    case IDEM_MISMATCH:
        return "mismatch";
    case IDEM_IN_DOUBT:
        return "in_doubt";
    }
    return "error";
}

static const char *boolean(bool value)
{
    return value ? "true" : "false";
}

static void describe(const cli_run_report *report, idem_bytes key, int code, cli_text *text)
{
    int signal = code > CLI_DIED ? code - CLI_DIED : 0;
    cli_text_addf(text, "{\"outcome\":\"%s\",", outcome_name(report->kind));
    cli_text_key(text, key);
    if (report->kind == IDEM_NEW || report->kind == IDEM_IN_DOUBT)
        cli_text_addf(text, ",\"attempt\":%" PRIu32, report->attempt);
    if (report->kind == IDEM_IN_PROGRESS)
        cli_text_addf(text, ",\"retry_after_ms\":%" PRIu64, report->retry_after_ms);
    cli_text_addf(text, ",\"ran\":%s", boolean(report->ran));
    if (report->ran)
        cli_text_addf(text, ",\"stored\":%s,\"timed_out\":%s,\"claim_lost\":%s",
                      boolean(report->stored), boolean(report->timed_out),
                      boolean(report->claim_lost));
    if (signal)
        cli_text_addf(text, ",\"signal\":%d", signal);
    cli_text_addf(text, ",\"exit\":%d}\n", signal ? CLI_SIGNAL + signal : code);
}

/* --------------------------------------------------------------------------------- writing it */

/* @return 0 or an errno */
static int write_file(const cli_run_report *report, idem_bytes text)
{
    static const char name[] = ".idem-report-XXXXXX";
    size_t folder = folder_length(report->path);
    char *draft = malloc(folder + sizeof name);
    if (!draft)
        return ENOMEM;
    memcpy(draft, report->path, folder);
    memcpy(draft + folder, name, sizeof name);
    int fd = mkstemp(draft);
    int problem = fd < 0 ? errno : cli_stream_write(fd, text);
    if (!problem && (fchmod(fd, report->mode) || rename(draft, report->path)))
        problem = errno;
    if (problem && fd >= 0)
        (void)unlink(draft);
    if (fd >= 0)
        (void)close(fd);
    free(draft);
    return problem;
}

int cli_run_report_close(cli_run_report *report, idem_bytes key, int code)
{
    cli_text text = {0};
    int problem = 0;
    if (report->path || report->fd >= 0) {
        describe(report, key, code, &text);
        idem_bytes bytes = {text.buffer.data, text.buffer.len};
        problem = text.failed    ? ENOMEM
                  : report->path ? write_file(report, bytes)
                                 : cli_stream_write(report->fd, bytes);
    }
    if (problem)
        cli_say("the report can't be written: %s", cli_problem(problem));
    if (report->fd > STDERR_FILENO)
        (void)close(report->fd);
    cli_text_clear(&text);
    free(report->path);
    report->path = NULL;
    report->fd = -1;
    return problem && code == CLI_OK ? CLI_INTERNAL : code;
}
