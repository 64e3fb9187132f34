/* SPDX-License-Identifier: MIT */
/*
 * A nightly report that goes out once, on whatever store the environment names: choose_backend DAY.
 *
 * $IDEM_STORE is what the command `idem` reads too, so `idem ls` shows the same records. The code
 * is the same for every store; the store's traits tell what a caller may rely on.
 */
#include <idem/idem.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_STORE  "sqlite:reports.db"
#define EXIT_NO_STORE  69 /* it can't be used now: start again later */
#define EXIT_BAD_STORE 78 /* it is named wrongly: starting again does not help */

/* The URL may hold a password, so it stays out of messages; those of the library keep it out. */
static int open_store(idem_store **store)
{
    idem_error error;
    const char *url = getenv("IDEM_STORE");
    int rc = idem_open(url && *url ? url : DEFAULT_STORE, store, &error);
    if (rc == IDEM_OK)
        return 0;
    (void)fprintf(stderr, "choose_backend: $IDEM_STORE: %s\n", error.message);
    return rc == IDEM_ERR_UNAVAILABLE ? EXIT_NO_STORE : EXIT_BAD_STORE;
}

static int report_once(idem_store *store, const char *day)
{
    char key[IDEM_KEY_MAX];
    size_t key_len = 0;
    idem_bytes parts[] = {idem_str("report"), idem_str(day)};
    idem_outcome out = {0};
    idem_error error;
    int rc = idem_key_compose(parts, 2, key, sizeof key, &key_len, &error);
    if (rc == IDEM_OK)
        rc = idem_begin(store, IDEM_REQUEST(.key = {key, key_len}, .ttl_ms = 7 * 86400000), &out,
                        &error);
    if (rc == IDEM_OK && out.kind == IDEM_NEW) {
        (void)printf("sending the report of %s\n", day);
        rc = idem_complete(store, out.claim, idem_str("{\"sent\":true}"), &error);
    } else if (rc == IDEM_OK) {
        (void)printf("the report of %s is %s\n", day,
                     out.kind == IDEM_COMPLETED ? "sent already" : "being sent by another process");
    }
    if (rc)
        (void)fprintf(stderr, "choose_backend: %s\n", error.message);
    idem_outcome_clear(&out);
    return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    idem_store *store = NULL;
    if (argc != 2) {
        (void)fprintf(stderr, "usage: choose_backend DAY\n");
        return 64;
    }
    int code = open_store(&store);
    if (code)
        return code;
    if (!(idem_traits(store) & IDEM_TRAIT_DURABLE))
        (void)fprintf(stderr,
                      "choose_backend: this store forgets with the process; for tests only\n");
    code = report_once(store, argv[1]);
    idem_close(store);
    return code;
}
