/* SPDX-License-Identifier: MIT */
/*
 * Reads histories. It is strict: a line that is not understood, an answer without its call, a call in
 * the middle of another or a clock that runs backwards means that the history is no evidence, and
 * refuses it. Only the end of a file may be torn.
 */
#include "history.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 8

static const char *const call_names[] = {
    [CALL_BEGIN] = "begin",           [CALL_COMPLETE] = "complete", [CALL_RENEW] = "renew",
    [CALL_CHECKPOINT] = "checkpoint", [CALL_RELEASE] = "release",   [THE_EFFECT] = "effect",
};

static const char *const answer_names[ANSWERS] = {
    [ANSWER_OPEN] = "open",
    [ANSWER_NEW] = "new",
    [ANSWER_IN_PROGRESS] = "in_progress",
    [ANSWER_COMPLETED] = "completed",
    [ANSWER_IN_DOUBT] = "in_doubt",
    [ANSWER_OK] = "ok",
    [ANSWER_LOST] = "lost",
    [ANSWER_NOT_FOUND] = "not_found",
    [ANSWER_UNAVAILABLE] = "unavailable",
    [ANSWER_UNCERTAIN] = "uncertain",
    [ANSWER_OTHER_ERROR] = "error",
};

const char *history_call_name(event_kind kind)
{
    return call_names[kind];
}

const char *history_answer_name(answer_kind answer)
{
    return answer_names[answer];
}

/* One file on its way into the history. */
typedef struct {
    history *into;
    const char *path;
    FILE *problems;
    size_t line;
    unsigned process;
    uint64_t last;  /* the process's last stamp */
    size_t pending; /* the place of its call that has no answer yet, plus 1 */
} reader;

static bool refuse(const reader *self, const char *why)
{
    (void)fprintf(self->problems, "violation malformed: %s:%zu: %s\n", self->path, self->line, why);
    return false;
}

/* ---------------------------------------------------------------------------------------- words */

static size_t split(char *line, char **words)
{
    size_t count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        if (count == WORDS_MAX)
            return 0;
        words[count++] = word;
    }
    return count;
}

static bool number_of(const char *word, uint64_t *number)
{
    char *end = NULL;
    if (!isdigit((unsigned char)*word))
        return false;
    *number = strtoull(word, &end, 10);
    return *end == '\0';
}

static bool take_number(event *at, const char *field, size_t len, const char *value)
{
    uint64_t number = 0;
    if (!number_of(value, &number))
        return false;
    if (strncmp(field, "lease", len) == 0)
        at->lease = number * 1000;
    else if (strncmp(field, "attempt", len) == 0)
        at->attempt = (unsigned)number;
    else if (strncmp(field, "code", len) == 0)
        at->code = (int)number;
    else
        return strncmp(field, "wait", len) == 0 || strncmp(field, "left", len) == 0;
    return true;
}

/* Takes in `name=value`. */
static bool take_field(event *at, const char *field)
{
    const char *value = strchr(field, '=');
    size_t len = value ? (size_t)(value - field) : 0;
    if (!value++)
        return false;
    if (strncmp(field, "text", len) == 0) {
        at->sent = value;
    } else if (strncmp(field, "response", len) == 0 || strncmp(field, "checkpoint", len) == 0) {
        at->given = value;
    } else if (strncmp(field, "flags", len) == 0) {
        at->no_takeover = strchr(value, 'n') != NULL;
        at->keepalive = strchr(value, 'k') != NULL;
    } else {
        return take_number(at, field, len, value);
    }
    return true;
}

static bool take_fields(event *at, char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!take_field(at, words[i]))
            return false;
    }
    return true;
}

static int find(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 1; i < count; i++) {
        if (names[i] && strcmp(names[i], name) == 0)
            return (int)i;
    }
    return 0;
}

/* ---------------------------------------------------------------------------------------- lines */

static event *add(history *self)
{
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? self->capacity * 2 : 1024;
        self->events = realloc(self->events, self->capacity * sizeof self->events[0]);
        if (!self->events)
            abort();
    }
    event *made = &self->events[self->count++];
    *made = (event){.sent = "", .given = "", .end = FOREVER};
    return made;
}

static bool take_call(reader *self, event_kind kind, uint64_t time, char *const *words,
                      size_t count)
{
    if (self->pending && kind != THE_EFFECT)
        return refuse(self, "a call begins before the last one has its answer");
    event *made = add(self->into);
    made->kind = kind;
    made->start = time;
    made->process = self->process;
    if (count < 2)
        return refuse(self, "a call needs a key and a token");
    made->key = words[0];
    made->token = words[1];
    if (!take_fields(made, words + 2, count - 2))
        return refuse(self, "the line is not understood");
    if (kind == THE_EFFECT)
        made->end = time;
    else
        self->pending = self->into->count;
    return true;
}

