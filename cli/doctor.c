/* SPDX-License-Identifier: MIT */
/*
 * `idem doctor`: opens the store, and tells what in its settings could lose records or run work
 * twice. The findings are the backend's; here they are made JSON for programs and lines for people.
 */
#include "command.h"
#include "output.h"
#include "report.h"

enum { CLI_FINDINGS = 1 };

typedef struct {
    cli_text text;
    unsigned count;
} findings;

static void take_finding(void *user, const idem_finding *finding)
{
    findings *found = user;
    cli_text_add(&found->text, found->count++ ? ",{\"what\":" : "{\"what\":");
    cli_text_string(&found->text, idem_str(finding->what));
    cli_text_add(&found->text, ",\"fix\":");
    cli_text_string(&found->text, idem_str(finding->fix));
    cli_text_add(&found->text, ",\"mend\":"); /* its older name */
    cli_text_string(&found->text, idem_str(finding->fix));
    cli_text_add(&found->text, "}");
    cli_say("%s: %s", finding->what, finding->fix);
}

int cli_doctor(idem_store *store, const cli_call *call)
{
    idem_error error;
    findings found = {.count = 0};
    (void)call;
    cli_text_add(&found.text, "{\"findings\":[");
    if (idem_check(store, take_finding, &found, &error)) {
        cli_text_clear(&found.text);
        return cli_report_call(&error);
    }
    cli_text_addf(&found.text, "],\"sound\":%s}", found.count ? "false" : "true");
    int code = cli_answer(&found.text);
    return code == CLI_OK && found.count > 0 ? (int)CLI_FINDINGS : code;
}
