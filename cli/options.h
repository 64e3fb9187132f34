/* SPDX-License-Identifier: MIT */
/* The options of all commands, as rows of tables, and what they are read into. */
#ifndef IDEM_CLI_OPTIONS_H
#define IDEM_CLI_OPTIONS_H

#include "report.h"

/** A token from the command line. */
typedef struct {
    bool given;
    uint8_t bytes[IDEM_TOKEN_SIZE];
} cli_token;

/** What `idem bench` does over and over. */
typedef enum { CLI_BENCH_CYCLE = 1, CLI_BENCH_CLAIM, CLI_BENCH_REPLAY } cli_bench_mode;

/** What the options of any command are read into. Zero: not given. */
typedef struct {
    const char *store_url;
    const char *store_file;
    const char *key_hex;
    const char *fingerprint;
    const char *fingerprint_hex;
    const char *prefix;
    const char *report;
    const char *file;
    const char *stdout_file;
    const char *stderr_file;
    uint64_t lease_ms;
    uint64_t ttl_ms;
    uint64_t wait_ms;
    uint64_t max_time_ms;
    uint64_t limit;
    uint64_t interval_ms;
    uint64_t count;
    uint64_t threads;
    uint64_t ops;
    uint64_t duration_ms;
    uint64_t warmup_ms;
    uint64_t rate;
    uint64_t batch;
    uint64_t keys;
    uint64_t key_size;
    uint64_t response_size;
    uint64_t mode;      /**< a ::cli_bench_mode */
    uint64_t status;    /**< an ::idem_status */
    uint64_t code;      /**< an exit code, plus 1 */
    uint64_t busy_code; /**< likewise */
    cli_token token;
    bool keep_failures;
    bool allow_cut;
    bool quiet;
    bool tty;
    bool no_takeover;
    bool expired;
    bool force;
    bool stuck;
    bool keep;
    bool json;
    bool help;
    bool version;
} cli_options;

/** What an option's value looks like, and with it the type of its field. */
typedef enum {
    CLI_FLAG = 1, /**< takes none; bool */
    CLI_TEXT,     /**< const char * */
    CLI_DURATION, /**< uint64_t, in milliseconds */
    CLI_COUNT,    /**< uint64_t, from 1 up */
    CLI_CODE,     /**< uint64_t, an exit code plus 1 */
    CLI_SIZE,     /**< uint64_t, in bytes */
    CLI_STATUS,   /**< uint64_t, an ::idem_status */
    CLI_MODE,     /**< uint64_t, a ::cli_bench_mode */
    CLI_TOKEN     /**< cli_token */
} cli_option_kind;

/** One row of a command's table of options. The last row of a table has no name. */
typedef struct {
    const char *name;  /**< without the dashes */
    const char *value; /**< how help shows the value; NULL for a flag */
    cli_option_kind kind;
    size_t offset;    /**< of its field in cli_options */
    const char *help; /**< lines; each line break begins a new one in the same column */
} cli_option;

/** How many options a command may have, those that every command has included. */
#define CLI_OPTIONS_MAX 24

/** `--store` and `--store-file`, for the commands that use one, and `--help`. */
extern const cli_option cli_option_store;
extern const cli_option cli_option_store_file;
extern const cli_option cli_option_help;

/** Reads an option's value. @return CLI_OK, or CLI_USAGE after saying why */
int cli_option_read(const char *command, const cli_option *option, const char *text,
                    cli_options *options);

/** A mode as it is written. Static. */
const char *cli_bench_mode_name(cli_bench_mode mode);

/** Reads pairs of hexadecimal digits into half as many bytes.
 *  @return false if there are none, or something else */
bool cli_hex_parse(const char *text, uint8_t *bytes);

/** Reads a token's 32 hexadecimal digits. @return false if they aren't */
bool cli_token_parse(const char *text, cli_token *token);

#endif
