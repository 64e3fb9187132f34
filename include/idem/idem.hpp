/* SPDX-License-Identifier: MIT */
/**
 * @file idem/idem.hpp
 * @brief libidem for C++17 and later: owning types over idem/idem.h, header only.
 *
 * @code
 * idem::store store("sqlite:payments.db");
 * idem::outcome outcome = store.begin("charge-42");
 * if (auto *fresh = std::get_if<idem::fresh>(&outcome)) {
 *     charge();
 *     fresh->claim.complete("{\"charged\":true}");
 * } else if (auto *done = std::get_if<idem::completed>(&outcome)) {
 *     reply(done->response());
 * }
 * @endcode
 *
 * @par Rules common to all types
 * - *Errors.* Each call comes twice: `begin()` throws idem::error, `try_begin()` is noexcept and
 *   returns an idem::result. What happened to the key is never an error, as in C.
 * - *Ownership.* A store, a claim and an outcome are moved, not copied, and free what they own. A
 *   claim knows its store, which has to outlive it for its calls; to destroy it later than its
 *   store is fine. The destructor of a claim leaves the record as it is, and ends a keepalive:
 *   complete or release first.
 * - *Bytes.* Keys, responses and checkpoints are std::string_view: any bytes, with their length.
 *   The views that an outcome or a record gives live as long as it does.
 * - *Callbacks* run inside C code, so they may not throw: the compiler refuses one that is not
 * noexcept.
 * - *Threads, blocking, cancellation:* as in idem/idem.h.
 */
#ifndef IDEM_IDEM_HPP
#define IDEM_IDEM_HPP

#include <idem/idem.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

namespace idem
{

using token = std::array<std::uint8_t, IDEM_TOKEN_SIZE>;

/** The bytes of a view, as the C interface takes them. */
inline idem_bytes to_bytes(std::string_view view) noexcept
{
    return idem_bytes{view.data(), view.size()};
}

/** Bytes of the C interface as a view; valid as long as they are. */
inline std::string_view to_view(const idem_bytes &bytes) noexcept
{
    return bytes.len == 0 ? std::string_view()
                          : std::string_view(static_cast<const char *>(bytes.data), bytes.len);
}

/* ------------------------------------------------------------------------------------ errors */

/** Why a call failed. what() is one line that names the thing and says what to do. */
class error : public std::runtime_error
{
  public:
    explicit error(const idem_error &from) : std::runtime_error(from.message), code_(from.code)
    {
    }

    /** IDEM_ERR_LOST and so on. */
    int code() const noexcept
    {
        return code_;
    }

  private:
    int code_;
};

/** A value, or why there is none. */
template <class T> class [[nodiscard]] result
{
  public:
    result(T value) noexcept : state_(std::in_place_index<0>, std::move(value))
    {
    }
    result(const idem_error &why) noexcept : state_(std::in_place_index<1>, why)
    {
    }

    bool has_value() const noexcept
    {
        return state_.index() == 0;
    }
    explicit operator bool() const noexcept
    {
        return has_value();
    }

    /** The value. @throws idem::error if there is none */
    T &value() &
    {
        if (!has_value())
            throw idem::error(std::get<1>(state_));
        return std::get<0>(state_);
    }
    T value() &&
    {
        return std::move(value());
    }

    /** IDEM_OK if there is a value. */
    int code() const noexcept
    {
        return has_value() ? int{IDEM_OK} : std::get_if<1>(&state_)->code;
    }
    /** One line; empty if there is a value. */
    const char *message() const noexcept
    {
        return has_value() ? "" : std::get_if<1>(&state_)->message;
    }

  private:
    std::variant<T, idem_error> state_;
};

/** Success, or why not. */
template <> class [[nodiscard]] result<void>
{
  public:
    result() noexcept : error_()
    {
    }
    result(const idem_error &why) noexcept : error_(why)
    {
    }

    bool has_value() const noexcept
    {
        return error_.code == IDEM_OK;
    }
    explicit operator bool() const noexcept
    {
        return has_value();
    }
    /** @throws idem::error if it failed */
    void value() const
    {
        if (!has_value())
            throw idem::error(error_);
    }
    int code() const noexcept
    {
        return error_.code;
    }
    const char *message() const noexcept
    {
        return error_.message;
    }

  private:
    idem_error error_;
};

/* ------------------------------------------------------------------------------------ claims */

/** The right to do the work of one key, and the store that it was claimed from. One thread at a
 *  time. One that was moved from holds nothing: its calls are IDEM_ERR_ARGUMENT. */
class claim
{
  public:
    claim() noexcept = default;
    claim(idem_store *store, idem_claim *owned) noexcept : store_(store), claim_(owned)
    {
    }
    claim(claim &&other) noexcept
        : store_(other.store_), claim_(std::exchange(other.claim_, nullptr))
    {
    }
    claim &operator=(claim &&other) noexcept
    {
        if (this != &other) {
            idem_claim_free(claim_);
            store_ = other.store_;
            claim_ = std::exchange(other.claim_, nullptr);
        }
        return *this;
    }
    claim(const claim &) = delete;
    claim &operator=(const claim &) = delete;
    ~claim()
    {
        idem_claim_free(claim_);
    }

