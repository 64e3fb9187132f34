/* SPDX-License-Identifier: MIT */
/* The conformance suite on a backend of one's own. With a word on the command line: those groups of
   tests alone. */
#include "custom_backend.h"

#include <idem/testkit.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    const idem_testkit_subject subject = {
        .size = sizeof subject,
        .name = "dir",
        .url = "dir://{dir}/records",
        .unreachable = "dir:///dev/null/no-such-folder/records",
        .lacks = IDEM_TESTKIT_BULK, /* each record is synced by itself: a thousand take long */
        .only = argc > 1 ? argv[1] : NULL,
    };
    if (custom_backend_register(NULL))
        return EXIT_FAILURE;
    return idem_testkit_conformance(&subject, NULL, NULL) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
