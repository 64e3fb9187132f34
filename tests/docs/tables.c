/* SPDX-License-Identifier: MIT */
/*
 * Prints the tables of the documents from what the code itself goes by: the backends' rows of URL
 * parameters, the list of errors, and the exit codes that the command makes of them.
 *
 *     tables "parameters: SCHEME" | "parameters: every store" | backends | errors | metrics
 *
 * Ends with 3 if this build has left out a backend that the table is about.
 */
#include <idem/backend.h>

#include <report.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_LEFT_OUT 3
#define FEW_PARAMS    4 /* in a table of all backends */

/* What the project has, whether or not this build has it. */
static const char *const schemes[] = {"memory",          "postgresql", "redis",  "redis+cluster",
                                      "redis+sentinel",  "redis+unix", "rediss", "rediss+cluster",
                                      "rediss+sentinel", "sqlite"};

static bool is_known(const char *scheme)
{
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (strcmp(schemes[i], scheme) == 0)
            return true;
    }
    return false;
}

static const idem_backend_ops *find_backend(const char *scheme)
{
    const idem_backend_ops *ops;
    for (size_t i = 0; (ops = idem_backend_at(i)) != NULL; i++) {
        if (strcmp(ops->scheme, scheme) == 0)
            return ops;
    }
    return NULL;
}

/* ----------------------------------------------------------------------------- parameters */

static void print_choices(const char *choices)
{
    const char *at = choices;
    while (at) {
        size_t len = strcspn(at, "|");
        (void)printf("%s`%.*s`", at == choices ? "" : " or ", (int)len, at);
        at = at[len] ? at + len + 1 : NULL;
    }
}

static void print_value(const idem_param *param)
{
    static const char *const types[] = {[IDEM_PARAM_DURATION] = "duration",
                                        [IDEM_PARAM_SIZE] = "size",
                                        [IDEM_PARAM_COUNT] = "number",
                                        [IDEM_PARAM_TEXT] = "text"};
    if (param->type == IDEM_PARAM_CHOICE)
        print_choices(param->choices);
    else
        (void)printf("%s", types[param->type]);
}

static void print_params(const idem_param *params, size_t count)
{
    (void)puts("| parameter | value | default | meaning |\n|---|---|---|---|");
    for (size_t i = 0; i < count; i++) {
        const char *fallback = params[i].fallback;
        bool set = fallback && *fallback;
        (void)printf("| `%s` | ", params[i].name);
        print_value(&params[i]);
        (void)printf(" | %s%s%s | %s |\n", set ? "`" : "", set ? fallback : "not set",
                     set ? "`" : "", params[i].help);
    }
}

static int print_common(void)
{
    size_t count = 0;
    const idem_param *params = idem_common_params(&count);
    print_params(params, count);
    return EXIT_SUCCESS;
}

static int print_scheme(const char *scheme)
{
    const idem_backend_ops *ops = find_backend(scheme);
    if (!ops)
        return EXIT_LEFT_OUT;
    print_params(ops->params, ops->params_count);
    return EXIT_SUCCESS;
}

/* ------------------------------------------------------------------------------- backends */

static int print_backends(void)
{
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (!find_backend(schemes[i]))
            return EXIT_LEFT_OUT;
    }
    (void)puts("| scheme | store | such as | its own parameters |\n|---|---|---|---|");
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        const idem_backend_ops *ops = find_backend(schemes[i]);
        (void)printf("| `%s` | %s | `%s` | ", ops->scheme, ops->summary, ops->example);
        size_t shown = ops->params_count > FEW_PARAMS ? FEW_PARAMS : ops->params_count;
        for (size_t k = 0; k < shown; k++)
            (void)printf("%s`%s`", k ? ", " : "", ops->params[k].name);
        if (shown < ops->params_count)
            (void)printf(" and %zu more", ops->params_count - shown);
        (void)puts(ops->params_count ? " |" : "none |");
    }
    return EXIT_SUCCESS;
}

/* --------------------------------------------------------------------------------- errors */

static void print_error(const char *name, int number, const char *meaning)
{
    idem_error error = {.code = number};
    (void)printf("| `IDEM_ERR_%s` | %d | %s | %d | %d |\n", name, number, meaning,
                 cli_report_open(NULL, &error), cli_report_call(&error));
}

static int print_errors(void)
{
    (void)puts("| code | number | meaning | exit, opening | exit, else |\n"
               "|---|---|---|---|---|");
#define ROW(name, number, text) print_error(#name, number, text);
    IDEM_ERROR_MAP(ROW)
#undef ROW
    return EXIT_SUCCESS;
}

/* -------------------------------------------------------------------------------- metrics */

static const char type_line[] = "# TYPE ";
static const char help_line[] = "# HELP ";

/* The metadata of the text: the samples depend on what was called. */
static void print_metrics_of(const char *text, size_t len, void *user)
{
    const char *type = NULL;
    int type_len = 0;
    (void)user;
    for (const char *line = text, *end; line < text + len; line = end + 1) {
        end = memchr(line, '\n', (size_t)(text + len - line));
        if (strncmp(line, type_line, sizeof type_line - 1) == 0) {
            type = line + sizeof type_line - 1;
            type_len = (int)(end - type);
        } else if (type && strncmp(line, help_line, sizeof help_line - 1) == 0) {
            int name_len = (int)strcspn(type, " ");
            const char *help = line + sizeof help_line + name_len;
            (void)printf("| `%.*s` | %.*s | %.*s |\n", name_len, type, type_len - name_len - 1,
                         type + name_len + 1, (int)(end - help), help);
        }
    }
}

static int print_metrics(void)
{
    idem_store *store = NULL;
    (void)puts("| metric | type | meaning |\n|---|---|---|");
    if (idem_open("memory://", &store, NULL) ||
        idem_stats_text(store, NULL, print_metrics_of, NULL, NULL))
        return EXIT_FAILURE;
    idem_close(store);
    return EXIT_SUCCESS;
}

/* The scheme that a table of parameters is about; NULL: it is about something else. */
static const char *scheme_of(const char *table)
{
    static const char params[] = "parameters: ";
    bool fits = strncmp(table, params, sizeof params - 1) == 0;
    return fits && is_known(table + sizeof params - 1) ? table + sizeof params - 1 : NULL;
}

int main(int argc, char **argv)
{
    const char *table = argc == 2 ? argv[1] : "";
    if (strcmp(table, "errors") == 0)
        return print_errors();
    if (strcmp(table, "metrics") == 0)
        return print_metrics();
    if (strcmp(table, "backends") == 0)
        return print_backends();
    if (strcmp(table, "parameters: every store") == 0)
        return print_common();
    if (scheme_of(table))
        return print_scheme(scheme_of(table));
    (void)fprintf(stderr, "tables: there is no table '%s'\n", table);
    return 64;
}
