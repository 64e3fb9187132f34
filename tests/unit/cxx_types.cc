/* SPDX-License-Identifier: MIT */
/* idem/idem.hpp as a C++ service uses it: built as C++17 to C++23, and run. */
#include <idem/idem.hpp>

#include <cstdio>
#include <vector>

using namespace std::chrono_literals;
using namespace std::string_view_literals;

static int failures;

static void expect(bool truth, const char *what)
{
    if (truth)
        return;
    std::fprintf(stderr, "not true: %s\n", what);
    failures++;
}

template <class F> static int code_thrown_by(F &&f)
{
    try {
        f();
    } catch (const idem::error &error) {
        expect(error.what()[0] != '\0', "an error has a message");
        return error.code();
    }
    return IDEM_OK;
}

static void a_key_is_worked_on_once(idem::store &store)
{
    idem::outcome first = store.begin("charge");
    auto *fresh = std::get_if<idem::fresh>(&first);
    expect(fresh != nullptr, "the first begin is new");
    if (!fresh)
        return;
    expect(fresh->attempt() == 1 && fresh->checkpoint().empty(), "it is the first attempt");
    expect(std::holds_alternative<idem::in_progress>(store.begin("charge")), "then in progress");
    fresh->claim.checkpoint("{\"at\":1}");
    fresh->claim.renew(5s);
    fresh->claim.complete("{\"charged\":true}");
    const idem::outcome again = store.begin("charge");
    const auto *done = std::get_if<idem::completed>(&again);
    expect(done && done->response() == "{\"charged\":true}", "then completed, with the response");
    expect(done && done->is_json() && store.get("charge")->is_json(), "which is JSON");
    std::get<idem::fresh>(store.begin("image")).claim.complete_bytes(std::string_view("\0\xff", 2));
    const idem::outcome image = store.begin("image");
    const auto *shown = std::get_if<idem::completed>(&image);
    expect(shown && !shown->is_json() && shown->response() == std::string_view("\0\xff", 2),
           "a response may be any bytes");
    expect(!store.get("image")->is_json(), "and get says so");
    expect(store.get("charge")->status() == IDEM_STATUS_COMPLETED, "get shows it");
    expect(!store.get("another"), "there is no record of another key");
}

static void outcomes_can_be_visited(idem::store &store)
{
    idem::begin_options options;
    options.fingerprint = "one";
    idem::outcome first = store.begin("visited", options);
    options.fingerprint = "two";
    const std::string seen = std::visit(idem::overloaded{
                                            [](const idem::fresh &) { return "fresh"; },
                                            [](const idem::completed &) { return "completed"; },
                                            [](const idem::in_progress &) { return "in progress"; },
                                            [](const idem::mismatch &) { return "mismatch"; },
                                            [](const idem::in_doubt &) { return "in doubt"; },
                                        },
                                        store.begin("visited", options));
    expect(seen == "mismatch", "another fingerprint is a mismatch");
    std::get<idem::fresh>(first).claim.release();
    expect(std::holds_alternative<idem::fresh>(store.begin("visited")), "a released key is new");
}

static void a_claim_is_moved_and_knows_its_store(idem::store &store)
{
    idem::claim kept;
    {
        idem::outcome outcome = store.begin("moved", {{}, 10s});
        kept = std::move(std::get<idem::fresh>(outcome).claim);
    }
    expect(bool(kept) && !kept.lost(), "a claim outlives its outcome");
    idem::claim resumed = store.resume("moved", kept.token());
    idem::claim other = std::move(kept);
    expect(!kept, "one that was moved from holds nothing"); // NOLINT(bugprone-use-after-move)
    expect(idem::claim().try_complete("1").code() == IDEM_ERR_ARGUMENT, "its calls say so");
    other.complete("1");
    expect(resumed.try_complete("2").code() == IDEM_OK, "the same caller's complete is repeated");
    const idem::outcome replay = store.begin("moved");
    expect(std::get<idem::completed>(replay).response() == "1", "the first response stays");
}

