/* SPDX-License-Identifier: MIT */
/*
 * The table of commands. A new command is a row here, a table of its options, and one function.
 */
#include "command.h"

#include "output.h"

#include <stdio.h>

/* ------------------------------------------------------------------------------- options */

#define OPTION(name, value, kind, field, help)                \
    {                                                         \
        name, value, kind, offsetof(cli_options, field), help \
    }
#define OPTION_END                    \
    {                                 \
        NULL, NULL, CLI_FLAG, 0, NULL \
    }
#define OPTION_TTL                           \
    OPTION("ttl", "D", CLI_DURATION, ttl_ms, \
           "keep the record so long after its last change (else the store's\nttl: 24h)")
#define OPTION_LEASE                             \
    OPTION("lease", "D", CLI_DURATION, lease_ms, \
           "how long the claim is good for without renewal (else the\nstore's lease: 60s)")
#define OPTION_WAIT \
    OPTION("wait", "D", CLI_DURATION, wait_ms, "wait so long for a key that is in progress")
#define OPTION_FINGERPRINT                                                   \
    OPTION("fingerprint", "S", CLI_TEXT, fingerprint,                        \
           "stands for the content of the request; a key that comes again\n" \
           "with another one is a mismatch. Longer than 64 bytes, it is\n"   \
           "hashed: SHA-256, as idem_fingerprint() does it of one part")
#define OPTION_FINGERPRINT_HEX                                  \
    OPTION("fingerprint-hex", "HEX", CLI_TEXT, fingerprint_hex, \
           "the same in hexadecimal digits, as 'idem get' shows it")
#define OPTION_NO_TAKEOVER                                                    \
    OPTION("no-takeover", NULL, CLI_FLAG, no_takeover,                        \
           "if an earlier one stopped in the middle, say so (in doubt) and\n" \
           "leave the key as it is until somebody settles or forgets it")
#define OPTION_TOKEN(help) OPTION("token", "T", CLI_TOKEN, token, help)
#define OPTION_CLAIM_TOKEN                                                         \
    OPTION_TOKEN("what 'idem begin' has printed; else $IDEM_TOKEN, which others\n" \
                 "can't see as they can a command line")
#define OPTION_KEY_HEX                          \
    OPTION("key-hex", "HEX", CLI_TEXT, key_hex, \
           "in place of KEY: a key of any bytes, in hexadecimal digits")

static const cli_option run_options[] = {
    OPTION_TTL,
    OPTION_LEASE,
    OPTION_WAIT,
    OPTION("max-time", "D", CLI_DURATION, max_time_ms,
           "stop CMD, and what it has started, if it runs for longer"),
    OPTION_FINGERPRINT,
    OPTION_FINGERPRINT_HEX,
    OPTION("keep-failures", NULL, CLI_FLAG, keep_failures,
           "store and replay a CMD that fails, too"),
    OPTION("allow-cut", NULL, CLI_FLAG, allow_cut,
           "replay output that was cut with CMD's own exit code"),
    OPTION("busy-exit", "N", CLI_CODE, busy_code,
           "exit code while KEY is in progress elsewhere (75)"),
    OPTION("tty", NULL, CLI_FLAG, tty, "give CMD a terminal of its own, if idem has one"),
    OPTION("quiet", NULL, CLI_FLAG, quiet,
           "say nothing of what goes as it should; errors are said"),
    OPTION("report", "FILE", CLI_TEXT, report,
           "write to a file, a FIFO or /dev/fd/N what happened"),
    OPTION_NO_TAKEOVER,
    OPTION_END};
static const cli_option begin_options[] = {
    OPTION_FINGERPRINT,
    OPTION_FINGERPRINT_HEX,
    OPTION_LEASE,
    OPTION_TTL,
    OPTION_WAIT,
    OPTION_NO_TAKEOVER,
    OPTION_TOKEN("begin again as the same caller, whose answer was lost"),
    OPTION_KEY_HEX,
    OPTION_END};
static const cli_option complete_options[] = {
    OPTION_CLAIM_TOKEN, OPTION_TTL, OPTION_KEY_HEX,
    OPTION("file", "F", CLI_TEXT, file,
           "the response is this file's content, any bytes; -: stdin's"),
    OPTION_END};
