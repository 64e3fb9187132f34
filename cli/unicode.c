/* SPDX-License-Identifier: MIT */
/*
 * UTF-8 as RFC 3629 has it, and the characters that would let a stranger's text drive or deceive a
 * terminal.
 */
#include "unicode.h"

static bool is_continuation(unsigned char c)
{
    return (c & 0xC0u) == 0x80u;
}

size_t cli_utf8_length(const unsigned char *at, size_t left)
{
    if (at[0] < 0x80)
        return 1;
    if (at[0] >= 0xC2 && at[0] <= 0xDF)
        return left >= 2 && is_continuation(at[1]) ? 2 : 0;
    if (left < 3 || !is_continuation(at[1]) || !is_continuation(at[2]))
        return 0;
    if (at[0] >= 0xE0 && at[0] <= 0xEF) {
        bool overlong = at[0] == 0xE0 && at[1] < 0xA0;
        bool surrogate = at[0] == 0xED && at[1] > 0x9F;
        return overlong || surrogate ? 0 : 3;
    }
    if (left < 4 || !is_continuation(at[3]) || at[0] < 0xF0 || at[0] > 0xF4)
        return 0;
    bool overlong = at[0] == 0xF0 && at[1] < 0x90;
    bool beyond = at[0] == 0xF4 && at[1] > 0x8F;
    return overlong || beyond ? 0 : 4;
}

uint32_t cli_utf8_decode(const unsigned char *at, size_t len)
{
    static const unsigned char masks[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t character = at[0] & masks[len];
    for (size_t i = 1; i < len; i++)
        character = character << 6 | (at[i] & 0x3Fu);
    return character;
}

bool cli_is_control(uint32_t character)
{
    return character < 0x20 || (character >= 0x7F && character < 0xA0);
}

/* Unicode's format characters (Cf), its two separators of lines, its fillers that have no shape,
   the tags of plane 14, and what is for private use: terminals' own fonts draw anything for
   that. */
static const struct {
    uint32_t first;
    uint32_t last;
} invisible[] = {
    {0x00AD, 0x00AD},    {0x034F, 0x034F},   {0x0600, 0x0605},   {0x061C, 0x061C},
    {0x06DD, 0x06DD},    {0x070F, 0x070F},   {0x0890, 0x0891},   {0x08E2, 0x08E2},
    {0x115F, 0x1160},    {0x17B4, 0x17B5},   {0x180B, 0x180F},   {0x200B, 0x200F},
    {0x2028, 0x202E},    {0x2060, 0x206F},   {0x3164, 0x3164},   {0xE000, 0xF8FF},
    {0xFEFF, 0xFEFF},    {0xFFA0, 0xFFA0},   {0xFFF0, 0xFFFB},   {0x110BD, 0x110BD},
    {0x110CD, 0x110CD},  {0x13430, 0x1343F}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A},
    {0xE0000, 0x10FFFF},
};

bool cli_is_invisible(uint32_t character)
{
    for (size_t i = 0; i < sizeof invisible / sizeof invisible[0]; i++) {
        if (character <= invisible[i].last)
            return character >= invisible[i].first;
    }
    return false;
}
