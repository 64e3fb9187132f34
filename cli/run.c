/* SPDX-License-Identifier: MIT */
/*
 * `idem run`: begin, run CMD if the key is new, store what came of it; or replay what is stored.
 * CMD is never run unless the store has said that the key is ours. From CMD's start on, its own
 * exit code is what idem ends with, whatever the store does: CMD has run, and the caller has to
 * know how it went. Only a lost claim or --max-time, for which CMD was stopped, overrides that.
 */
#include "begin.h"
#include "child.h"
#include "command.h"
#include "environment.h"
#include "output.h"
#include "result.h"
#include "signals.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <unistd.h>

#define LEASE_MS 60000 /* the store's default, as long as the command line says nothing else */
#define PAUSE_MS 500   /* between two tries to store the result */

/* ------------------------------------------------------------- keys that were used before */

typedef void (*say_fn)(const char *format, ...) CLI_PRINTF(1, 2);

/* Where the gap is, is said in between: on a terminal it shows where it belongs. */
static int replay_stream(int fd, const char *name, const cli_result_stream *stream, say_fn say)
{
    const char *data = stream->kept.data;
    int problem = cli_stream_write(fd, (idem_bytes){data, stream->first});
    size_t last = stream->kept.len - stream->first;
    if (last > 0)
        say("%s: %" PRIu64 " bytes are missing here", name, stream->total - stream->kept.len);
    if (!problem && last > 0)
        problem = cli_stream_write(fd, (idem_bytes){data + stream->first, last});
    if (problem && problem != EPIPE)
        cli_say("%s could not be written: %s", name, strerror(problem));
    return problem == EPIPE ? 0 : problem;
}

/* @param fate  what has become of the bytes that are kept */
static void say_if_cut(const char *name, const cli_result_stream *stream, const char *fate,
                       say_fn say)
{
    size_t last = stream->kept.len - stream->first;
    if (stream->total > stream->kept.len && last > 0)
        say("%s was cut: of its %" PRIu64 " bytes the first %zu and the last %zu %s", name,
            stream->total, stream->first, last, fate);
    else if (stream->total > stream->kept.len)
        say("%s was cut: of its %" PRIu64 " bytes the first %zu %s", name, stream->total,
            stream->kept.len, fate);
    else if (stream->closed)
        say("%s was cut: its reader went away, and the %zu bytes that came until then %s", name,
            stream->kept.len, fate);
}

/* CMD's success must not hide that its output did not arrive; its failure says enough. */
static int code_after_output(int code, bool output_failed)
{
    return code == 0 && output_failed ? CLI_INTERNAL : code;
}

/* CMD's own end: of a signal, if it died of one. */
static int code_of_end(int code, int signal)
{
    return signal ? CLI_DIED + signal : code;
}

/* Half an output must not pass for all of it, unless that was asked for. */
static int code_after_replay(const cli_result *result, bool output_failed, bool allow_cut)
{
    bool cut = cli_result_is_cut(&result->out) || cli_result_is_cut(&result->err);
    if (result->code == 0 && cut && !allow_cut)
        return CLI_CUT;
    return code_after_output(code_of_end(result->code, result->signal), output_failed);
}

static int replay(const cli_call *call, const char *quoted_key, const idem_outcome *outcome)
{
    cli_result result;
    if (outcome->encoding != IDEM_ENCODING_JSON || !cli_result_decode(outcome->response, &result)) {
        cli_say("%s was completed, but not by 'idem run'; 'idem begin' shows its response",
                quoted_key);
        return CLI_DATA;
    }
    say_fn say = call->options.allow_cut ? cli_note : cli_say;
    int problem = replay_stream(STDOUT_FILENO, "stdout", &result.out, say);
    problem |= replay_stream(STDERR_FILENO, "stderr", &result.err, say);
    say_if_cut("stdout", &result.out, "were stored", say);
    say_if_cut("stderr", &result.err, "were stored", say);
    int code = code_after_replay(&result, problem != 0, call->options.allow_cut);
    cli_result_clear(&result);
    return code;
}

static int report_in_progress(const cli_call *call, const char *quoted_key, uint64_t retry_after_ms)
{
    char left[CLI_DURATION_SIZE];
    uint64_t code = call->options.busy_code;
    cli_note("%s is in progress elsewhere; try again, or wait with --wait (its lease has %s left)",
             quoted_key, cli_duration_format(retry_after_ms, left));
    return code ? (int)code - 1 : CLI_RETRY;
}

static int report_in_doubt(const char *quoted_key, uint32_t attempt)
{
    cli_say("%s is in doubt: attempt %" PRIu32 " stopped in the middle; find out what it did, then "
            "answer for it with 'idem settle', or have it run again with 'idem forget --expired'",
            quoted_key, attempt);
    return CLI_RETRY;
}