static const cli_option renew_options[] = {
    OPTION_CLAIM_TOKEN,
    OPTION("lease", "D", CLI_DURATION, lease_ms, "the new lease (else as long as the last)"),
    OPTION_KEY_HEX, OPTION_END};
static const cli_option token_options[] = {OPTION_CLAIM_TOKEN, OPTION_KEY_HEX, OPTION_END};
static const cli_option get_options[] = {OPTION_KEY_HEX, OPTION_END};
static const cli_option settle_options[] = {
    OPTION("exit", "N", CLI_CODE, code,
           "settle a key of 'idem run': what it replays is this exit code,"),
    OPTION("stdout", "FILE", CLI_TEXT, stdout_file, "this output (else none),"),
    OPTION("stderr", "FILE", CLI_TEXT, stderr_file, "and this one"), OPTION_KEY_HEX, OPTION_END};
static const cli_option forget_options[] = {
    OPTION("expired", NULL, CLI_FLAG, expired,
           "only if it is unfinished and its lease has run out"),
    OPTION("force", NULL, CLI_FLAG, force,
           "whatever is stored there, even if it is no record: it may be\n"
           "another program's data, and it is gone then"),
    OPTION_KEY_HEX, OPTION_END};
static const cli_option ls_options[] = {
    OPTION("status", "S", CLI_STATUS, status, "only these: in_progress, completed or corrupt"),
    OPTION("stuck", NULL, CLI_FLAG, stuck, "only what is unfinished though its lease has run out"),
    OPTION("prefix", "P", CLI_TEXT, prefix, "only keys that begin so"),
    OPTION("limit", "N", CLI_COUNT, limit, "at most so many"),
    OPTION("json", NULL, CLI_FLAG, json, "JSON lines, on a terminal too"),
    OPTION_END};
static const cli_option watch_options[] = {
    OPTION("interval", "D", CLI_DURATION, interval_ms, "refresh so often (1s)"),
    OPTION("count", "N", CLI_COUNT, count, "end after so many refreshes (never)"),
    OPTION("prefix", "P", CLI_TEXT, prefix, "only keys that begin so"),
    OPTION("limit", "N", CLI_COUNT, limit, "read at most so many records for a refresh (1000)"),
    OPTION("json", NULL, CLI_FLAG, json, "a JSON text for each refresh"),
    OPTION_END};
static const cli_option bench_options[] = {
    OPTION("mode", "M", CLI_MODE, mode,
           "cycle: an op begins a new key and completes it (unless set);\n"
           "claim: it begins one; replay: it begins a completed one"),
    OPTION("threads", "N", CLI_COUNT, threads, "so many callers at once (1)"),
    OPTION("ops", "N", CLI_COUNT, ops, "end after so many ops, of all threads together"),
    OPTION("duration", "D", CLI_DURATION, duration_ms,
           "end after so long (5s, unless there is --ops)"),
    OPTION("warmup", "D", CLI_DURATION, warmup_ms, "run so long first, without counting (none)"),
    OPTION("rate", "N", CLI_COUNT, rate,
           "so many ops a second, of all threads together, evenly spread\n"
           "(as many as there can be)"),
    OPTION("batch", "N", CLI_COUNT, batch, "so many ops in one call (1)"),
    OPTION("keys", "N", CLI_COUNT, keys, "replay so many different keys (1000)"),
    OPTION("key-size", "SIZE", CLI_SIZE, key_size, "length of a key, from 36B to 1KiB (36B)"),
    OPTION("response", "SIZE", CLI_SIZE, response_size, "length of a response (256B)"),
    OPTION("keep", NULL, CLI_FLAG, keep, "leave the records behind"),
    OPTION("json", NULL, CLI_FLAG, json, "as one JSON text"),
    OPTION_END};
static const cli_option backends_options[] = {
    OPTION("json", NULL, CLI_FLAG, json, "as one JSON text"), OPTION_END};

/* ---------------------------------------------------------------------------------- help */

#define DURATIONS "Durations D are written 500ms, 30s, 5m, 24h, 7d.\n"

