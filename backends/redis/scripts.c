/* SPDX-License-Identifier: MIT */
/*
 * What runs inside the server: compare-and-swap on the beginning of a record's text, which is its
 * version. The server names a script by the SHA-1 of its text; the names are written out here, and
 * a test asks a server whether they are right.
 *
 * Errors of the commands inside are handed on as they are. Nothing expires and nobody writes while a
 * script runs, so a text and its PTTL belong together.
 */
#include "scripts.h"

const idem__redis_source idem__redis_sources[IDEM__REDIS_SCRIPTS] = {
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
