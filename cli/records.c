/* SPDX-License-Identifier: MIT */
/*
 * The operators' view: get, forget, ls, purge. A token is never shown.
 */
#include "command.h"
#include "output.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

static const char *status_name(const idem_record *record)
{
    switch (record->status) {
    case IDEM_STATUS_COMPLETED:
        return "completed";
    case IDEM_STATUS_CORRUPT:
        return "corrupt";
    case IDEM_STATUS_IN_PROGRESS:
        break;
    }
    return "in_progress";
}

/* What is known of a record that could be read. */
static void add_details(cli_text *text, const idem_record *record)
{
    cli_text_addf(text, ",\"attempt\":%" PRIu32 ",\"created_at\":\"", record->attempt);
    cli_text_time(text, record->created_at_ms);
    cli_text_add(text, "\",\"updated_at\":\"");
    cli_text_time(text, record->updated_at_ms);
    cli_text_addf(text, "\",\"lease_left_ms\":%" PRIu64 ",\"expires_in_ms\":%" PRIu64,
                  idem_record_lease_left_ms(record), idem_record_retention_left_ms(record));
    if (record->flags & IDEM_RECORD_UNDATED)
        cli_text_add(text, ",\"undated\":true");
    if (record->fingerprint.len > 0) {
        cli_text_add(text, ",\"fingerprint\":\"");
        cli_text_hex(text, record->fingerprint);
        cli_text_add(text, "\"");
    }
    if (record->checkpoint.len > 0) {
        cli_text_add(text, ",\"checkpoint\":");
        cli_text_json_line(text, record->checkpoint);
    }
}

/* An open JSON object with all that is known of a record, but its response. */
static void add_record(cli_text *text, const idem_record *record)
{
    cli_text_add(text, "{");
    cli_text_key(text, record->key);
    cli_text_addf(text, ",\"status\":\"%s\"", status_name(record));
    if (record->status != IDEM_STATUS_CORRUPT)
        add_details(text, record);
}

/* What can't be read may be what another program lives by, so that nobody is told to remove it
   without looking. */
static int report_on_key(const idem_error *error)
{
    int code = cli_report_call(error);
    if (error->code == IDEM_ERR_CORRUPT)
        cli_say("'idem forget --force' removes whatever is stored there; make sure before that it "
                "is no other program's");
    return code;
}

int cli_get(idem_store *store, const cli_call *call)
{
    idem_record record;
    idem_error error;
    cli_text text = {0};
    if (idem_get(store, call->key, &record, &error))
        return report_on_key(&error);
    add_record(&text, &record);
    if (record.status == IDEM_STATUS_COMPLETED) {
        cli_text_add(&text, ",");
        cli_text_response(&text, record.response, record.encoding);
    }
    cli_text_add(&text, "}");
    idem_record_clear(&record);
    return cli_answer(&text);
}

int cli_forget(idem_store *store, const cli_call *call)
{
    idem_error error;
    const cli_options *options = &call->options;
    if (options->expired && options->force)
        return cli_usage("forget", "--expired and --force exclude each other: what is no record "
                                   "has no lease that could run out");
    int rc = options->force     ? idem_forget_any(store, call->key, &error)
             : options->expired ? idem_forget_expired(store, call->key, &error)
                                : idem_forget(store, call->key, &error);
    return rc ? report_on_key(&error) : cli_answer_constant("{\"forgotten\":true}");
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

#define PENDING_MAX 65536 /* so much is written at once */

typedef struct {
    const cli_options *options;
    bool table;
    cli_text pending;
    uint64_t count;
    int problem; /**< of writing: an errno */
} listing;

/* The key comes last: it is the only column whose width nobody knows beforehand. */
static void add_row(cli_text *text, const idem_record *record)
{
    char lease[CLI_DURATION_SIZE] = "-";
    char expires[CLI_DURATION_SIZE] = "-";
    bool is_record = record->status != IDEM_STATUS_CORRUPT;
    if (record->status == IDEM_STATUS_IN_PROGRESS)
        (void)cli_duration_format(idem_record_lease_left_ms(record), lease);
    if (is_record)
        (void)cli_duration_format(idem_record_retention_left_ms(record), expires);
    cli_text_addf(text, "%-11s  %7" PRIu32 "  ", status_name(record), record->attempt);
    if (is_record)
        cli_text_time(text, record->updated_at_ms);
    else
        cli_text_addf(text, "%-24s", "-");
    cli_text_addf(text, "  %10s  %10s  %10zu  ", lease, expires, record->response.len);
    if (cli_json_length(record->key) != SIZE_MAX) {
        cli_text_string(text, record->key);
    } else {
        cli_text_add(text, "hex ");
        cli_text_hex(text, record->key);
    }
}

static int flush(listing *list)
{
    list->problem = cli_text_write(&list->pending);
    return list->problem;
}

bool cli_record_is_stuck(const idem_record *record)
{
    return record->status == IDEM_STATUS_IN_PROGRESS &&
           (idem_record_lease_left_ms(record) == 0 || (record->flags & IDEM_RECORD_UNDATED) != 0);
}

static int list_record(const idem_record *record, void *user)
{
    listing *list = user;
    cli_text *text = &list->pending;
    if (list->options->stuck && !cli_record_is_stuck(record))
        return 0;
    if (list->table) {
        add_row(text, record);
    } else {
        add_record(text, record);
        if (record->status == IDEM_STATUS_COMPLETED)
            cli_text_addf(text, ",\"response_bytes\":%zu", record->response.len);
        cli_text_add(text, "}");
    }
    cli_text_add(text, "\n");
    list->count++;
    if ((text->failed || text->buffer.len >= PENDING_MAX) && flush(list))
        return 1;
    return list->options->limit && list->count >= list->options->limit;
}

/* A reader that has seen enough (`| head`) closes the pipe: that is no fault to speak of. */
static int report_listing(const listing *list)
{
    if (list->problem && list->problem != EPIPE)
        cli_say("the list can't be written to stdout: %s", cli_problem(list->problem));
    return list->problem ? CLI_INTERNAL : CLI_OK;
}

int cli_ls(idem_store *store, const cli_call *call)
{
    idem_error error;
    const cli_options *options = &call->options;
    listing list = {.options = options, .table = !options->json && isatty(STDOUT_FILENO) == 1};
    idem_filter filter = {
        .size = sizeof filter, .prefix = idem_str(options->prefix), .status = options->status};
    if (options->stuck && options->status > IDEM_STATUS_IN_PROGRESS)
        return cli_usage("ls", "--stuck lists what is in_progress; leave --status away");
    if (options->stuck)
        filter.status = IDEM_STATUS_IN_PROGRESS;
    if (list.table)
        cli_text_addf(&list.pending, "%-11s  %7s  %-24s  %10s  %10s  %10s  %s\n", "STATUS",
                      "ATTEMPT", "UPDATED", "LEASE LEFT", "EXPIRES IN", "RESPONSE", "KEY");
    int rc = idem_scan(store, &filter, list_record, &list, &error);
    if (!list.problem)
        (void)flush(&list);
    int code = report_listing(&list);
    return code == CLI_OK && rc ? cli_report_call(&error) : code;
}
