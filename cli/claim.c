/* SPDX-License-Identifier: MIT */
/*
 * begin, and what the owner of a claim does: complete, renew, checkpoint, release. Each of the
 * latter takes the claim up again by its token, since every call of the command is a process of
 * its own.
 */
#include "begin.h"
#include "command.h"
#include "input.h"
#include "output.h"
#include "signals.h"

#include <inttypes.h>
#include <stdlib.h>

#define TEXT_OPERAND 1 /* the operand behind KEY */
#define COMPLETED    "{\"completed\":true}"

/* ---------------------------------------------------------------------------------- begin */

static void add_checkpoint(cli_text *text, idem_bytes checkpoint)
{
    if (checkpoint.len == 0)
        return;
    cli_text_add(text, ",\"checkpoint\":");
    cli_text_json_line(text, checkpoint);
}

static int describe(const idem_outcome *outcome, cli_text *text)
{
    switch (outcome->kind) {
    case IDEM_NEW:
        cli_text_add(text, "{\"outcome\":\"new\",\"token\":\"");
        cli_text_hex(text, (idem_bytes){idem_claim_token(outcome->claim), IDEM_TOKEN_SIZE});
        cli_text_addf(text, "\",\"attempt\":%" PRIu32, outcome->attempt);
        add_checkpoint(text, outcome->checkpoint);
        cli_text_add(text, "}");
        return CLI_OK;
    case IDEM_IN_PROGRESS:
        cli_text_addf(text, "{\"outcome\":\"in_progress\",\"retry_after_ms\":%" PRIu64 "}",
                      outcome->retry_after_ms);
        return CLI_IN_PROGRESS;
    case IDEM_COMPLETED:
        cli_text_add(text, "{\"outcome\":\"completed\",");
        cli_text_response(text, outcome->response, outcome->encoding);
        cli_text_add(text, "}");
        return CLI_COMPLETED;
    case IDEM_MISMATCH:
        cli_text_add(text, "{\"outcome\":\"mismatch\"}");
        return CLI_MISMATCH;
    case IDEM_IN_DOUBT:
        cli_text_addf(text, "{\"outcome\":\"in_doubt\",\"attempt\":%" PRIu32, outcome->attempt);
        add_checkpoint(text, outcome->checkpoint);
        cli_text_add(text, "}");
        return CLI_IN_DOUBT;
    }
    cli_say("the library gave an outcome that this command does not know");
    return CLI_INTERNAL;
}

/* Gives the key back: its token was not printed, so the key can't be completed. */
static void withdraw(idem_store *store, const cli_call *call, idem_outcome *outcome)
{
    if (outcome->kind == IDEM_NEW && !call->options.token.given)
        (void)cli_give_back(store, outcome, NULL);
}

int cli_begin(idem_store *store, const cli_call *call)
{
    idem_error error;
    idem_outcome outcome;
    idem_request request;
    cli_text text = {0};
    int code = CLI_INTERNAL;
    cli_call_request(call, &request);
    if (cli_begin_deferring(store, &request, &outcome, &error)) {
        code = cli_report_call(&error);
    } else {
        bool told = false;
        if (!cli_signals_deferred()) {
            code = describe(&outcome, &text);
            told = code != CLI_INTERNAL && cli_answer(&text) == CLI_OK;
        }
        if (!told) {
            withdraw(store, call, &outcome);
            code = CLI_INTERNAL;
        }
    }
    int signal = cli_signals_undefer();
    cli_text_clear(&text);
    idem_outcome_clear(&outcome);
    return signal ? CLI_DIED + signal : code;
}

/* ------------------------------------------------------------------------- a claim's owner */

static int find_token(const cli_call *call, cli_token *token)
{
    const char *inherited = getenv("IDEM_TOKEN");
    *token = call->options.token;
    if (token->given)
        return CLI_OK;
    if (!inherited || !*inherited)
        return cli_usage(call->command->name,
                         "'idem %s' needs --token T, as printed by "
                         "'idem begin'",
                         call->command->name);
    if (!cli_token_parse(inherited, token))
        return cli_usage(call->command->name, "$IDEM_TOKEN holds no token of 32 hexadecimal "
                                              "digits");
    return CLI_OK;
}

