/* SPDX-License-Identifier: MIT */
/* The public header as a C++ service uses it: built as C++11 to C++20, with IDEM_REQUEST()'s other
   form, and run. */
#include <idem/idem.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

static int fail(const char *what, const idem_error &error)
{
    std::fprintf(stderr, "%s: %s\n", what, error.message);
    return 1;
}

static int serve(idem_store *store, const std::string &name, idem_outcome_kind expected)
{
    idem_error error;
    idem_outcome out;
    const idem_bytes key = {name.data(), name.size()};
    if (idem_begin(store, IDEM_REQUEST(.lease_ms = 30000, .key = key, .flags = IDEM_NO_TAKEOVER),
                   &out, &error) != IDEM_OK)
        return fail("begin", error);
    if (out.kind != expected)
        return fail("outcome", error);
    if (out.kind == IDEM_NEW && idem_complete(store, out.claim, idem_str("[1]"), &error) != IDEM_OK)
        return fail("complete", error);
    if (out.kind == IDEM_COMPLETED && std::memcmp(out.response.data, "[1]", 3) != 0)
        return fail("response", error);
    idem_outcome_clear(&out);
    return 0;
}

/* Messages of a queue, some of them there twice: each is charged once. */
static int consume(idem_store *store, const std::vector<std::string> &messages, size_t expected)
{
    idem_error error;
    std::vector<idem_request> requests;
    std::vector<idem_outcome> outcomes(messages.size());
    std::vector<idem_error> errors(messages.size());
    std::vector<idem_claim *> claims;
    for (const std::string &name : messages) {
        const idem_bytes key = {name.data(), name.size()};
        requests.push_back(*IDEM_REQUEST(.key = key));
    }
    if (idem_begin_many(store, requests.data(), requests.size(), outcomes.data(), errors.data(),
                        &error) != IDEM_OK)
        return fail("begin_many", error);
    for (const idem_outcome &out : outcomes) {
        if (out.kind == IDEM_NEW)
            claims.push_back(out.claim);
    }
    const std::vector<idem_bytes> responses(claims.size(), idem_str("[2]"));
    if (idem_complete_many(store, claims.data(), responses.data(), claims.size(), errors.data(),
                           &error) != IDEM_OK)
        return fail("complete_many", error);
    for (idem_outcome &out : outcomes)
        idem_outcome_clear(&out);
    return claims.size() == expected ? 0 : fail("claims", error);
}

int main()
{
    idem_error error;
    idem_store *store = nullptr;
    if (idem_open("memory://", &store, &error) != IDEM_OK)
        return fail("open", error);
    const int failed =
        serve(store, "charge-42", IDEM_NEW) || serve(store, "charge-42", IDEM_COMPLETED) ||
        serve(store, std::string("nul\0inside", 10), IDEM_NEW) ||
        consume(store, {"a", "b", "a", "charge-42"}, 2) || consume(store, {"a", "b", "c"}, 1);
    idem_close(store);
    return failed;
}