    explicit operator bool() const noexcept
    {
        return claim_ != nullptr;
    }

    /** idem_complete(): `response` is a JSON text. */
    void complete(std::string_view response)
    {
        try_complete(response).value();
    }
    result<void> try_complete(std::string_view response) noexcept
    {
        return call([&](idem_error *why) {
            return idem_complete(store_, claim_, to_bytes(response), why);
        });
    }

    /** idem_complete_bytes(): `response` is any bytes. */
    void complete_bytes(std::string_view response)
    {
        try_complete_bytes(response).value();
    }
    result<void> try_complete_bytes(std::string_view response) noexcept
    {
        return call([&](idem_error *why) {
            return idem_complete_bytes(store_, claim_, to_bytes(response), why);
        });
    }

    /** idem_renew(): zero keeps the length of the lease. */
    void renew(std::chrono::milliseconds lease = {})
    {
        try_renew(lease).value();
    }
    result<void> try_renew(std::chrono::milliseconds lease = {}) noexcept
    {
        return call([&](idem_error *why) {
            return idem_renew(store_, claim_, static_cast<std::uint64_t>(lease.count()), why);
        });
    }

    /** idem_keepalive(): the store renews the lease from now on, until the claim ends. */
    void keepalive()
    {
        try_keepalive().value();
    }
    result<void> try_keepalive() noexcept
    {
        return call([&](idem_error *why) { return idem_keepalive(store_, claim_, why); });
    }

    /** idem_checkpoint(): a JSON text for the caller that continues after a crash. */
    void checkpoint(std::string_view json)
    {
        try_checkpoint(json).value();
    }
    result<void> try_checkpoint(std::string_view json) noexcept
    {
        return call(
            [&](idem_error *why) { return idem_checkpoint(store_, claim_, to_bytes(json), why); });
    }

    /** idem_release(): gives the key back. */
    void release()
    {
        try_release().value();
    }
    result<void> try_release() noexcept
    {
        return call([&](idem_error *why) { return idem_release(store_, claim_, why); });
    }

    /** True once a call or the keepalive has found the claim lost. Any thread may ask. */
    bool lost() const noexcept
    {
        return idem_claim_lost(claim_);
    }
    void set_ttl(std::chrono::milliseconds ttl) noexcept
    {
        idem_claim_set_ttl(claim_, ttl.count() > 0 ? static_cast<std::uint64_t>(ttl.count()) : 0);
    }
    /** The claim's token: its holder can act as this caller. All zero if nothing is held. */
    idem::token token() const noexcept
    {
        idem::token copy{};
        const std::uint8_t *from = idem_claim_token(claim_);
        for (std::size_t i = 0; from && i < copy.size(); i++)
            copy[i] = from[i];
        return copy;
    }
    /** For calls of the C interface; stays owned by this object. */
    idem_claim *get() const noexcept
    {
        return claim_;
    }

  private:
    template <class F> static result<void> call(F &&f) noexcept
    {
        idem_error why;
        return f(&why) == IDEM_OK ? result<void>() : result<void>(why);
    }

    idem_store *store_ = nullptr;
    idem_claim *claim_ = nullptr;
};

/* ---------------------------------------------------------------------------------- outcomes */

namespace detail
{

/* What the library gave with an outcome, its claim apart. */
class outcome_memory
{
  public:
    explicit outcome_memory(const idem_outcome &given) noexcept : given_(given)
    {
    }
    outcome_memory(outcome_memory &&other) noexcept : given_(std::exchange(other.given_, {}))
    {
    }
    outcome_memory &operator=(outcome_memory &&other) noexcept
    {
        std::swap(given_, other.given_);
        return *this;
    }
    outcome_memory(const outcome_memory &) = delete;
    outcome_memory &operator=(const outcome_memory &) = delete;
    ~outcome_memory()
    {
        idem_outcome_clear(&given_);
    }

