/* SPDX-License-Identifier: MIT */
/*
 * What callers asked of a store and what they were told. An entry is made before the call and ended
 * after it, both with the moment of the disk's record, so that for every power failure it is known
 * which calls had been acknowledged and which were under way.
 *
 * Everything that is written bears a number that was never used before: a record shows by itself
 * which change it is from, and one that is made up of two changes shows none.
 */
#include "history.h"

#include "options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

history *told;

void history_make(void)
{
    told = shared_memory(sizeof *told);
    told->clock_ms = 1000000;
}

void history_reset(bool from_observed)
{
    told->count = 0;
    told->failure[0] = '\0';
    if (from_observed)
        memcpy(told->start, told->observed, sizeof told->start);
    else
        memset(told->start, 0, sizeof told->start);
}

void history_fail(const char *format, ...)
{
    va_list arguments;
    if (told->failure[0])
        return;
    va_start(arguments, format);
    (void)vsnprintf(told->failure, sizeof told->failure, format, arguments);
    va_end(arguments);
}

/* ----------------------------------------------------------------------- numbers to contents */

idem_bytes history_key(uint32_t key, char buf[16])
{
    (void)snprintf(buf, 16, "key-%u", key);
    return idem_str(buf);
}

/* A response of some bytes, of a page, of many pages. */
static size_t text_size(uint32_t text)
{
    if (text % 11 == 0)
        return 30000 + text % 5000;
    return text % 3 == 0 ? 3000 + text % 2000 : 60;
}

idem_bytes history_text(uint32_t text, char buf[TEXT_MAX])
{
    size_t size = text_size(text);
    int head = snprintf(buf, TEXT_MAX, "{\"n\":%u,\"is\":\"", text);
    if (text == 0 || head < 0)
        return (idem_bytes){NULL, 0};
    for (size_t i = (size_t)head; i < size - 2; i++)
        buf[i] = (char)('a' + (text + i * 7 + i / 512) % 26);
    memcpy(buf + size - 2, "\"}", 2);
    return (idem_bytes){buf, size};
}

void history_token(const key_state *of, uint8_t token[IDEM_TOKEN_SIZE])
{
    memset(token, 0x5a, IDEM_TOKEN_SIZE);
    memcpy(token, &of->claimer, sizeof of->claimer);
    memcpy(token + sizeof of->claimer, &of->attempt, sizeof of->attempt);
}

static bool same_bytes(idem_bytes a, idem_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool history_read(const idem_record *record, key_state *state)
{
    static char expected[TEXT_MAX];
    char head[32];
    bool completed = record->status == IDEM_STATUS_COMPLETED;
    idem_bytes text = completed ? record->response : record->checkpoint;
    idem_bytes other = completed ? record->checkpoint : record->response;
    memset(state, 0, sizeof *state);
    state->present = true;
    state->status = record->status;
    state->attempt = record->attempt;
    state->lease_ms = (uint32_t)record->lease_ms;
    if (record->fingerprint.len != sizeof state->claimer || other.len > 0)
        return false;
    memcpy(&state->claimer, record->fingerprint.data, sizeof state->claimer);
    if (text.len == 0)
        return !completed;
    (void)snprintf(head, sizeof head, "%.*s", (int)(text.len < 31 ? text.len : 31),
                   (const char *)text.data);
    state->text = (uint32_t)strtoul(strncmp(head, "{\"n\":", 5) == 0 ? head + 5 : "0", NULL, 10);
    return state->text > 0 && same_bytes(text, history_text(state->text, expected));
}

bool history_same(const key_state *a, const key_state *b)
{
    if (!a->present || !b->present)
        return a->present == b->present;
    return a->status == b->status && a->attempt == b->attempt && a->lease_ms == b->lease_ms &&
           a->claimer == b->claimer && a->text == b->text;
}

/* ------------------------------------------------------------------------- what is possible */

bool history_allows(uint32_t key, const key_state *state, size_t moment, bool all)
{
    bool allowed = history_same(&told->start[key], state);
    for (size_t i = 0; i < told->count; i++) {
        const history_entry *entry = &told->entries[i];
        bool over = entry->ended && entry->ended <= moment;
        if (entry->key != key || entry->began > moment)
            continue;
        bool same = history_same(&entry->after, state);
        if (over && entry->rc == IDEM_OK && all)
            allowed = same;
        else if (!over || entry->rc == IDEM_OK || entry->rc == IDEM_ERR_UNCERTAIN)
            allowed = allowed || same;
    }
    return allowed;
}

static bool all_same(const key_state a[KEYS], const key_state b[KEYS])
{
    for (uint32_t key = 0; key < KEYS; key++) {
        if (!history_same(&a[key], &b[key]))
            return false;
    }
    return true;
}

bool history_is_prefix(const key_state states[KEYS], size_t moment, bool all)
{
    key_state at[KEYS];
    memcpy(at, told->start, sizeof at);
    bool possible = all_same(at, states);
    for (size_t i = 0; i < told->count && told->entries[i].began <= moment; i++) {
        const history_entry *entry = &told->entries[i];
        at[entry->key] = entry->after;
        bool acknowledged = entry->ended && entry->ended <= moment;
        bool same = all_same(at, states);
        possible = acknowledged && all ? same : possible || same;
    }
    return possible;
}