static void errors_are_thrown_or_returned(idem::store &store)
{
    expect(code_thrown_by([&] { store.begin(""); }) == IDEM_ERR_ARGUMENT, "an empty key throws");
    const auto result = store.try_begin("");
    expect(!result && result.code() == IDEM_ERR_ARGUMENT && result.message()[0] != '\0',
           "or is returned");
    expect(code_thrown_by([] { idem::store bad("nosuch://x"); }) == IDEM_ERR_UNKNOWN_BACKEND,
           "an unknown scheme throws");
    expect(idem::store::try_open(std::string("memory://\0x", 11)).code() == IDEM_ERR_ARGUMENT,
           "a NUL in a URL is refused");
    idem::begin_options negative;
    negative.lease = -1ms;
    expect(store.try_begin("k", negative).code() == IDEM_ERR_ARGUMENT,
           "a negative lease is refused");
    idem::outcome outcome = store.begin("no json");
    expect(code_thrown_by([&] { std::get<idem::fresh>(outcome).claim.complete("{"); }) ==
               IDEM_ERR_ARGUMENT,
           "what is no JSON throws");
}

static unsigned records_seen;

static bool count_record(const idem_record &) noexcept
{
    records_seen++;
    return true;
}

static void all_bytes_are_keys(idem::store &store)
{
    const auto key = "a\0b"sv;
    std::get<idem::fresh>(store.begin(key)).claim.complete("[]");
    std::vector<std::string> found;
    store.scan([&found](const idem_record &record) noexcept {
        found.emplace_back(idem::to_view(record.key));
        return true;
    });
    bool seen = false;
    for (const std::string &name : found)
        seen = seen || name == key;
    expect(seen, "a scan gives a key with a NUL in it");
    store.scan(count_record);
    expect(records_seen == found.size(), "a scan takes a function");
    store.forget(key);
    expect(!store.get(key), "a key that was forgotten is gone");
    expect(store.purge() == 0, "nothing has expired");
}

static void a_caller_comes_again_by_its_token(idem::store &store)
{
    idem::begin_options options;
    options.token = idem::make_token();
    idem::outcome first = store.begin("token", options);
    idem::outcome again = store.begin("token", options);
    expect(std::holds_alternative<idem::fresh>(again), "the same caller has it still");
    expect(std::get<idem::fresh>(first).claim.token() == *options.token, "by its token");
}

/* A record says what a clock said that may have been wrong. */
static void no_time_is_too_far_away()
{
    using point = std::chrono::system_clock::time_point;
    idem_outcome given = {};
    const auto created_at = [&given](std::int64_t ms) {
        given.created_at_ms = ms;
        return idem::mismatch(given).created_at();
    };
    expect(created_at(1500) == point(1500ms), "a time is told to the millisecond");
    expect(created_at(INT64_C(253402300799999)) == point::max(), "the year 9999");
    expect(created_at(INT64_MAX) == point::max(), "the latest");
    expect(created_at(INT64_MIN) == point::min(), "the earliest");
}

static void run_all()
{
    static_assert(!std::is_copy_constructible_v<idem::store>);
    static_assert(!std::is_copy_constructible_v<idem::claim>);
    static_assert(!std::is_copy_constructible_v<idem::outcome>);
    static_assert(std::is_nothrow_move_constructible_v<idem::claim>);
    static_assert(std::is_nothrow_move_constructible_v<idem::outcome>);
    idem::store opened("memory://");
    idem::store store = std::move(opened);
    a_key_is_worked_on_once(store);
    outcomes_can_be_visited(store);
    a_claim_is_moved_and_knows_its_store(store);
    errors_are_thrown_or_returned(store);
    all_bytes_are_keys(store);
    a_caller_comes_again_by_its_token(store);
    no_time_is_too_far_away();
}

int main()
{
    try {
        run_all();
    } catch (const std::exception &problem) {
        std::fprintf(stderr, "thrown: %s\n", problem.what());
        return 1;
    }
    return failures == 0 ? 0 : 1;
}
