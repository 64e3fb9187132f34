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
 * PROVE tries what complete and release need before a connection's first claim. DEL is asked about,
 * not tried: a server that is out of memory takes the SET behind a script's first write. Redis
 * before 7.0 can't be asked. There the DEL is tried on the new record, which is stored again behind
 * it; if the user has no right to DEL, the record is left to expire within a millisecond.
 */
#include "scripts.h"

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
                "if not may then return {v, t, -1} end\n"
                "return {v, t, may('SET', KEYS[1], '', 'PX', 1) and may('DEL', KEYS[1]) and 1 or "
                "0} end\n"
                "if may and not may('DEL', KEYS[1]) then return {err = 'NOPERM DEL within a "
                "script'} end\n"
                "local s = try('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])\n"
                "if may or s.err then return s end\n"
                "local d = try('DEL', KEYS[1])\n"
                "if type(d) == 'number' then return try('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) "
                "end\n"
                "redis.call('SET', KEYS[1], ARGV[1], 'PX', 1)\n"
                "return d",
            .sha1 = "4a4df51b40f2cb00a0786ac1b4352a366292e7cb",
        },
    [IDEM__REDIS_INSERT] =
        {
            .text = "local v = redis.pcall('GET', KEYS[1])\n"
                    "if type(v) == 'string' then return {v, redis.call('PTTL', KEYS[1])} end\n"
                    "if v then return v end\n"
                    "return redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])",
            .sha1 = "d7558d973e94581f58640d2ff9a63d253f8bbdf0",
        },
    [IDEM__REDIS_REPLACE] =
        {
            .text = "local v = redis.pcall('GET', KEYS[1])\n"
                    "if type(v) ~= 'string' then return v end\n"
                    "if string.sub(v, 1, 29) ~= ARGV[1] then return {v, redis.call('PTTL', "
                    "KEYS[1])} end\n"
                    "return redis.pcall('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])",
            .sha1 = "38ac2912c6efed01b04ca65f55c74e3591ce3b35",
        },
    [IDEM__REDIS_REMOVE] =
        {
            .text = "local v = redis.pcall('GET', KEYS[1])\n"
                    "if type(v) ~= 'string' then return v end\n"
                    "if string.sub(v, 1, 29) ~= ARGV[1] then return {v, redis.call('PTTL', "
                    "KEYS[1])} end\n"
                    "return redis.pcall('DEL', KEYS[1])",
            .sha1 = "1b6aa1c16799dbf0ed7c5b35f398c22116b357aa",
        },
    [IDEM__REDIS_READ] =
        {
            .text = "local v = redis.pcall('GET', KEYS[1])\n"
                    "if type(v) ~= 'string' then return v end\n"
                    "return {v, redis.call('PTTL', KEYS[1])}",
            .sha1 = "3f8a47b26fe5ac49f8a9433f5a2e39a5cdd6d5ee",
        },
};
