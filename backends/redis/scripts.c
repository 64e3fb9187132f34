/* SPDX-License-Identifier: MIT */
/*
 * What runs inside the server: compare-and-swap on the beginning of a record's text, which is its
 * version. The server names a script by the SHA-1 of its text; the names are written out here, and
 * a test asks a server whether they are right.
 *
 * Errors of the commands inside are handed on as they are; PROVE names the command that a user
 * lacks. Nothing expires or is written while a script runs, so a text and its PTTL belong
 * together.
 *
 * A read-only replica refuses a script at its first write alone, and what it holds may be old. So
 * a script that has nothing to change tries a write that changes nothing (SET with NX on a key that
 * is there, DEL of one that is not), and hands READONLY on; other refusals do not matter.
 *
 * PROVE tries what complete and release need before a connection's first claim. DEL is asked about,
 * not tried: a server that is out of memory takes the SET behind a script's first write. Redis
 * before 7.0 can't be asked. There the DEL is tried on the new record, which is stored again behind
 * it; if the user has no right to DEL, the record is left to expire within a millisecond.
 */
#include "scripts.h"

#define HAND_ON                                                                                  \
    "if type(w) == 'table' and w.err and string.find(w.err, 'READONLY', 1, true) then return w " \
    "end\n"
#define TRY_SET "local w = redis.pcall('SET', KEYS[1], '', 'NX', 'PX', 1)\n" HAND_ON
#define TRY_DEL "local w = redis.pcall('DEL', KEYS[1])\n" HAND_ON

const idem__redis_source idem__redis_sources[IDEM__REDIS_SCRIPTS] = {
    [IDEM__REDIS_PROVE] =
        {
            .text =
                "local function try(name, ...)\n"
                "local r = redis.pcall(name, ...)\n"
                "if type(r) == 'table' and r.err and (string.find(r.err, 'executing the script', "
                "1, true) or string.find(r.err, 'ACL failure', 1, true)) then\n"
                "return {err = 'NOPERM ' .. name .. ' within a script: ' .. r.err} end\n"
                "return r end\n"
                "local may = redis.acl_check_cmd\n"
                "local v = try('GET', KEYS[1])\n"
                "if v and type(v) ~= 'string' then return v end\n"
                "local t = try('PTTL', KEYS[1])\n"
                "if type(t) ~= 'number' then return t end\n"
                "if v then\n"
                "if may and not (may('SET', KEYS[1], '', 'PX', 1) and may('DEL', KEYS[1])) then "
                "return {v, t, 0} end\n" TRY_SET "return {v, t, may and 1 or -1} end\n"
                "if may and not may('DEL', KEYS[1]) then return {err = 'NOPERM DEL within a "
                "script'} end\n"
                "local s = try('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])\n"
                "if may or s.err then return s end\n"
                "local d = try('DEL', KEYS[1])\n"
                "if type(d) == 'number' then return try('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) "
                "end\n"
                "redis.call('SET', KEYS[1], ARGV[1], 'PX', 1)\n"
                "return d",
            .sha1 = "634391a4333bf919ca7eeb80dce9246ecd135721",
        },
    [IDEM__REDIS_INSERT] =
        {
            .text = "local v = redis.pcall('GET', KEYS[1])\n"
                    "if type(v) == 'string' then\n" TRY_SET
                    "return {v, redis.call('PTTL', KEYS[1])} end\n"
                    "if v then return v end\n"
                    "return redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])",
            .sha1 = "15f725b2cff4831ed486e05a4994461e45adb8b2",
        },
    [IDEM__REDIS_REPLACE] =
        {
            .text = "local v = redis.pcall('GET', KEYS[1])\n"
                    "if not v then\n" TRY_DEL "return v end\n"
                    "if type(v) ~= 'string' then return v end\n"
                    "if string.sub(v, 1, 29) ~= ARGV[1] then\n" TRY_SET
                    "return {v, redis.call('PTTL', KEYS[1])} end\n"
                    "return redis.pcall('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])",
            .sha1 = "a328cbda83c93b6e795ded76ab55590bd7be0bd7",
        },
    [IDEM__REDIS_REMOVE] =
        {
            .text = "local v = redis.pcall('GET', KEYS[1])\n"
                    "if not v then\n" TRY_DEL "return v end\n"
                    "if type(v) ~= 'string' then return v end\n"
                    "if string.sub(v, 1, 29) ~= ARGV[1] then\n" TRY_SET
                    "return {v, redis.call('PTTL', KEYS[1])} end\n"
                    "return redis.pcall('DEL', KEYS[1])",
            .sha1 = "44cf3522cae3895ce82c345d3c418c961e4166f9",
        },
    [IDEM__REDIS_READ] =
        {
            .text = "local v = redis.pcall('GET', KEYS[1])\n"
                    "if type(v) ~= 'string' then return v end\n"
                    "return {v, redis.call('PTTL', KEYS[1])}",
            .sha1 = "3f8a47b26fe5ac49f8a9433f5a2e39a5cdd6d5ee",
        },
    [IDEM__REDIS_REWRITE] =
        {
            .text = "local v = redis.pcall('GET', KEYS[1])\n"
                    "if type(v) ~= 'string' then return v end\n"
                    "local s = redis.pcall('SET', KEYS[1], v, 'KEEPTTL')\n"
                    "if s.err then return s end\n"
                    "return {v, redis.call('PTTL', KEYS[1])}",
            .sha1 = "3a36970e7a1302287619c3a7da765576e3df4431",
        },
};