/* What an owner does with its claim. */
typedef int (*owner_fn)(idem_store *store, idem_claim *claim, const cli_call *call, idem_bytes text,
                        idem_error *error);

static int act_as_owner(idem_store *store, const cli_call *call, const cli_token *token,
                        idem_bytes text, owner_fn act, const char *answer)
{
    idem_claim *claim = NULL;
    idem_error error;
    int rc = idem_resume(store, call->key, token->bytes, &claim, &error);
    if (rc == IDEM_OK)
        rc = act(store, claim, call, text, &error);
    idem_claim_free(claim);
    return rc ? cli_report_call(&error) : cli_answer_constant(answer);
}

static int renew(idem_store *store, idem_claim *claim, const cli_call *call, idem_bytes text,
                 idem_error *error)
{
    (void)text;
    return idem_renew(store, claim, call->options.lease_ms, error);
}

int cli_renew(idem_store *store, const cli_call *call)
{
    cli_token token;
    int code = find_token(call, &token);
    return code ? code
                : act_as_owner(store, call, &token, idem_str(NULL), renew, "{\"renewed\":true}");
}

/* A claim that isn't held any more, or never was, leaves nothing to give back. */
int cli_release(idem_store *store, const cli_call *call)
{
    idem_claim *claim = NULL;
    idem_error error;
    cli_token token;
    int code = find_token(call, &token);
    if (code)
        return code;
    int rc = idem_resume(store, call->key, token.bytes, &claim, &error);
    if (rc == IDEM_OK)
        rc = idem_release(store, claim, &error);
    idem_claim_free(claim);
    if (rc == IDEM_OK || rc == IDEM_ERR_LOST || rc == IDEM_ERR_NOT_FOUND)
        return cli_answer_constant("{\"released\":true}");
    return cli_report_call(&error);
}

/* --------------------------------------------------------------------------- JSON to store */

static int act_with_text(idem_store *store, const cli_call *call, owner_fn act, const char *answer)
{
    cli_token token;
    cli_text input = {0};
    idem_bytes text;
    int code = find_token(call, &token);
    if (code)
        return code;
    if (call->operands_count > TEXT_OPERAND) {
        text = idem_str(call->operands[TEXT_OPERAND]);
    } else {
        code = cli_input_read_stdin(idem_max_response(store), &input);
        text = (idem_bytes){input.buffer.data, input.buffer.len};
    }
    if (code == CLI_OK)
        code = act_as_owner(store, call, &token, text, act, answer);
    cli_text_clear(&input);
    return code;
}

static int complete(idem_store *store, idem_claim *claim, const cli_call *call, idem_bytes text,
                    idem_error *error)
{
    idem_claim_set_ttl(claim, call->options.ttl_ms);
    return idem_complete(store, claim, text, error);
}

static int complete_bytes(idem_store *store, idem_claim *claim, const cli_call *call,
                          idem_bytes bytes, idem_error *error)
{
    idem_claim_set_ttl(claim, call->options.ttl_ms);
    return idem_complete_bytes(store, claim, bytes, error);
}

/* A file is bytes whatever is in it, so that a reader of the response can rely on one form. */
static int complete_with_file(idem_store *store, const cli_call *call)
{
    cli_token token;
    cli_text input = {0};
    int code = find_token(call, &token);
    if (code == CLI_OK)
        code = cli_input_read_bytes(call->options.file, idem_max_response(store), "--file", &input);
    idem_bytes bytes = {input.buffer.data, input.buffer.len};
    if (code == CLI_OK)
        code = act_as_owner(store, call, &token, bytes, complete_bytes, COMPLETED);
    cli_text_clear(&input);
    return code;
}

int cli_complete(idem_store *store, const cli_call *call)
{
    bool has_text = call->operands_count > TEXT_OPERAND;
    if (call->options.file && has_text)
        return cli_usage("complete", "--file and JSON exclude each other");
    if (call->options.file)
        return complete_with_file(store, call);
    return act_with_text(store, call, complete, COMPLETED);
}

static int checkpoint(idem_store *store, idem_claim *claim, const cli_call *call, idem_bytes text,
                      idem_error *error)
{
    (void)call;
    return idem_checkpoint(store, claim, text, error);
}

int cli_checkpoint(idem_store *store, const cli_call *call)
{
    return act_with_text(store, call, checkpoint, "{\"checkpointed\":true}");
}