static const char run_details[] =
    "The first run of KEY runs CMD and stores its exit code, stdout and stderr; every\n"
    "later run replays them (stdout first, then stderr) and does not run CMD again.\n"
    "While CMD runs, its output is passed on as it comes and the claim's lease is\n"
    "renewed. A CMD that fails gives the key back, so that a later run tries again.\n"
    "\n"
    "CMD finds in its environment IDEM_KEY, IDEM_ATTEMPT (more than 1 after a run that\n"
    "stopped in the middle), IDEM_TOKEN, and IDEM_CHECKPOINT if an earlier attempt left\n"
    "one of up to 64 KiB. So  idem checkpoint \"$IDEM_KEY\" '{\"done\":3}'  inside CMD\n"
    "leaves word for the next attempt. The store is not handed on: put it in $IDEM_STORE\n"
    "if CMD calls idem. An $IDEM_STORE that holds a password is taken out of CMD's\n"
    "environment; idem inside CMD then wants a --store or --store-file of its own.\n"
    "\n"
    "A KEY that comes from elsewhere may look like an option: write  run -- \"$KEY\" -- CMD.\n"
    "\n"
    "Of stdout and stderr each the first 2 MiB are stored, or less where the store's\n"
    "max_response is below 5.4 MiB; of a CMD that fails the first and the last half of\n"
    "that. It is said when something was cut, and a replay of it ends with 74, unless\n"
    "--allow-cut is given. Where both are one file (>log 2>&1), they are one stream, in\n"
    "order, and replayed to stdout. A reader that goes away (| head) is noticed by CMD.\n"
    "\n"
    "What CMD has started does not work on when the claim has ended. What CMD leaves\n"
    "behind has 1s to end, then gets TERM, and 10s later KILL. A daemon that is to stay\n"
    "needs a session of its own (setsid). Likewise if the claim is lost, or if idem itself\n"
    "is killed (on Linux); the next run is attempt 2 once the lease has run out.\n"
    "\n"
    "The lease is renewed for as long as CMD runs, even if it hangs. With --max-time it is\n"
    "stopped then: it gets TERM, what it has started a second later, and 10s later KILL.\n"
    "That is a failure with exit code 124, however CMD ends then.\n"
    "\n"
    "--report tells a script what the exit code can't: one line of JSON, with outcome (new,\n"
    "completed, in_progress, mismatch, in_doubt, error), key, ran (CMD, by this call), exit;\n"
    "and where they apply attempt, retry_after_ms, stored, timed_out, claim_lost, signal.\n"
    "\n"
    "With --tty, if stdin and stdout are a terminal, CMD gets a pseudo-terminal in their\n"
    "place, of the same size, and a session of its own: ^C and ^Z are CMD's. What CMD\n"
    "prints there is stored and replayed as it came, with the line ends of a terminal, what\n"
    "was typed where CMD lets it be shown, and stderr, unless that goes elsewhere.\n"
    "\n"
    "INT, TERM, HUP, QUIT, USR1 and USR2 are passed on to CMD, unless it had them as one\n"
    "of the group. If the store can't be used at the end, storing is tried again for as\n"
    "long as --lease says, or for 60s.\n"
    "\n"
    "Exit code: CMD's own, or by its signal if it died of one; 127 if CMD is not found,\n"
    "126 if it can't be executed; 124 CMD was stopped by --max-time; 74 a replay of output\n"
    "that was cut; 75 in progress elsewhere (or --busy-exit), in doubt, or the claim was\n"
    "lost; 65 mismatch, or the key holds something else; 69 the store can't be used, and\n"
    "CMD was not run; 64 wrong usage; 70 internal error, and CMD was not run or could not\n"
    "be stopped, or it has succeeded, but its output or the report could not be written.\n"
    "\n" DURATIONS;

