/* SPDX-License-Identifier: MIT */
/*
 * The operators' view: get, forget, ls, purge. A token is never shown.
 */
#include "command.h"
#include "output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static const char *status_name(const idem_record *record)
{
    return record->status == IDEM_STATUS_COMPLETED ? "completed" : "in_progress";
}

/* An open JSON object with all that is known of a record, but its response. */
static void add_record(cli_text *text, const idem_record *record)
{
    cli_text_add(text, "{");
    cli_text_key(text, record->key);
    cli_text_addf(text, ",\"status\":\"%s\",\"attempt\":%" PRIu32 ",\"created_at\":\"",
                  status_name(record), record->attempt);
    cli_text_time(text, record->created_at_ms);
    cli_text_add(text, "\",\"updated_at\":\"");
    cli_text_time(text, record->updated_at_ms);
    cli_text_addf(text, "\",\"lease_left_ms\":%" PRIu64 ",\"expires_in_ms\":%" PRIu64,
                  idem_record_lease_left_ms(record), idem_record_retention_left_ms(record));
    if (record->fingerprint.len > 0) {
        cli_text_add(text, ",\"fingerprint\":\"");
        cli_text_hex(text, record->fingerprint);
        cli_text_add(text, "\"");
    }
    if (record->checkpoint.len > 0) {
        cli_text_add(text, ",\"checkpoint\":");
        cli_text_bytes(text, record->checkpoint);
    }
}

int cli_get(idem_store *store, const cli_call *call)
{
    idem_record record;
    idem_error error;
    cli_text text = {0};
    if (idem_get(store, idem_str(call->operands[0]), &record, &error))
        return cli_report_call(&error);
    add_record(&text, &record);
    if (record.status == IDEM_STATUS_COMPLETED) {
        cli_text_add(&text, ",\"response\":");
        cli_text_bytes(&text, record.response);
    }
    cli_text_add(&text, "}");
    idem_record_clear(&record);
    return cli_answer(&text);
}

int cli_forget(idem_store *store, const cli_call *call)
{
    idem_error error;
    if (idem_forget(store, idem_str(call->operands[0]), &error))
        return cli_report_call(&error);
    return cli_answer_constant("{\"forgotten\":true}");
}

int cli_purge(idem_store *store, const cli_call *call)
{
    uint64_t removed = 0;
    idem_error error;
    cli_text text = {0};
    (void)call;
    if (idem_purge(store, 0, &removed, &error))
        return cli_report_call(&error);
    cli_text_addf(&text, "{\"removed\":%" PRIu64 "}", removed);
    return cli_answer(&text);
}

/* ------------------------------------------------------------------------------------- ls */

typedef struct {
    bool table;
    bool failed;
} listing;

/* The key comes last: it is the only column whose width nobody knows beforehand. */
static void add_row(cli_text *text, const idem_record *record)
{
    char lease[CLI_DURATION_SIZE] = "-";
    char expires[CLI_DURATION_SIZE];
    if (record->status == IDEM_STATUS_IN_PROGRESS)
        (void)cli_duration_format(idem_record_lease_left_ms(record), lease);
    (void)cli_duration_format(idem_record_retention_left_ms(record), expires);
    cli_text_addf(text, "%-11s  %7" PRIu32 "  ", status_name(record), record->attempt);
    cli_text_time(text, record->updated_at_ms);
    cli_text_addf(text, "  %10s  %10s  %10zu  ", lease, expires, record->response.len);
    if (cli_json_length(record->key) != SIZE_MAX) {
        cli_text_string(text, record->key);
    } else {
        cli_text_add(text, "hex ");
        cli_text_hex(text, record->key);
    }
}

/* A reader that has seen enough (`| head`) closes the pipe: that is no fault to speak of. */
static bool print_line(cli_text *text)
{
    cli_text_add(text, "\n");
    bool printed =
        !text->failed && fwrite(text->buffer.data, 1, text->buffer.len, stdout) == text->buffer.len;
    if (text->failed)
        (void)cli_report_no_memory();
    else if (!printed && errno != EPIPE)
        cli_say("the list can't be written to stdout: %s", strerror(errno));
    cli_text_clear(text);
    return printed;
}

static int list_record(const idem_record *record, void *user)
{
    listing *list = user;
    cli_text text = {0};
    if (list->table) {
        add_row(&text, record);
    } else {
        add_record(&text, record);
        if (record->status == IDEM_STATUS_COMPLETED)
            cli_text_addf(&text, ",\"response_bytes\":%zu", record->response.len);
        cli_text_add(&text, "}");
    }
    list->failed = !print_line(&text);
    return list->failed;
}

int cli_ls(idem_store *store, const cli_call *call)
{
    idem_error error;
    cli_text text = {0};
    listing list = {.table = isatty(STDOUT_FILENO) == 1};
    idem_filter filter = {.size = sizeof filter,
                          .prefix = idem_str(call->options.prefix),
                          .status = call->options.status,
                          .limit = call->options.limit};
    if (list.table) {
        cli_text_addf(&text, "%-11s  %7s  %-24s  %10s  %10s  %10s  %s", "STATUS", "ATTEMPT",
                      "UPDATED", "LEASE LEFT", "EXPIRES IN", "RESPONSE", "KEY");
        if (!print_line(&text))
            return CLI_INTERNAL;
    }
    int rc = idem_scan(store, &filter, list_record, &list, &error);
    if (list.failed)
        return CLI_INTERNAL;
    if (rc)
        return cli_report_call(&error);
    if (fflush(stdout) == 0)
        return CLI_OK;
    if (errno != EPIPE)
        cli_say("the list can't be written to stdout: %s", strerror(errno));
    return CLI_INTERNAL;
}
