/* SPDX-License-Identifier: MIT */
/*
 * A live view of a store. Each refresh reads a portion of the records, at most --limit of them, so
 * that a large store is not read as a whole each second: a pass over all records then takes several
 * refreshes, and what is shown is the last pass that was finished. A scan leaves the store between
 * two pages, so it pauses in the function that is given the records.
 *
 * On a terminal the view is on the alternate screen. Signals that end or stop the program first
 * give the terminal back, in the handler, since a call of the library may take its time.
 */
#include "command.h"
#include "output.h"
#include "stream.h"

#include <idem/backend.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INTERVAL_MS 1000
#define PORTION     1000
#define WINDOW_MS   60000 /* rates are of the last minute */

static const char enter_screen[] = "\033[?1049h\033[?25l";
static const char leave_screen[] = "\033[?25h\033[?1049l";
static const char clear_screen[] = "\033[H\033[J";

/* ------------------------------------------------------------------------------- the terminal */

static const int restoring[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
static volatile sig_atomic_t on_screen;

static void write_all(const char *sequence)
{
    (void)cli_stream_write(STDOUT_FILENO, idem_str(sequence));
}

static void restore_and_act(int number);

static void catch_signal(int number)
{
    struct sigaction before;
    struct sigaction action = {.sa_handler = restore_and_act, .sa_flags = SA_RESTART};
    (void)sigfillset(&action.sa_mask);
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        (void)sigaction(number, &action, NULL);
}

/* Lets the signal do what it does by default: it ends the program, or stops it until SIGCONT. */
static void restore_and_act(int number)
{
    const struct sigaction as_usual = {.sa_handler = SIG_DFL};
    int saved = errno;
    sigset_t only;
    if (on_screen)
        write_all(leave_screen);
    (void)sigaction(number, &as_usual, NULL);
    (void)sigemptyset(&only);
    (void)sigaddset(&only, number);
    (void)kill(getpid(), number);
    (void)sigprocmask(SIG_UNBLOCK, &only, NULL);
    if (number != SIGTSTP) /* the first process of a container lives on */
        _exit(CLI_SIGNAL + number);
    catch_signal(number);
    if (on_screen)
        write_all(enter_screen);
    errno = saved;
}

static bool is_screen(const cli_options *options)
{
    const char *term = getenv("TERM");
    return !options->json && isatty(STDOUT_FILENO) == 1 && term && strcmp(term, "dumb") != 0;
}

static void take_screen(void)
{
    for (size_t i = 0; i < sizeof restoring / sizeof restoring[0]; i++)
        catch_signal(restoring[i]);
    on_screen = 1;
    write_all(enter_screen);
}

static void give_screen_back(void)
{
    write_all(leave_screen);
    on_screen = 0;
}

/* ----------------------------------------------------------------------------------- counting */

typedef struct {
    uint64_t records;
    uint64_t in_progress; /* stuck ones included */
    uint64_t stuck;
    uint64_t completed;
    uint64_t corrupt;
    uint64_t begun; /* within the last minute */
    uint64_t ended;
    uint64_t oldest_ms; /* of those in progress, since they were begun */
} tally;

typedef struct {
    const cli_options *options;
    bool screen;
    tally now;  /* of this pass */
    tally last; /* of the last one that was finished */
    bool has_last;
    uint64_t portion;    /* records since the last refresh */
    uint64_t refresh_at; /* when the next one is due */
    uint64_t shown;
    bool over;
    int problem;       /* of writing: an errno */
    char failure[256]; /* why the last pass was broken off; empty: it was not */
} view;

/* By the backend's clock since the last change, and by the writers' clocks from there back. */
static uint64_t since_begun_ms(const idem_record *record)
{
    uint64_t held = 0;
    if (record->updated_at_ms > record->created_at_ms) /* a file may say anything */
        held = (uint64_t)record->updated_at_ms - (uint64_t)record->created_at_ms;
    return record->age_ms + held >= held ? record->age_ms + held : UINT64_MAX;
}

static void count(tally *to, const idem_record *record)
{
    uint64_t since_ms = since_begun_ms(record);
    to->records++;
    if (record->status == IDEM_STATUS_CORRUPT) {
        to->corrupt++;
        return;
    }
    to->begun += since_ms <= WINDOW_MS;
    if (record->status == IDEM_STATUS_COMPLETED) {
        to->completed++;
        to->ended += record->age_ms <= WINDOW_MS;
        return;
    }
    to->in_progress++;
    to->stuck += cli_record_is_stuck(record);
    if (since_ms > to->oldest_ms)
        to->oldest_ms = since_ms;
}

/* ------------------------------------------------------------------------------------ showing */

static const tally *shown_tally(const view *self)
{
    return self->has_last ? &self->last : &self->now;
}

static void add_json(const view *self, cli_text *text)
{
    const tally *at = shown_tally(self);
    cli_text_add(text, "{\"at\":\"");
    cli_text_time(text, idem_wall_ms());
    cli_text_addf(text,
                  "\",\"whole\":%s,\"records\":%" PRIu64 ",\"in_progress\":%" PRIu64
                  ",\"stuck\":%" PRIu64 ",\"completed\":%" PRIu64 ",\"corrupt\":%" PRIu64,
                  self->has_last ? "true" : "false", at->records, at->in_progress, at->stuck,
                  at->completed, at->corrupt);
    cli_text_addf(text,
                  ",\"begun_per_min\":%" PRIu64 ",\"completed_per_min\":%" PRIu64
                  ",\"oldest_ms\":%" PRIu64 "}\n",
                  at->begun, at->ended, at->oldest_ms);
}

static void add_line(const view *self, cli_text *text)
{
    char oldest[CLI_DURATION_SIZE];
    const tally *at = shown_tally(self);
    cli_text_time(text, idem_wall_ms());
    cli_text_addf(text,
                  "  in progress %" PRIu64 "  stuck %" PRIu64 "  completed %" PRIu64
                  "  corrupt %" PRIu64 "  begun %" PRIu64 "/min  completed %" PRIu64 "/min",
                  at->in_progress, at->stuck, at->completed, at->corrupt, at->begun, at->ended);
    if (at->in_progress)
        cli_text_addf(text, "  oldest %s", cli_duration_format(at->oldest_ms, oldest));
    cli_text_add(text, self->has_last ? "\n" : "  (the records looked at so far)\n");
}

static void add_page(const view *self, cli_text *text)
{
    char oldest[CLI_DURATION_SIZE];
    const tally *at = shown_tally(self);
    cli_text_time(text, idem_wall_ms());
    cli_text_addf(text, "   %" PRIu64 " records%s\n\n", at->records,
                  self->has_last ? "" : " looked at so far");
    cli_text_addf(text, "  in progress  %10" PRIu64 "   oldest %s\n", at->in_progress,
                  at->in_progress ? cli_duration_format(at->oldest_ms, oldest) : "-");
    cli_text_addf(text, "  stuck        %10" PRIu64 "%s\n", at->stuck,
                  at->stuck ? "   'idem ls --stuck' lists them" : "");
    cli_text_addf(text, "  completed    %10" PRIu64 "\n", at->completed);
    cli_text_addf(text, "  corrupt      %10" PRIu64 "\n\n", at->corrupt);
    cli_text_addf(text, "  begun        %10" PRIu64 " in the last minute\n", at->begun);
    cli_text_addf(text, "  completed    %10" PRIu64 " in the last minute\n", at->ended);
    if (self->has_last && self->now.records)
        cli_text_addf(text, "\n  reading the store again: %" PRIu64 " records so far\n",
                      self->now.records);
    if (self->failure[0])
        cli_text_addf(text, "\n  the store can't be read: %s\n", self->failure);
}

static void show(view *self)
{
    cli_text text = {0};
    if (self->options->json)
        add_json(self, &text);
    else if (self->screen)
        add_page(self, &text);
    else
        add_line(self, &text);
    if (self->screen)
        write_all(clear_screen);
    else if (self->failure[0])
        cli_say("the store can't be read: %s", self->failure);
    self->problem = cli_text_write(&text);
    self->shown++;
}

/* Shows what is known, and waits for the next refresh. @return false: it was the last one */
static bool refresh(view *self)
{
    uint64_t interval_ms = self->options->interval_ms ? self->options->interval_ms : INTERVAL_MS;
    show(self);
    self->over = self->problem || (self->options->count && self->shown >= self->options->count);
    self->portion = 0;
    self->refresh_at += interval_ms;
    uint64_t now = idem_monotonic_ms();
    if (self->refresh_at < now) /* the store was slower: no refresh is made up for */
        self->refresh_at = now;
    while (!self->over && now < self->refresh_at) {
        uint64_t left = self->refresh_at - now;
        (void)poll(NULL, 0, left > 60000 ? 60000 : (int)left);
        now = idem_monotonic_ms();
    }
    return !self->over;
}

static int take_record(const idem_record *record, void *user)
{
    view *self = user;
    uint64_t most = self->options->limit ? self->options->limit : PORTION;
    if (self->portion >= most && !refresh(self))
        return 1;
    count(&self->now, record);
    self->portion++;
    return 0;
}

/* ----------------------------------------------------------------------------------- the passes */

static int look_on(idem_store *store, view *self)
{
    idem_error error;
    const idem_filter filter = {.size = sizeof filter, .prefix = idem_str(self->options->prefix)};
    self->refresh_at = idem_monotonic_ms();
    do {
        memset(&self->now, 0, sizeof self->now);
        int rc = idem_scan(store, &filter, take_record, self, &error);
        if (self->over)
            break;
        if (rc && self->shown == 0)
            return cli_report_call(&error);
        self->failure[0] = '\0';
        if (rc) {
            memcpy(self->failure, error.message, sizeof self->failure);
        } else {
            self->last = self->now;
            self->has_last = true;
            memset(&self->now, 0, sizeof self->now);
        }
    } while (refresh(self));
    return CLI_OK;
}

int cli_watch(idem_store *store, const cli_call *call)
{
    view self = {.options = &call->options, .screen = is_screen(&call->options)};
    if (self.screen)
        take_screen();
    int code = look_on(store, &self);
    if (self.screen) {
        give_screen_back();
        self.screen = false;
        if (code == CLI_OK && !self.problem)
            show(&self); /* the last view stays */
    }
    if (self.problem && self.problem != EPIPE)
        cli_say("the view can't be written to stdout: %s", cli_problem(self.problem));
    return self.problem ? CLI_INTERNAL : code;
}
