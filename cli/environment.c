/* SPDX-License-Identifier: MIT */
/*
 * The environment of CMD. The store's URL is not handed on, and one in $IDEM_STORE that holds a
 * password is taken away, since CMD was not meant to have that. An idem inside CMD must not fall
 * back on the default store then, where nothing is known of the keys: it is told, and refuses. The
 * token is handed on: without it CMD could leave no checkpoint, and it opens nothing but this one
 * key.
 *
 * Sockets that a service manager has passed to idem (socket activation) are meant for CMD. It takes
 * them only if $LISTEN_PID is its own number, which nobody knows before it is there.
 *
 * What a store returned is judged before it becomes part of an environment: a NUL in it would begin
 * a variable of its own, and the loader takes orders from some of those.
 */
#include "environment.h"

#include "json.h"
#include "output.h"
#include "store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

extern char **environ;

static const char *const names[] = {
    "IDEM_KEY=", "IDEM_ATTEMPT=", "IDEM_TOKEN=", "IDEM_CHECKPOINT="};

#define NAMES_COUNT (sizeof names / sizeof names[0])

static const char listen_pid[] = "LISTEN_PID=";
static const char blank_pid[] = "00000000000000000000"; /* room for any number */

/* What an idem around this one has said of its own claim is not for CMD. */
static bool is_ours(const char *entry)
{
    for (size_t i = 0; i < NAMES_COUNT; i++) {
        if (strncmp(entry, names[i], strlen(names[i])) == 0)
            return true;
    }
    return false;
}

static bool is_secret(const char *entry)
{
    static const char store[] = "IDEM_STORE=";
    return strncmp(entry, store, sizeof store - 1) == 0 &&
           cli_store_has_password(entry + sizeof store - 1);
}

static bool has_name(const char *entry, const char *name)
{
    return strncmp(entry, name, strlen(name)) == 0;
}

/* @return true if the sockets were passed to this process, by what the entry says */
static bool is_listener(const char *entry)
{
    char *end = NULL;
    if (!has_name(entry, listen_pid))
        return false;
    long pid = strtol(entry + sizeof listen_pid - 1, &end, 10);
    return *end == '\0' && pid == (long)getpid();
}

static bool has_listener(void)
{
    for (char **entry = environ; entry && *entry; entry++) {
        if (is_listener(*entry))
            return true;
    }
    return false;
}

/* Another name of the process that the sockets are for: idem's, and so none of CMD's. */
static bool is_listeners_name(const char *entry)
{
    return has_name(entry, "LISTEN_PIDFDID=");
}

static void add_listener(cli_text *text)
{
    cli_text_add(text, listen_pid);
    cli_text_bytes(text, (idem_bytes){blank_pid, sizeof blank_pid});
}

void cli_environment_adapt(char **environment)
{
    char digits[sizeof blank_pid];
    size_t first = sizeof digits - 1;
    digits[first] = '\0';
    for (pid_t pid = getpid(); pid > 0; pid /= 10)
        digits[--first] = (char)('0' + pid % 10);
    for (char **entry = environment; *entry; entry++) {
        char *value = *entry + sizeof listen_pid - 1;
        if (has_name(*entry, listen_pid) && strcmp(value, blank_pid) == 0)
            memcpy(value, digits + first, sizeof digits - first);
    }
}

static void add_entries(cli_text *text, const char *key, const idem_outcome *outcome)
{
    static const idem_bytes end = {"", 1};
    bool listens = has_listener();
    for (char **entry = environ; entry && *entry; entry++) {
        if (is_secret(*entry))
            cli_text_bytes(text,
                           (idem_bytes){CLI_STORE_WITHHELD "=1", sizeof CLI_STORE_WITHHELD "=1"});
        else if (is_listener(*entry))
            add_listener(text);
        else if (!is_ours(*entry) && !(listens && is_listeners_name(*entry)))
            cli_text_bytes(text, (idem_bytes){*entry, strlen(*entry) + 1});
    }
    cli_text_add(text, names[0]);
    cli_text_bytes(text, (idem_bytes){key, strlen(key) + 1});
    cli_text_addf(text, "%s%" PRIu32, names[1], outcome->attempt);
    cli_text_bytes(text, end);
    cli_text_add(text, names[2]);
    cli_text_hex(text, (idem_bytes){idem_claim_token(outcome->claim), IDEM_TOKEN_SIZE});
    cli_text_bytes(text, end);
    if (outcome->checkpoint.len > 0 && outcome->checkpoint.len <= CLI_ENVIRONMENT_CHECKPOINT_MAX) {
        cli_text_add(text, names[3]);
        cli_text_bytes(text, outcome->checkpoint);
        cli_text_bytes(text, end);
    }
}

/* All entries live in one block, which the first of them begins. */
static char **cut_into_entries(cli_text *text)
{
    char **entries = NULL;
    size_t count = 0;
    for (size_t i = 0; i < text->buffer.len; i++)
        count += text->buffer.data[i] == '\0';
    if (!text->failed)
        entries = calloc(count + 1, sizeof *entries);
    if (!entries)
        return NULL;
    char *at = text->buffer.data;
    for (size_t i = 0; i < count; i++, at += strlen(at) + 1)
        entries[i] = at;
    return entries;
}

int cli_environment_make(const char *key, const idem_outcome *outcome, char ***environment)
{
    cli_text text = {0};
    char quoted[IDEM_QUOTE_SIZE];
    if (outcome->checkpoint.len > 0 && !cli_json_is_text(outcome->checkpoint)) {
        cli_say("the checkpoint that is stored for %s is no JSON text, and is handed to nobody; "
                "'idem get' shows the record",
                idem_quote(idem_str(key), quoted));
        return CLI_DATA;
    }
    add_entries(&text, key, outcome);
    *environment = cut_into_entries(&text);
    if (*environment)
        return CLI_OK;
    cli_text_clear(&text);
    return cli_report_no_memory();
}

void cli_environment_free(char **environment)
{
    if (!environment)
        return;
    idem_buffer block = {.data = environment[0]};
    idem_buffer_clear(&block);
    free(environment);
}
