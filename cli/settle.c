/* SPDX-License-Identifier: MIT */
/*
 * `idem settle`: an operator's answer for a key whose owner crashed. With --exit it is what
 * `idem run` stores and replays, of output that is read from files.
 */
#include "command.h"
#include "input.h"
#include "output.h"
#include "result.h"

#define JSON_OPERAND 1 /* behind KEY */

static int settle(idem_store *store, const cli_call *call, idem_bytes response)
{
    idem_error error;
    if (idem_settle(store, call->key, response, &error))
        return cli_report_call(&error);
    return cli_answer_constant("{\"settled\":true}");
}

/* ----------------------------------------------------------------------------------- of a run */

/* @param path  NULL: no output */
static int read_output(const char *path, const char *name, size_t limit, cli_text *text,
                       cli_result_stream *stream)
{
    int code = path ? cli_input_read_file(path, limit, name, text) : CLI_OK;
    stream->kept = (idem_bytes){text->buffer.data, text->buffer.len};
    stream->total = text->buffer.len;
    stream->first = text->buffer.len;
    return code;
}

static int settle_run(idem_store *store, const cli_call *call)
{
    const cli_options *options = &call->options;
    cli_result result = {.code = (int)options->code - 1};
    cli_text out = {0};
    cli_text err = {0};
    cli_text text = {0};
    size_t limit = cli_result_limit(idem_max_response(store));
    int code = read_output(options->stdout_file, "--stdout", limit, &out, &result.out);
    if (code == CLI_OK)
        code = read_output(options->stderr_file, "--stderr", limit, &err, &result.err);
    if (code == CLI_OK)
        cli_result_encode(&result, &text);
    if (code == CLI_OK && text.failed)
        code = cli_report_no_memory();
    if (code == CLI_OK)
        code = settle(store, call, (idem_bytes){text.buffer.data, text.buffer.len});
    cli_text_clear(&out);
    cli_text_clear(&err);
    cli_text_clear(&text);
    return code;
}

/* -------------------------------------------------------------------------------- any response */

static int settle_json(idem_store *store, const cli_call *call)
{
    cli_text text = {0};
    if (call->operands_count > JSON_OPERAND)
        return settle(store, call, idem_str(call->operands[JSON_OPERAND]));
    int code = cli_input_read_stdin(idem_max_response(store), &text);
    if (code == CLI_OK)
        code = settle(store, call, (idem_bytes){text.buffer.data, text.buffer.len});
    cli_text_clear(&text);
    return code;
}

int cli_settle(idem_store *store, const cli_call *call)
{
    const cli_options *options = &call->options;
    if (options->code == 0 && (options->stdout_file || options->stderr_file))
        return cli_usage("settle", "--stdout and --stderr go with --exit N");
    if (options->code && call->operands_count > JSON_OPERAND)
        return cli_usage("settle", "--exit and JSON exclude each other");
    return options->code ? settle_run(store, call) : settle_json(store, call);
}