/* ------------------------------------------------------------------------ what came of CMD */

/* Waits a moment before the next try. @return false if a signal says that it is enough */
static bool pause_before_retry(void)
{
    cli_signal arrived;
    struct pollfd signals = {.fd = cli_signals_fd(), .events = POLLIN};
    (void)poll(&signals, 1, PAUSE_MS);
    while (cli_signals_next(&arrived)) {
        if (cli_signal_ends(arrived.number))
            return false;
    }
    return true;
}

static bool may_pass(int rc)
{
    return rc == IDEM_ERR_UNAVAILABLE || rc == IDEM_ERR_UNCERTAIN || rc == IDEM_ERR_FULL;
}

/* As long as the lease lasts nobody else may have the key, so that trying on is worth it.
   IDEM_ERR_UNCERTAIN: one of the tries may have stored the response. */
static int complete(idem_store *store, idem_claim *claim, uint64_t lease_ms, idem_bytes response,
                    idem_error *error)
{
    char length[CLI_DURATION_SIZE];
    bool said = false;
    uint64_t until = idem_monotonic_ms() + lease_ms;
    int rc = idem_complete(store, claim, response, error);
    bool doubt = rc == IDEM_ERR_UNCERTAIN;
    while (may_pass(rc) && idem_monotonic_ms() < until) {
        if (!said)
            cli_note("the result can't be stored yet: %s; trying on for %s", error->message,
                     cli_duration_format(lease_ms, length));
        said = true;
        if (!pause_before_retry())
            break;
        rc = idem_complete(store, claim, response, error);
        doubt = doubt || rc == IDEM_ERR_UNCERTAIN;
    }
    return doubt && may_pass(rc) ? IDEM_ERR_UNCERTAIN : rc;
}

static cli_result_stream stream_of(cli_stream *stream, bool failed)
{
    cli_result_stream result = {.total = stream->total, .closed = stream->closed};
    result.first = failed ? cli_stream_keep_ends(stream) : stream->kept.len;
    result.kept = (idem_bytes){stream->kept.data, stream->kept.len};
    return result;
}

static uint64_t lease_of(const cli_call *call)
{
    return call->options.lease_ms ? call->options.lease_ms : LEASE_MS;
}

/* Why a CMD has failed is said at the end more often than at the beginning. */
static void store_result(idem_store *store, const cli_call *call, idem_claim *claim,
                         cli_child *child)
{
    idem_error error = {IDEM_ERR_NO_MEMORY, "out of memory"};
    cli_text text = {0};
    cli_result result = {.code = child->code, .signal = child->signal, .merged = child->merged};
    result.out = stream_of(&child->streams[0], child->code != 0);
    result.err = stream_of(&child->streams[1], child->code != 0);
    cli_result_encode(&result, &text);
    int rc = IDEM_ERR_NO_MEMORY;
    if (!text.failed)
        rc = complete(store, claim, lease_of(call), (idem_bytes){text.buffer.data, text.buffer.len},
                      &error);
    if (rc == IDEM_OK) {
        call->report->stored = true;
        say_if_cut("stdout", &result.out, "are stored", cli_note);
        say_if_cut("stderr", &result.err, "are stored", cli_note);
    } else {
        cli_say("the command has run, but its result %s: %s",
                rc == IDEM_ERR_UNCERTAIN ? "may not be stored" : "is not stored", error.message);
    }
    cli_text_clear(&text);
}

static void release(idem_store *store, idem_claim *claim)
{
    idem_error error;
    if (idem_release(store, claim, &error))
        cli_say("the command has failed, and its key is not given back before its lease runs "
                "out: %s",
                error.message);
}

/* CMD was not run at all. */
static void give_back_unused(idem_store *store, const idem_outcome *outcome)
{
    idem_error error;
    if (cli_give_back(store, outcome, &error))
        cli_say("the key is not given back before its lease runs out: %s", error.message);
}

/* What can't be ended may still be at work: the key is given back by nobody but the lease. */
static void keep_claim(void)
{
    cli_say("the key is not given back before its lease runs out");
}

static int finish(idem_store *store, const cli_call *call, idem_claim *claim, cli_child *child)
{
    bool output_failed = false;
    for (int i = 0; i < 2; i++) {
        int problem = child->streams[i].problem;
        output_failed = output_failed || (problem && problem != EPIPE);
    }
    if (child->claim_lost) {
        cli_say("the command was stopped, and nothing is stored");
        return CLI_RETRY;
    }
    if (!child->ended) {
        keep_claim();
        return CLI_INTERNAL;
    }
    if (child->timed_out) {
        child->code = CLI_TIMED_OUT;
        child->signal = 0;
    }
    if (child->code == 0 || call->options.keep_failures)
        store_result(store, call, claim, child);
    else if (child->left_alive)
        keep_claim();
    else
        release(store, claim);
    return code_after_output(code_of_end(child->code, child->signal), output_failed);
}