static const char begin_details[] =
    "Prints {\"outcome\":\"new\",\"token\":\"…\",\"attempt\":N}, and the checkpoint of the last\n"
    "attempt if there is one: do the work, then 'idem complete KEY --token T'. Or one of\n"
    "  {\"outcome\":\"completed\",\"response\":…}      (response_base64 if it is no JSON)\n"
    "  {\"outcome\":\"in_progress\",\"retry_after_ms\":N}\n"
    "  {\"outcome\":\"mismatch\"}\n"
    "  {\"outcome\":\"in_doubt\",\"attempt\":N,\"checkpoint\":…}\n"
    "The token is as good as a password for this key.\n"
    "\n"
    "Exit code: 0 new, 10 completed, 11 in progress, 12 mismatch, 15 in doubt.\n"
    "\n" DURATIONS;

static const char complete_details[] =
    "JSON is kept and replayed byte for byte; without it, it is read from stdin. With\n"
    "--file the response is any bytes, even if they happen to be JSON: begin and get show\n"
    "them as response_base64.\n"
    "Prints {\"completed\":true}. May be repeated.\n"
    "\n"
    "Exit code: 0; 13 the claim is another caller's now; 14 there is no record of KEY;\n"
    "65 not a JSON text, or too large.\n"
    "\n" DURATIONS;

static const char renew_details[] =
    "Starts the lease anew. Prints {\"renewed\":true}.\n"
    "\n"
    "Exit code: 0; 13 the claim is another caller's now, or completed; 14 there is no\n"
    "record of KEY.\n"
    "\n" DURATIONS;

static const char checkpoint_details[] =
    "Leaves a JSON text for the caller that continues after a crash, and restarts the lease;\n"
    "without JSON, it is read from stdin. An empty one takes the last one away. Prints\n"
    "{\"checkpointed\":true}.\n"
    "\n"
    "Exit code: 0; 13 the claim is another caller's now, or completed; 14 there is no\n"
    "record of KEY; 65 not a JSON text, or too large.\n";

static const char release_details[] =
    "The next begin is new. Prints {\"released\":true}, also if the claim isn't held any\n"
    "more; nothing is changed then.\n";

static const char get_details[] =
    "Prints the record as JSON: key (key_hex if it is no UTF-8), status, attempt,\n"
    "created_at, updated_at, lease_left_ms, expires_in_ms, and where there are such,\n"
    "fingerprint (in hexadecimal), checkpoint, response (response_base64 if it is no\n"
    "JSON). Never the token. Creates and changes nothing.\n"
    "\n"
    "Exit code: 0; 14 there is no record of KEY; 65 what is there is no record.\n";

static const char settle_details[] =
    "For a key whose owner crashed (in doubt), once somebody has found out what it did:\n"
    "JSON, or else stdin, is the response that every later begin gets. With --exit it is\n"
    "what 'idem run' replays. If the work was not done: 'idem forget --expired KEY'.\n"
    "Prints {\"settled\":true}.\n"
    "\n"
    "Exit code: 0; 13 it has a live owner, or is completed; 14 there is no record of KEY;\n"
    "65 not a JSON text, or too large.\n";

static const char forget_details[] =
    "Removes the record: the next begin is new. An owner that is still at work finds out\n"
    "when it completes. What can't be read as a record may be another program's data, and\n"
    "is left unless --force says otherwise. Prints {\"forgotten\":true}, also if there was\n"
    "no record.\n"
    "\n"
    "Exit code: 0; 13 --expired: it has a live owner, or is completed; 65 what is there is\n"
    "no record.\n";

static const char ls_details[] =
    "Prints a table on a terminal, one JSON text per line otherwise: what 'idem get'\n"
    "prints, with response_bytes in place of the response. What is stored at a key and\n"
    "can't be read as a record has the status corrupt, and no more than that. In no order.\n"
    "Creates and changes nothing.\n";

static const char watch_details[] =
    "Shows how many records are in progress, stuck (unfinished, lease run out), completed\n"
    "and corrupt, how many were begun and completed in the last minute, and how old the\n"
    "oldest unfinished one is: on a terminal as a page that is refreshed, otherwise as a\n"
    "line for each refresh. Ends after --count refreshes, or by a signal (^C).\n"
    "\n"
    "Each refresh reads up to --limit records, with their responses. Of a store that has\n"
    "more, a pass takes several refreshes, and the last pass that was finished is shown.\n"
    "A store that can't be read later on is said, and tried again. Creates and changes\n"
    "nothing.\n"
    "\n"
    "A line of --json: {\"at\":…,\"whole\":true,\"records\":N,\"in_progress\":N,\"stuck\":N,\n"
    "\"completed\":N,\"corrupt\":N,\"begun_per_min\":N,\"completed_per_min\":N,\"oldest_ms\":N};\n"
    "\"whole\":false: the first pass is not finished.\n"
    "\n" DURATIONS;