    const idem_outcome &get() const noexcept
    {
        return given_;
    }

  private:
    idem_outcome given_;
};

} // namespace detail

/** What all outcomes know of the record. */
class outcome_base
{
  public:
    std::uint32_t attempt() const noexcept
    {
        return memory_.get().attempt;
    }
    /** When the key was first claimed, by the claimer's clock. A time that system_clock can't tell
     *  is the nearest that it can. */
    std::chrono::system_clock::time_point created_at() const noexcept
    {
        using std::chrono::milliseconds;
        using point = std::chrono::system_clock::time_point;
        const milliseconds since(memory_.get().created_at_ms);
        if (since > std::chrono::duration_cast<milliseconds>(point::duration::max()))
            return point::max();
        if (since < std::chrono::duration_cast<milliseconds>(point::duration::min()))
            return point::min();
        return point(since);
    }

  protected:
    explicit outcome_base(const idem_outcome &given) noexcept : memory_(given)
    {
    }
    detail::outcome_memory memory_;
};

/** IDEM_NEW: do the work, then complete or release the claim. */
class fresh : public outcome_base
{
  public:
    fresh(idem_store *store, idem_outcome given) noexcept
        : outcome_base(without_claim(given)), claim(store, given.claim)
    {
    }
    /** What an earlier attempt left; empty if there was none. */
    std::string_view checkpoint() const &noexcept
    {
        return to_view(memory_.get().checkpoint);
    }
    std::string_view checkpoint() const && = delete;

    idem::claim claim;

  private:
    static idem_outcome without_claim(idem_outcome given) noexcept
    {
        given.claim = nullptr;
        return given;
    }
};

/** IDEM_COMPLETED: done; here is the response. */
class completed : public outcome_base
{
  public:
    explicit completed(const idem_outcome &given) noexcept : outcome_base(given)
    {
    }
    std::string_view response() const &noexcept
    {
        return to_view(memory_.get().response);
    }
    std::string_view response() const && = delete;
    /** False if it was stored by complete_bytes(). */
    bool is_json() const noexcept
    {
        return memory_.get().encoding == IDEM_ENCODING_JSON;
    }
};

/** IDEM_IN_PROGRESS: another caller is at it. */
class in_progress : public outcome_base
{
  public:
    explicit in_progress(const idem_outcome &given) noexcept : outcome_base(given)
    {
    }
    /** What is left of the lease. */
    std::chrono::milliseconds retry_after() const noexcept
    {
        return std::chrono::milliseconds(memory_.get().retry_after_ms);
    }
};

/** IDEM_MISMATCH: the key was used with another fingerprint. */
class mismatch : public outcome_base
{
  public:
    explicit mismatch(const idem_outcome &given) noexcept : outcome_base(given)
    {
    }
};

/** IDEM_IN_DOUBT: a claim's lease ran out, and no takeover was asked for. */
class in_doubt : public outcome_base
{
  public:
    explicit in_doubt(const idem_outcome &given) noexcept : outcome_base(given)
    {
    }
    std::string_view checkpoint() const &noexcept
    {
        return to_view(memory_.get().checkpoint);
    }
    std::string_view checkpoint() const && = delete;
};

/** What begin found out about the key: std::visit, std::get_if and std::holds_alternative serve
 *  it. */
using outcome = std::variant<fresh, completed, in_progress, mismatch, in_doubt>;

/** For std::visit: one function object out of several lambdas. */
template <class... F> struct overloaded : F... {
    using F::operator()...;
};
template <class... F> overloaded(F...) -> overloaded<F...>;

/* ------------------------------------------------------------------------------------ stores */

/** What begin is asked besides the key. Zero means the store's default. */
struct begin_options {
    std::string_view fingerprint{};
    std::chrono::milliseconds lease{};
    std::chrono::milliseconds ttl{};
    std::chrono::milliseconds timeout{};
    std::chrono::milliseconds wait{};   /**< wait this long for a key that is in progress */
    std::optional<idem::token> token{}; /**< begin again as the same caller */
    bool keepalive = false;             /**< the store renews the lease until the claim ends */
    bool takeover = true;               /**< false: a crashed claim is reported, not taken over */
    bool reinstate = false;             /**< put the record back should the store lose it */
};

/** A record, borrowed from a scan or owned by what get() gave. */
class record
{
  public:
    explicit record(const idem_record &owned) noexcept : record_(owned)
    {
    }
    record(record &&other) noexcept : record_(std::exchange(other.record_, {}))
    {
    }
    record &operator=(record &&other) noexcept
    {
        std::swap(record_, other.record_);
        return *this;
    }
    record(const record &) = delete;
    record &operator=(const record &) = delete;
    ~record()
    {
        idem_record_clear(&record_);
    }

