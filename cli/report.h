/* SPDX-License-Identifier: MIT */
/* What goes to people on stderr, and with which code the command ends. */
#ifndef IDEM_CLI_REPORT_H
#define IDEM_CLI_REPORT_H

#include <idem/idem.h>

/** How the command ends. `idem run` ends with CMD's own code besides. */
typedef enum {
    CLI_OK = 0,
    CLI_COMPLETED = 10,
    CLI_IN_PROGRESS = 11,
    CLI_MISMATCH = 12,
    CLI_LOST = 13,
    CLI_NOT_FOUND = 14,
    CLI_IN_DOUBT = 15,
    CLI_USAGE = 64,
    CLI_DATA = 65,
    CLI_UNAVAILABLE = 69,
    CLI_INTERNAL = 70,
    CLI_CUT = 74,
    CLI_RETRY = 75,
    CLI_TIMED_OUT = 124, /* as timeout(1) has it */
    CLI_NOT_EXECUTABLE = 126,
    CLI_NO_PROGRAM = 127,
    CLI_SIGNAL = 128, /* + the signal's number */
    CLI_DIED = 256    /* + the number of the signal that the command itself is to die of */
} cli_exit;

/** Room for what cli_duration_format() writes. */
#define CLI_DURATION_SIZE 32

#define CLI_PRINTF(at, first) __attribute__((format(printf, at, first)))

/** Writes `idem: …` and a newline to stderr. */
void cli_say(const char *format, ...) CLI_PRINTF(1, 2);

/** The same, of what goes as it should: nothing if such notes are not wanted. */
void cli_note(const char *format, ...) CLI_PRINTF(1, 2);

/** The terminal is raw, or it is not any more: then a line's end needs a carriage return. */
void cli_say_raw(bool raw);

/** Notes are not wanted. */
void cli_notes_off(void);

/** Says what is wrong with the command line, and where help is.
 *  @param command  whose help to name; NULL: the command's as a whole
 *  @return CLI_USAGE */
int cli_usage(const char *command, const char *format, ...) CLI_PRINTF(2, 3);

/** Says why opening the store failed. @return the exit code for it */
int cli_report_open(const char *command, const idem_error *error);

/** Says why a call failed. @return the exit code for it */
int cli_report_call(const idem_error *error);

/** What an errno means, with the limit that is behind it where there is one. */
const char *cli_problem(int number);

/** Says that memory ran out. @return CLI_INTERNAL */
int cli_report_no_memory(void);

/** Writes a duration for people: `350ms`, `12s`, `5m10s`, `3h20m`, `2d4h`. @return `buf` */
const char *cli_duration_format(uint64_t ms, char buf[CLI_DURATION_SIZE]);

#endif