static const char purge_details[] =
    "Drops records whose retention has ended, and prints {\"removed\":N}. Never needed for\n"
    "a right answer: such records count as absent. It gives their space back.\n";

static const char doctor_details[] =
    "Connects, looks at the store's settings, and tries what begin and complete need with\n"
    "a key of its own, which it removes. It makes no store and changes no setting. Each\n"
    "finding says what it is about and how to fix it.\n"
    "\n"
    "Prints {\"findings\":[{\"what\":…,\"fix\":…}],\"sound\":false}.\n"
    "\n"
    "Exit code: 0 sound, 1 findings.\n";

static const char bench_details[] =
    "Tells how many ops there are in a second, and how long a call takes: half of them at\n"
    "most p50, 99 of 100 at most p99. It takes all that the store gives, so mind who else\n"
    "needs it, or set a --rate. A call's time then counts from when it was due: a store\n"
    "that stalls is not forgiven the calls that had to wait. How long a call may take is\n"
    "the store's timeout; for less, put ?timeout=200ms behind its URL.\n"
    "\n"
    "Each op has a key of its own, which begins with idem-bench:. These are forgotten at\n"
    "the end, which may take as long again. Those of a run that was killed, or of --keep,\n"
    "expire 10m after they were written (replay: after the run, or a day with --ops).\n"
    "\n"
    "^C ends a run early, and what was done is told; a second one does not wait for calls\n"
    "that are under way. Ops that fail are counted apart; when nothing succeeds any more,\n"
    "the run ends.\n"
    "\n"
    "With --json it prints {\"mode\":…,\"threads\":N,\"ops\":N,\"seconds\":S,\"ops_per_s\":N,\n"
    "\"p50_us\":T,\"p99_us\":T,\"p999_us\":T,\"max_us\":T,\"batch\":N,\"errors\":N,\n"
    "\"errors_by_code\":{…},\"interrupted\":false}, with times in microseconds.\n"
    "\n"
    "Exit code: 0; 69 ops have failed, or the store can't be used.\n"
    "\n" DURATIONS "Sizes are written 512B, 64KiB, 8MiB.\n";

static const cli_command commands[] = {
    {"run", "KEY [options] -- CMD [ARG…]", "run CMD once, and replay its output afterwards",
     run_details, run_options, 1, 1, true, CLI_STORE, cli_run},
    {"begin", "KEY [options]", "claim KEY, or learn what became of it", begin_details,
     begin_options, 1, 1, false, CLI_STORE, cli_begin},
    {"complete", "KEY --token T [options] [JSON]", "store the response and end the claim",
     complete_details, complete_options, 1, 2, false, CLI_STORE, cli_complete},
    {"renew", "KEY --token T [options]", "start the claim's lease anew", renew_details,
     renew_options, 1, 1, false, CLI_STORE, cli_renew},
    {"checkpoint", "KEY --token T [options] [JSON]", "leave a text for the next owner",
     checkpoint_details, token_options, 1, 2, false, CLI_STORE, cli_checkpoint},
    {"release", "KEY --token T [options]", "give KEY back undone", release_details, token_options,
     1, 1, false, CLI_STORE, cli_release},
    {"get", "KEY [options]", "show the record of KEY", get_details, get_options, 1, 1, false,
     CLI_STORE_EXISTING, cli_get},
    {"settle", "KEY [options] [JSON]", "answer for a KEY whose owner crashed", settle_details,
     settle_options, 1, 2, false, CLI_STORE_EXISTING, cli_settle},
    {"forget", "KEY [options]", "remove the record of KEY", forget_details, forget_options, 1, 1,
     false, CLI_STORE_EXISTING, cli_forget},
    {"ls", "[options]", "list records", ls_details, ls_options, 0, 0, false, CLI_STORE_EXISTING,
     cli_ls},
    {"watch", "[options]", "show what is going on in a store, over and over", watch_details,
     watch_options, 0, 0, false, CLI_STORE_EXISTING, cli_watch},
    {"purge", "[options]", "drop records whose retention has ended", purge_details, NULL, 0, 0,
     false, CLI_STORE_EXISTING, cli_purge},
    {"doctor", "[options]", "look for what could lose records or run work twice", doctor_details,
     NULL, 0, 0, false, CLI_STORE_EXISTING, cli_doctor},
    {"bench", "[options]", "measure how fast the store is from here", bench_details, bench_options,
     0, 0, false, CLI_STORE, cli_bench},
    {"backends", "[options]", "list the kinds of store and their URL parameters", "",
     backends_options, 0, 0, false, CLI_NO_STORE, cli_backends},
    {"version", "", "print the version", "", NULL, 0, 0, false, CLI_NO_STORE, cli_version},
    {"help", "[COMMAND]", "show this, or the help of a command", "", NULL, 0, 1, false,
     CLI_NO_STORE, cli_help},
};

