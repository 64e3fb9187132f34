/* SPDX-License-Identifier: MIT */
/*
 * Writes histories as history.h describes them.
 *
 * A write() that a signal ends may be cut at a page of the file. That tears the last line of a
 * process's own history, which the checker allows. The ledger is everybody's, so there its lines have
 * a fixed length that divides a page: none is ever torn.
 */
#include "desk.h"

#include "stamp.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LINE_MAX_SIZE 2048
#define LEDGER_LINE   128

static void end_with(const char *what, const char *why)
{
    (void)fprintf(stderr, "worker: %s: %s\n", what, why);
    _exit(3);
}

static void put(int fd, const char *line, size_t len)
{
    ssize_t written = write(fd, line, len);
    if (written != (ssize_t)len)
        end_with("history", "a line could not be written whole");
}

/* One line, behind the time. */
__attribute__((format(printf, 2, 3))) static void note(const desk *self, const char *format, ...)
{
    char line[LINE_MAX_SIZE];
    va_list arguments;
    int len = snprintf(line, sizeof line, "%" PRIu64 " ", stamp_us());
    va_start(arguments, format);
    len += vsnprintf(line + len, sizeof line - (size_t)len - 1, format, arguments);
    va_end(arguments);
    if (len < 0 || (size_t)len >= sizeof line - 1)
        end_with("history", "a line is too long");
    line[len++] = '\n';
    put(self->history, line, (size_t)len);
}

/* A text as one word. */
static const char *word(idem_bytes text, char encoded[3 * DESK_TEXT_SIZE + 1])
{
    const unsigned char *bytes = text.data;
    char *at = encoded;
    if (text.len > DESK_TEXT_SIZE)
        end_with("history", "a text is too long");
    for (size_t i = 0; i < text.len; i++) {
        if (bytes[i] > ' ' && bytes[i] < 0x7f && bytes[i] != '%')
            *at++ = (char)bytes[i];
        else
            at += snprintf(at, 4, "%%%02x", bytes[i]);
    }
    *at = '\0';
    return encoded;
}

static int open_file(const char *folder, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        end_with(path, "can't be opened");
    return fd;
}

void desk_open(desk *self, const char *folder, const char *url, const ways *way, unsigned process)
{
    char name[32];
    idem_error error;
    *self = (desk){.ways = way, .process = process};
    (void)snprintf(name, sizeof name, "process.%u", process);
    self->history = open_file(folder, name);
    self->ledger = open_file(folder, "ledger");
    int len = snprintf(name, sizeof name, "process %u\n", process);
    put(self->history, name, (size_t)len);
    if (idem_open(url, &self->store, &error))
        end_with(url, error.message);
}

/* --------------------------------------------------------------------------------------- calls */

static void note_outcome(const desk *self, const idem_outcome *outcome)
{
    char text[3 * DESK_TEXT_SIZE + 1];
    switch (outcome->kind) {
    case IDEM_NEW:
        note(self, "new attempt=%" PRIu32 " checkpoint=%s", outcome->attempt,
             word(outcome->checkpoint, text));
        return;
    case IDEM_IN_PROGRESS:
        note(self, "in_progress left=%" PRIu64, outcome->retry_after_ms);
        return;
    case IDEM_COMPLETED:
        note(self, "completed response=%s", word(outcome->response, text));
        return;
    case IDEM_IN_DOUBT:
        note(self, "in_doubt attempt=%" PRIu32 " checkpoint=%s", outcome->attempt,
             word(outcome->checkpoint, text));
        return;
    case IDEM_MISMATCH:
        break;
    }
    end_with("begin", "an outcome that nobody asked for");
}

static int note_result(const desk *self, int rc)
{
    if (rc == IDEM_OK)
        note(self, "ok");
    else
        note(self, "error code=%d", rc);
    return rc;
}

static idem_request request_of(const caller *by)
{
    idem_request request;
    idem_request_init(&request);
    request.key = idem_str(by->key);
    request.token = by->token;
    request.lease_ms = by->lease_ms;
    request.flags = by->flags;
    return request;
}

bool desk_begin(desk *self, const caller *by, uint64_t wait_ms, idem_outcome *outcome)
{
    idem_error error;
    idem_request request = request_of(by);
    request.wait_ms = wait_ms;
    note(self, "begin %s %s lease=%" PRIu64 " wait=%" PRIu64 " flags=-%s%s", by->key,
         by->token_text, by->lease_ms, wait_ms, by->flags & IDEM_NO_TAKEOVER ? "n" : "",
         by->flags & IDEM_KEEPALIVE ? "k" : "");
    int rc = self->ways->begin(self->store, &request, outcome, &error);
    if (rc)
        (void)note_result(self, rc);
    else
        note_outcome(self, outcome);
    return rc == IDEM_OK;
}

int desk_complete(desk *self, const caller *by, idem_claim *claim, const char *response)
{
    char text[3 * DESK_TEXT_SIZE + 1];
    idem_error error;
    idem_request request = request_of(by);
    note(self, "complete %s %s text=%s", by->key, by->token_text, word(idem_str(response), text));
    return note_result(
        self, self->ways->complete(self->store, &request, claim, idem_str(response), &error));
}

int desk_renew(desk *self, const caller *by, idem_claim *claim, uint64_t lease_ms)
{
    idem_error error;
    note(self, "renew %s %s lease=%" PRIu64, by->key, by->token_text, lease_ms);
    return note_result(self, self->ways->renew(self->store, claim, lease_ms, &error));
}

int desk_checkpoint(desk *self, const caller *by, idem_claim *claim, const char *text)
{
    char encoded[3 * DESK_TEXT_SIZE + 1];
    idem_error error;
    note(self, "checkpoint %s %s text=%s", by->key, by->token_text, word(idem_str(text), encoded));
    return note_result(self, idem_checkpoint(self->store, claim, idem_str(text), &error));
}

int desk_release(desk *self, const caller *by, idem_claim *claim)
{
    idem_error error;
    idem_request request = request_of(by);
    note(self, "release %s %s", by->key, by->token_text);
    return note_result(self, self->ways->release(self->store, &request, claim, &error));
}

void desk_effect(desk *self, const caller *by, unsigned attempt)
{
    char line[LEDGER_LINE + 1];
    int len = snprintf(line, sizeof line, "%" PRIu64 " effect %s %s attempt=%u", stamp_us(),
                       by->key, by->token_text, attempt);
    if (len < 0 || len >= LEDGER_LINE)
        end_with("ledger", "a line is too long");
    memset(line + len, ' ', (size_t)(LEDGER_LINE - len));
    line[LEDGER_LINE - 1] = '\n';
    put(self->ledger, line, LEDGER_LINE);
}