    std::string_view key() const noexcept
    {
        return to_view(record_.key);
    }
    std::string_view fingerprint() const noexcept
    {
        return to_view(record_.fingerprint);
    }
    std::string_view response() const noexcept
    {
        return to_view(record_.response);
    }
    /** False if the response was stored by complete_bytes(). */
    bool is_json() const noexcept
    {
        return record_.encoding == IDEM_ENCODING_JSON;
    }
    std::string_view checkpoint() const noexcept
    {
        return to_view(record_.checkpoint);
    }
    idem_status status() const noexcept
    {
        return record_.status;
    }
    std::uint32_t attempt() const noexcept
    {
        return record_.attempt;
    }
    std::chrono::milliseconds lease_left() const noexcept
    {
        return std::chrono::milliseconds(idem_record_lease_left_ms(&record_));
    }
    const idem_record &get() const noexcept
    {
        return record_;
    }

  private:
    idem_record record_;
};

/** A store. Any number of threads may use one. */
class store
{
  public:
    /** Opens a store by URL. @throws idem::error */
    explicit store(const std::string &url) : store(open(url, nullptr).value())
    {
    }
    store(const std::string &url, const idem_options &options) : store(open(url, &options).value())
    {
    }
    static result<store> try_open(const std::string &url,
                                  const idem_options *options = nullptr) noexcept
    {
        return open(url, options);
    }
    /** Takes over a handle, such as one of idem_sqlite_open_on(). */
    explicit store(idem_store *owned) noexcept : store_(owned)
    {
    }

    store(store &&other) noexcept : store_(std::exchange(other.store_, nullptr))
    {
    }
    store &operator=(store &&other) noexcept
    {
        if (this != &other) {
            idem_close(store_);
            store_ = std::exchange(other.store_, nullptr);
        }
        return *this;
    }
    store(const store &) = delete;
    store &operator=(const store &) = delete;
    ~store()
    {
        idem_close(store_);
    }

    /** idem_begin(). */
    outcome begin(std::string_view key, const begin_options &options = {})
    {
        return try_begin(key, options).value();
    }
    result<outcome> try_begin(std::string_view key, const begin_options &options = {}) noexcept
    {
        idem_error why;
        idem_outcome given = {};
        const idem_request request = make_request(key, options);
        if (idem_begin(store_, &request, &given, &why) != IDEM_OK)
            return why;
        switch (given.kind) {
        case IDEM_NEW:
            return outcome(std::in_place_type<fresh>, store_, given);
        case IDEM_COMPLETED:
            return outcome(std::in_place_type<completed>, given);
        case IDEM_IN_PROGRESS:
            return outcome(std::in_place_type<in_progress>, given);
        case IDEM_MISMATCH:
            return outcome(std::in_place_type<mismatch>, given);
        case IDEM_IN_DOUBT:
            break;
        }
        return outcome(std::in_place_type<in_doubt>, given);
    }

    /** idem_resume(): takes up a claim that another process made. */
    claim resume(std::string_view key, const idem::token &owner)
    {
        return try_resume(key, owner).value();
    }
    result<claim> try_resume(std::string_view key, const idem::token &owner) noexcept
    {
        idem_error why;
        idem_claim *taken = nullptr;
        if (idem_resume(store_, to_bytes(key), owner.data(), &taken, &why) != IDEM_OK)
            return why;
        return claim(store_, taken);
    }

    /** idem_get(): nothing if there is no record. */
    std::optional<record> get(std::string_view key)
    {
        result<record> found = try_get(key);
        if (found.code() == IDEM_ERR_NOT_FOUND)
            return std::nullopt;
        return std::move(found).value();
    }
    result<record> try_get(std::string_view key) noexcept
    {
        idem_error why;
        idem_record found = {};
        if (idem_get(store_, to_bytes(key), &found, &why) != IDEM_OK)
            return why;
        return record(found);
    }