#define COMMANDS_COUNT (sizeof commands / sizeof commands[0])

const cli_command *cli_command_find(const char *name)
{
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

/* The name is repeated only if it looks like one: it may be a misplaced URL with a password. */
int cli_command_unknown(const char *name)
{
    char list[256] = "";
    size_t len = 0;
    bool is_name = strlen(name) <= 32 &&
                   strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == strlen(name);
    for (size_t i = 0; i < COMMANDS_COUNT && len < sizeof list; i++)
        len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", i ? ", " : "",
                                commands[i].name);
    return cli_usage(NULL, "there is no command%s%s%s; there are %s",
                     is_name ? " '" : " of that name", is_name ? name : "", is_name ? "'" : "",
                     list);
}

#define COLUMN 21 /* where the help of options begins */

static void add_option_help(cli_text *text, const cli_option *option)
{
    char head[64];
    const char *line = option->help;
    (void)snprintf(head, sizeof head, "  --%s%s%s", option->name, option->value ? " " : "",
                   option->value ? option->value : "");
    while (line) {
        const char *end = strchr(line, '\n');
        int len = end ? (int)(end - line) : (int)strlen(line);
        cli_text_addf(text, "%-*s %.*s\n", COLUMN - 1, head, len, line);
        head[0] = '\0';
        line = end ? end + 1 : NULL;
    }
}

int cli_help_command(const cli_command *command)
{
    cli_text text = {0};
    cli_text_addf(&text, "usage: idem %s%s%s\n\n%s.\n\n", command->name,
                  *command->synopsis ? " " : "", command->synopsis, command->summary);
    if (*command->details) {
        cli_text_add(&text, command->details);
        cli_text_add(&text, "\n");
    }
    cli_text_add(&text, "options:\n");
    for (const cli_option *row = command->options; row && row->name; row++)
        add_option_help(&text, row);
    if (command->needs_store) {
        add_option_help(&text, &cli_option_store);
        add_option_help(&text, &cli_option_store_file);
    }
    add_option_help(&text, &cli_option_help);
    return cli_text_print(&text);
}

int cli_help_all(void)
{
    cli_text text = {0};
    cli_text_add(&text, "usage: idem [--store URL] COMMAND …\n\n"
                        "Makes an operation happen once, however often it is asked for.\n\n"
                        "commands:\n");
    for (size_t i = 0; i < COMMANDS_COUNT; i++)
        cli_text_addf(&text, "  %-12s %s\n", commands[i].name, commands[i].summary);
    cli_text_add(&text, "\noptions:\n");
    add_option_help(&text, &cli_option_store);
    add_option_help(&text, &cli_option_store_file);
    add_option_help(&text, &cli_option_help);
    cli_text_add(
        &text,
        "\n'idem help COMMAND' says more. Answers go to stdout as JSON, messages to stderr.\n"
        "Exit codes besides those of each command: 64 wrong usage, 65 bad input, 69 the\n"
        "store can't be used, 70 internal error.\n");
    return cli_text_print(&text);
}
