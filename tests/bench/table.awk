# SPDX-License-Identifier: MIT
# Makes the table of what was seen: table.awk ROWS RAW, with measured.awk, which reads them.
#
# What counts is the ratio of the two sides' medians; the spread is that of the single rounds' ratios. What falls
# short of its bound is marked.

function show(number) {
    return sprintf(number < 10 ? "%.2f" : number < 100 ? "%.1f" : "%.0f", number)
}

# A bound as the table says it.
function asked(kind, bound) {
    if (bound == "-")
        return ""
    if (kind == "speed")
        return bound " x"
    return "at most " bound (kind == "growth" ? " x" : kind == "more_ms" ? " ms more" : "")
}

function line(work, against, bound, result, spread, verdict) {
    printf "| %s | %s | %s | %s | %s | %s |\n", work, against, bound, result, spread, verdict
}

# How far the rounds are apart: the least and the greatest of a[i] OP b[i].
function spread(a, b, count, kind, i, value, least, most) {
    for (i = 1; i <= count; i++) {
        value = kind == "speed" ? b[i] / a[i] : (a[i] - b[i]) / 1e6
        if (i == 1 || value < least)
            least = value
        if (i == 1 || value > most)
            most = value
    }
    return show(least) " to " show(most)
}

function judge(short) {
    judged++
    shorts += short
    return short ? "**short**" : "reached"
}

function speed(name, work, against, bound, a, b, count, between, ratio, result, p) {
    count = load(name, "a", "ns", a)
    if (!count || load(name, "b", "ns", b) != count)
        return line(work, against, asked("speed", bound), "failed", "", "")
    between = spread(a, b, count, "speed")
    ratio = median(b, count) / median(a, count)
    result = show(ratio) " x"
    if (load(name, "a", "p999_us", p)) {
        result = result sprintf("; p99.9 %.0f ms", median(p, count) / 1e3)
        load(name, "a", "max_us", p)
        result = result sprintf(", slowest %.0f ms", median(p, count) / 1e3)
    }
    line(work, against, asked("speed", bound), result, between, bound == "-" ? "" : judge(ratio < bound))
}

function bytes(name, work, against, bound, a, b, count, mine) {
    count = load(name, "a", "bytes", a)
    if (!count || load(name, "b", "bytes", b) != count)
        return line(work, against, asked("bytes", bound), "failed", "", "")
    mine = median(a, count)
    line(work, against sprintf(" (%.0f)", median(b, count)), asked("bytes", bound), sprintf("%.0f", mine),
        sprintf("%.0f to %.0f", a[1], a[count]), judge(mine > bound))
}

function more_ms(name, work, against, bound, a, b, count, between, more) {
    count = load(name, "a", "ns", a)
    if (!count || load(name, "b", "ns", b) != count)
        return line(work, against, asked("more_ms", bound), "failed", "", "")
    between = spread(a, b, count, "more_ms")
    more = (median(a, count) - median(b, count)) / 1e6
    line(work, against, asked("more_ms", bound), show(more) " ms more", between, judge(more > bound))
}

function growth(name, work, against, bound, i, size, first, count, a, b, text, between, ratio) {
    first = sizes[name, 1]
    for (i = 2; (name, i) in sizes; i++) {
        size = sizes[name, i]
        if (size < 1000000 && (name, i + 1) in sizes)
            continue
        count = load(name, size, "ns", a)
        load(name, first, "ns", b)
        text = work
        sub(/ R /, " 10^" int(log(size) / log(10) + 0.5) " ", text)
        between = spread(b, a, count, "speed")
        ratio = median(a, count) / median(b, count)
        line(text, against, asked("growth", bound), show(ratio) " x", between, judge(ratio > bound))
    }
    if (i == 2)
        line(work, against, asked("growth", bound), "failed", "", "")
}

END {
    print "| work | against | at least | seen | in single rounds | |"
    print "|---|---|---|---|---|---|"
    for (i = 1; i <= rows; i++) {
        split(row[i], field, "|")
        if (field[1] in why)
            line(field[2], field[3], asked(field[5], field[4]), "not run: " why[field[1]], "", "")
        else if (field[5] == "speed")
            speed(field[1], field[2], field[3], field[4])
        else if (field[5] == "bytes")
            bytes(field[1], field[2], field[3], field[4])
        else if (field[5] == "more_ms")
            more_ms(field[1], field[2], field[3], field[4])
        else
            growth(field[1], field[2], field[3], field[4])
    }
    printf "\n%d of %d fall short.\n", shorts, judged
}
