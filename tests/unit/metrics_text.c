/* SPDX-License-Identifier: MIT */
/*
 * metrics_text URL [NAME]: makes some calls on a store, of which some fail, and prints its counters
 * as OpenMetrics text. They are observed, so that those on memory:// are timed too.
 */
#include <idem/idem.h>

#include <stdio.h>

static void ignore(void *user, const idem_event *event)
{
    (void)user, (void)event;
}

static void print(const char *text, size_t len, void *user)
{
    *(int *)user = fwrite(text, 1, len, stdout) == len ? 0 : 1;
}

static int fail(const idem_error *error)
{
    (void)fprintf(stderr, "%s\n", error->message);
    return 1;
}

static int make_calls(idem_store *store, idem_error *error)
{
    idem_outcome out;
    idem_record record;
    for (int i = 0; i < 3; i++) {
        int rc = idem_begin(store, IDEM_REQUEST(.key = idem_str("charge-42")), &out, error);
        if (rc == IDEM_OK && out.kind == IDEM_NEW)
            rc = idem_complete(store, out.claim, idem_str("{\"charged\":true}"), error);
        idem_outcome_clear(&out);
        if (rc)
            return rc;
    }
    if (idem_get(store, idem_str("absent"), &record, NULL) == IDEM_OK)
        idem_record_clear(&record);
    return IDEM_OK;
}

int main(int argc, char **argv)
{
    idem_error error;
    idem_store *store = NULL;
    int failed = 1;
    idem_options options = {
        .size = sizeof options, .on_event = ignore, .flags = IDEM_OBSERVE_CALLS};
    if (argc < 2 || idem_open_with(argv[1], &options, &store, &error))
        return argc < 2 ? 64 : fail(&error);
    if (make_calls(store, &error) ||
        idem_stats_text(store, argc > 2 ? argv[2] : NULL, print, &failed, &error))
        failed = fail(&error);
    idem_close(store);
    return failed;
}