/* The codes are the library's public ones; the checker asks nothing else of it. */
static answer_kind error_kind(int code)
{
    switch (code) {
    case 3:
        return ANSWER_UNAVAILABLE;
    case 4:
        return ANSWER_UNCERTAIN;
    case 5:
        return ANSWER_LOST;
    case 6:
        return ANSWER_NOT_FOUND;
    default:
        return ANSWER_OTHER_ERROR;
    }
}

static bool fits(const event *call)
{
    if (call->answer >= ANSWER_LOST)
        return true;
    return (call->kind == CALL_BEGIN) == (call->answer != ANSWER_OK);
}

static bool take_answer(reader *self, answer_kind answer, uint64_t time, char *const *words,
                        size_t count)
{
    if (!self->pending)
        return refuse(self, "an answer without its call");
    event *call = &self->into->events[self->pending - 1];
    self->pending = 0;
    if (!take_fields(call, words, count))
        return refuse(self, "the line is not understood");
    call->answer = answer == ANSWER_OTHER_ERROR ? error_kind(call->code) : answer;
    if (!fits(call))
        return refuse(self, "the answer does not fit its call");
    call->end = call->answer == ANSWER_UNCERTAIN ? FOREVER : time;
    return true;
}

static bool take_process(reader *self, const char *number)
{
    uint64_t process = 0;
    if (!number_of(number, &process))
        return refuse(self, "the process has no number");
    self->process = (unsigned)process;
    self->pending = 0;
    self->last = 0;
    self->into->process_count++;
    return true;
}

static bool take_line(reader *self, char *line)
{
    char *words[WORDS_MAX];
    uint64_t time = 0;
    if (line[0] == '#')
        return true;
    size_t count = split(line, words);
    if (count == 2 && strcmp(words[0], "process") == 0)
        return take_process(self, words[1]);
    if (count < 2 || !number_of(words[0], &time))
        return refuse(self, "the line is not understood");
    int kind = find(call_names, sizeof call_names / sizeof call_names[0], words[1]);
    /* The ledger is everybody's, and the stamps in it are made before its lines are written. */
    if (kind == THE_EFFECT)
        return take_call(self, THE_EFFECT, time, words + 2, count - 2);
    if (time < self->last)
        return refuse(self, "time runs backwards");
    self->last = time;
    if (kind)
        return take_call(self, (event_kind)kind, time, words + 2, count - 2);
    int answer = find(answer_names, ANSWERS, words[1]);
    if (!answer)
        return refuse(self, "the line is not understood");
    return take_answer(self, (answer_kind)answer, time, words + 2, count - 2);
}

/* ---------------------------------------------------------------------------------------- files */

static char *load(const char *path)
{
    FILE *file = fopen(path, "rb");
    long size = 0;
    if (!file)
        return NULL;
    if (fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0 || fseek(file, 0, SEEK_SET) != 0)
        size = 0;
    char *text = malloc((size_t)size + 1);
    if (!text)
        abort();
    text[fread(text, 1, (size_t)size, file)] = '\0';
    (void)fclose(file);
    return text;
}

static void keep(history *self, char *text)
{
    self->files = realloc(self->files, (self->file_count + 1) * sizeof self->files[0]);
    if (!self->files)
        abort();
    self->files[self->file_count++] = text;
}

bool history_read(history *self, const char *path, FILE *problems)
{
    reader reading = {.into = self, .path = path, .problems = problems};
    char *text = load(path);
    if (!text)
        return refuse(&reading, "the file can't be read");
    keep(self, text);
    for (char *line = text, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        if (!end) {
            self->torn_count++;
            break;
        }
        *end = '\0';
        reading.line++;
        if (*line && !take_line(&reading, line))
            return false;
    }
    return true;
}

static int compare(const void *left, const void *right)
{
    const event *a = left;
    const event *b = right;
    int order = strcmp(a->key, b->key);
    if (order)
        return order;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    return (a->end > b->end) - (a->end < b->end);
}

void history_sort(history *self)
{
    if (self->count > 0)
        qsort(self->events, self->count, sizeof self->events[0], compare);
}

void history_clear(history *self)
{
    for (size_t i = 0; i < self->file_count; i++)
        free(self->files[i]);
    free(self->files);
    free(self->events);
    *self = (history){0};
}