/* ---------------------------------------------------------------------------------- running */

/* Where there is none, as under cron, the same command line serves. */
static bool wants_terminal(const cli_call *call)
{
    if (!call->options.tty || cli_terminal_is_there())
        return call->options.tty;
    cli_note("--tty: stdin and stdout are not a terminal; the command gets pipes");
    return false;
}

static int run_new(idem_store *store, const cli_call *call, const char *quoted_key,
                   const idem_outcome *outcome)
{
    cli_child child;
    char **environment = NULL;
    int code = cli_environment_make(call->operands[0], outcome, &environment);
    if (code == CLI_OK && outcome->attempt > 1)
        cli_note("an earlier run of %s stopped in the middle; this is attempt %" PRIu32, quoted_key,
                 outcome->attempt);
    if (outcome->checkpoint.len > CLI_ENVIRONMENT_CHECKPOINT_MAX)
        cli_note("its checkpoint is too long for $IDEM_CHECKPOINT; 'idem get' shows it");
    if (code == CLI_OK)
        code =
            cli_child_start(&(cli_child_plan){.program = call->program,
                                              .environment = environment,
                                              .limit = cli_result_limit(idem_max_response(store)),
                                              .lease_ms = lease_of(call),
                                              .max_time_ms = call->options.max_time_ms,
                                              .terminal = wants_terminal(call)},
                            &child);
    cli_environment_free(environment);
    if (code) {
        give_back_unused(store, outcome);
        return code;
    }
    call->report->ran = true;
    cli_child_follow(&child, outcome->claim);
    call->report->timed_out = child.timed_out;
    call->report->claim_lost = child.claim_lost;
    code = finish(store, call, outcome->claim, &child);
    cli_child_clear(&child);
    return code;
}

static int act_on(idem_store *store, const cli_call *call, const idem_outcome *outcome)
{
    char quoted_key[IDEM_QUOTE_SIZE];
    (void)idem_quote(idem_str(call->operands[0]), quoted_key);
    switch (outcome->kind) {
    case IDEM_NEW:
        return run_new(store, call, quoted_key, outcome);
    case IDEM_COMPLETED:
        return replay(call, quoted_key, outcome);
    case IDEM_IN_PROGRESS:
        return report_in_progress(call, quoted_key, outcome->retry_after_ms);
    case IDEM_IN_DOUBT:
        return report_in_doubt(quoted_key, outcome->attempt);
    case IDEM_MISMATCH:
        cli_say("%s was used with another fingerprint", quoted_key);
        return CLI_DATA;
    }
    cli_say("the library gave an outcome that this command does not know");
    return CLI_INTERNAL;
}

/* A signal that came before CMD is started ends idem, and nothing is left claimed. From now on one
   is for CMD, if there will be any. */
static int end_deferring(idem_store *store, const idem_outcome *outcome, int code)
{
    bool is_new = outcome->kind == IDEM_NEW;
    if (is_new && !cli_signals_deferred() && !cli_signals_catch()) {
        cli_say("signals can't be caught: %s", cli_problem(errno));
        code = CLI_INTERNAL;
    }
    if (is_new && (code || cli_signals_deferred()))
        give_back_unused(store, outcome);
    if (!is_new || code || cli_signals_deferred())
        (void)cli_signals_undefer();
    return cli_signals_deferred() ? CLI_DIED + cli_signals_deferred() : code;
}

int cli_run(idem_store *store, const cli_call *call)
{
    idem_error error;
    idem_outcome outcome;
    idem_request request;
    if (cli_result_limit(idem_max_response(store)) == 0)
        return cli_usage(call->command->name,
                         "this store's max_response of %" PRIu64
                         " bytes is too small for 'idem run'",
                         idem_max_response(store));
    if (call->options.quiet)
        cli_notes_off();
    cli_call_request(call, &request);
    request.flags |= IDEM_KEEPALIVE | IDEM_REINSTATE;
    int code = CLI_OK;
    if (cli_begin_deferring(store, &request, &outcome, &error))
        code = cli_report_call(&error);
    code = end_deferring(store, &outcome, code);
    call->report->kind = outcome.kind;
    call->report->attempt = outcome.attempt;
    call->report->retry_after_ms = outcome.retry_after_ms;
    if (code == CLI_OK)
        code = act_on(store, call, &outcome);
    idem_outcome_clear(&outcome);
    return code;
}
