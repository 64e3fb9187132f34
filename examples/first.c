/* SPDX-License-Identifier: MIT */
/* The smallest whole program: run it twice on one store, and the second run replays the first. */
#include <idem/idem.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    idem_error error = {0};
    idem_store *store = NULL;
    idem_outcome out = {0};

    if (idem_open(argc > 1 ? argv[1] : "memory://", &store, &error) == IDEM_OK &&
        idem_begin(store, IDEM_REQUEST(.key = idem_str("charge-42")), &out, &error) == IDEM_OK) {
        if (out.kind == IDEM_NEW) {
            puts("charged"); /* the work; it happens once */
            (void)idem_complete(store, out.claim, idem_str("{\"charged\":true}"), &error);
        } else if (out.kind == IDEM_COMPLETED) {
            printf("replayed %.*s\n", (int)out.response.len, (const char *)out.response.data);
        } else {
            puts("somebody else is at it; try again later");
        }
    }
    if (error.code != IDEM_OK)
        fprintf(stderr, "%s\n", error.message);
    idem_outcome_clear(&out);
    idem_close(store);
    return error.code == IDEM_OK ? 0 : 1;
}