    /** idem_forget(). */
    void forget(std::string_view key)
    {
        try_forget(key).value();
    }
    result<void> try_forget(std::string_view key) noexcept
    {
        idem_error why;
        if (idem_forget(store_, to_bytes(key), &why) != IDEM_OK)
            return why;
        return {};
    }

    /** idem_settle(): an operator's answer for a key whose owner crashed. */
    void settle(std::string_view key, std::string_view response)
    {
        try_settle(key, response).value();
    }
    result<void> try_settle(std::string_view key, std::string_view response) noexcept
    {
        idem_error why;
        if (idem_settle(store_, to_bytes(key), to_bytes(response), &why) != IDEM_OK)
            return why;
        return {};
    }

    /** idem_scan(): `fn` is given each record (`const idem_record &`) and returns true to go on. */
    template <class F> void scan(F &&fn, const idem_filter *filter = nullptr)
    {
        try_scan(std::forward<F>(fn), filter).value();
    }
    template <class F> result<void> try_scan(F &&fn, const idem_filter *filter = nullptr) noexcept
    {
        using function = std::remove_reference_t<F>;
        static_assert(std::is_nothrow_invocable_r_v<bool, function &, const idem_record &>,
                      "a callback of scan takes const idem_record &, returns bool and is noexcept");
        idem_error why;
        const auto call = [](const idem_record *found, void *user) -> int {
            return (**static_cast<function **>(user))(*found) ? 0 : 1;
        };
        function *pointer = std::addressof(fn); /* one to a function is none to an object */
        if (idem_scan(store_, filter, call, &pointer, &why) != IDEM_OK)
            return why;
        return {};
    }

    /** idem_purge(): drops what has expired. @return how many records */
    std::uint64_t purge(std::uint64_t limit = 0)
    {
        return try_purge(limit).value();
    }
    result<std::uint64_t> try_purge(std::uint64_t limit = 0) noexcept
    {
        idem_error why;
        std::uint64_t removed = 0;
        if (idem_purge(store_, limit, &removed, &why) != IDEM_OK)
            return why;
        return removed;
    }

    /** For calls of the C interface; stays owned by this object. */
    idem_store *get_handle() const noexcept
    {
        return store_;
    }

  private:
    static std::uint64_t count_of(std::chrono::milliseconds duration) noexcept
    {
        /* A negative one becomes longer than any that is accepted, and so an error. */
        return static_cast<std::uint64_t>(duration.count());
    }
    static idem_request make_request(std::string_view key, const begin_options &options) noexcept
    {
        idem_request request;
        idem_request_init(&request);
        request.key = to_bytes(key);
        request.fingerprint = to_bytes(options.fingerprint);
        request.lease_ms = count_of(options.lease);
        request.ttl_ms = count_of(options.ttl);
        request.timeout_ms = count_of(options.timeout);
        request.wait_ms = count_of(options.wait);
        request.token = options.token ? options.token->data() : nullptr;
        request.flags = (options.keepalive ? IDEM_KEEPALIVE : 0) |
                        (options.takeover ? 0 : IDEM_NO_TAKEOVER) |
                        (options.reinstate ? IDEM_REINSTATE : 0);
        return request;
    }
    static result<store> open(const std::string &url, const idem_options *options) noexcept
    {
        idem_error why;
        idem_store *opened = nullptr;
        /* A NUL inside would end the URL early. */
        if (url.find('\0') != std::string::npos) {
            why.code = IDEM_ERR_ARGUMENT;
            const char text[] = "the URL has a NUL in it; write %00 where one is meant";
            static_assert(sizeof text <= sizeof why.message, "the message fits");
            std::memcpy(why.message, text, sizeof text);
            return why;
        }
        if (idem_open_with(url.c_str(), options, &opened, &why) != IDEM_OK)
            return why;
        return store(opened);
    }

    idem_store *store_ = nullptr;
};

/** Makes a token, to begin again as the same caller when a begin was uncertain. */
inline token make_token()
{
    idem_error why;
    token made{};
    if (idem_token_make(made.data(), &why) != IDEM_OK)
        throw error(why);
    return made;
}

} // namespace idem

#endif
