/* SPDX-License-Identifier: MIT */
/* --report of `idem run`: for a program, what happened. */
#ifndef IDEM_CLI_RUN_REPORT_H
#define IDEM_CLI_RUN_REPORT_H

#include "report.h"

#include <sys/types.h>

/** What happened, as far as it is known yet. All zero but for `fd`, -1: nothing has. */
typedef struct {
    idem_outcome_kind kind; /**< 0: there is no outcome, but an error */
    uint32_t attempt;
    uint64_t retry_after_ms;
    bool ran;        /**< CMD was executed */
    bool stored;     /**< and its result is in the store */
    bool timed_out;  /**< it was stopped by --max-time */
    bool claim_lost; /**< it was stopped since the claim was lost */
    char *path;      /**< the file that is replaced; NULL: none, or there is a descriptor */
    int fd;          /**< where the report goes at once; -1: nowhere */
    mode_t mode;     /**< of a new file */
} cli_run_report;

/** Makes sure that there will be a place for the report, and that no earlier one is taken for it.
 *  @param name  a file or FIFO, or /dev/fd/N; NULL: no report is wanted
 *  @return CLI_OK; CLI_USAGE after saying why there is no such place */
int cli_run_report_open(cli_run_report *report, const char *name);

/** Writes the report, if one is wanted, and ends it.
 *  @param code  with which the command is about to end
 *  @return the same; CLI_INTERNAL in place of CLI_OK if the report can't be written */
int cli_run_report_close(cli_run_report *report, idem_bytes key, int code);

#endif
