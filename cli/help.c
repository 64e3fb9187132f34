/* SPDX-License-Identifier: MIT */
/*
 * What the command says about itself: its version, its help, and the kinds of store with their URL
 * parameters, which come from the backends' own tables.
 */
#include "command.h"
#include "output.h"

#include <stdio.h>

int cli_version(idem_store *store, const cli_call *call)
{
    cli_text text = {0};
    (void)store;
    (void)call;
    cli_text_add(&text, "{\"version\":");
    cli_text_string(&text, idem_str(idem_version()));
    cli_text_add(&text, "}");
    return cli_answer(&text);
}

int cli_help(idem_store *store, const cli_call *call)
{
    (void)store;
    if (call->operands_count == 0)
        return cli_help_all();
    const cli_command *command = cli_command_find(call->operands[0]);
    return command ? cli_help_command(command) : cli_command_unknown(call->operands[0]);
}

/* ------------------------------------------------------------------------------- backends */

static const char *type_name(idem_param_type type)
{
    switch (type) {
    case IDEM_PARAM_DURATION:
        return "duration";
    case IDEM_PARAM_SIZE:
        return "size";
    case IDEM_PARAM_COUNT:
        return "count";
    case IDEM_PARAM_TEXT:
        return "text";
    case IDEM_PARAM_CHOICE:
        return "choice";
    }
    return "text";
}

static void add_params_table(cli_text *text, const idem_param *params, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const idem_param *row = &params[i];
        char head[80];
        (void)snprintf(head, sizeof head, "%s=%s", row->name,
                       row->type == IDEM_PARAM_CHOICE && row->choices ? row->choices
                                                                      : type_name(row->type));
        cli_text_addf(text, "    %-27s ", head); /* a long name, too, ends before its help */
        cli_text_add(text, row->help ? row->help : "");
        if (row->fallback && *row->fallback)
            cli_text_addf(text, " (%s unless set)", row->fallback);
        cli_text_add(text, "\n");
    }
}

static int print_table(void)
{
    cli_text text = {0};
    const idem_backend_ops *ops;
    size_t count = 0;
    for (size_t i = 0; (ops = idem_backend_at(i)) != NULL; i++) {
        cli_text_addf(&text, "%s: %s\n", ops->scheme, ops->summary ? ops->summary : "");
        if (ops->example)
            cli_text_addf(&text, "    %s\n", ops->example);
        add_params_table(&text, ops->params, ops->params_count);
        cli_text_add(&text, "\n");
    }
    const idem_param *common = idem_common_params(&count);
    cli_text_add(&text, "every store: URL parameters that all of them take\n");
    add_params_table(&text, common, count);
    cli_text_add(&text, "\nParameters follow the URL as ?name=value&name=value. Durations are "
                        "written 500ms, 30s,\n5m, 24h; sizes 64KiB, 8MiB.\n");
    return cli_text_print(&text);
}

static void add_params_json(cli_text *text, const idem_param *params, size_t count)
{
    cli_text_add(text, "[");
    for (size_t i = 0; i < count; i++) {
        cli_text_add(text, i ? ",{\"name\":" : "{\"name\":");
        cli_text_string(text, idem_str(params[i].name));
        cli_text_addf(text, ",\"type\":\"%s\",\"default\":", type_name(params[i].type));
        cli_text_string_or_null(text, params[i].fallback);
        cli_text_add(text, ",\"choices\":");
        cli_text_string_or_null(text, params[i].choices);
        cli_text_add(text, ",\"help\":");
        cli_text_string_or_null(text, params[i].help);
        cli_text_add(text, "}");
    }
    cli_text_add(text, "]");
}

static int print_json(void)
{
    cli_text text = {0};
    const idem_backend_ops *ops;
    size_t count = 0;
    cli_text_add(&text, "{\"backends\":[");
    for (size_t i = 0; (ops = idem_backend_at(i)) != NULL; i++) {
        cli_text_add(&text, i ? ",{\"scheme\":" : "{\"scheme\":");
        cli_text_string(&text, idem_str(ops->scheme));
        cli_text_add(&text, ",\"summary\":");
        cli_text_string_or_null(&text, ops->summary);
        cli_text_add(&text, ",\"example\":");
        cli_text_string_or_null(&text, ops->example);
        cli_text_add(&text, ",\"params\":");
        add_params_json(&text, ops->params, ops->params_count);
        cli_text_add(&text, "}");
    }
    const idem_param *common = idem_common_params(&count);
    cli_text_add(&text, "],\"common_params\":");
    add_params_json(&text, common, count);
    cli_text_add(&text, "}");
    return cli_answer(&text);
}

int cli_backends(idem_store *store, const cli_call *call)
{
    (void)store;
    return call->options.json ? print_json() : print_table();
}
