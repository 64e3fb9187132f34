# SPDX-License-Identifier: MIT
# Reads what was measured, for table.awk and charts.awk: ROWS RAW
#
# ROWS is the table of rows without its comments; a line of RAW is `NAME SIDE ROUND NAME=NUMBER…`, or
# `NAME not-run REASON`. Where one program measures stores of several sizes, a size is a side.

# The middle of values[1..count], which is sorted on the way.
function median(values, count, i, j, value) {
    for (i = 2; i <= count; i++) {
        value = values[i]
        for (j = i - 1; j > 0 && values[j] > value; j--)
            values[j + 1] = values[j]
        values[j + 1] = value
    }
    if (count % 2)
        return values[(count + 1) / 2]
    return (values[count / 2] + values[count / 2 + 1]) / 2
}

# What a row's side was measured to be, round by round: rounds, or 0 if one is missing.
function load(name, side, field, into, i) {
    for (i = 1; (name, side, i, field) in seen; i++)
        into[i] = seen[name, side, i, field]
    return i - 1
}

NR == FNR {
    row[++rows] = $0
    next
}
$2 == "not-run" {
    why[$1] = $0
    sub(/^[^ ]+ [^ ]+ /, "", why[$1])
    next
}
{
    side = $2
    round = $3
    for (i = 4; i <= NF; i++) {
        split($i, pair, "=")
        if (pair[1] == "size") {
            side = pair[2]
            if (!(($1, side) in known)) {
                known[$1, side] = 1
                sizes[$1, ++size_count[$1]] = side
            }
        } else if (pair[1] == "round") {
            round = pair[2]
        } else {
            seen[$1, side, round, pair[1]] = pair[2] + 0
        }
    }
}
