# SPDX-License-Identifier: MIT
# Makes the table of what was seen: table.awk ROWS RAW, with measured.awk, which reads them.
#
# What counts is the ratio of the two sides' medians; the spread is that of the single rounds' ratios. What falls
# short of its bound is marked.

function show(number) {
    return sprintf(number < 10 ? "%.2f" : number < 100 ? "%.1f" : "%.0f", number)
}

# A bound as the table says it.
function asked(kind, bound, part) {
    if (bound == "-")
        return ""
    split(bound, part, "/")
    if (kind == "speed")
        return part[1] " x" (part[2] ? ", p99 at most " part[2] " x" : "")
    if (kind == "latency")
        return "p50 at most " part[1] " x, p99 at most " part[2] " x"
    if (kind == "worst")
        return "at most " part[1] " x, slowest " part[2] " ms"
    if (kind == "percent")
        return "at most " bound " %"
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

# How many times as long as the other a side takes, by the medians of the rounds.
function times(name, field, count, a, b) {
    count = load(name, "a", field, a)
    if (!count || load(name, "b", field, b) != count)
        return 0
    return median(a, count) / median(b, count)
}

function milliseconds(name, side, field, count, values) {
    count = load(name, side, field, values)
    return median(values, count) / 1e3
}

function speed(name, work, against, bound, a, b, count, between, ratio, result, p, part, tail) {
    count = load(name, "a", "ns", a)
    if (!count || load(name, "b", "ns", b) != count)
        return line(work, against, asked("speed", bound), "failed", "", "")
    between = spread(a, b, count, "speed")
    ratio = median(b, count) / median(a, count)
    result = show(ratio) " x"
    split(bound, part, "/")
    tail = part[2] ? times(name, "p99_us") : 0
    if (part[2])
        result = result sprintf("; p99 %s x", show(tail))
    else if (load(name, "a", "p999_us", p))
        result = result sprintf("; p99.9 %.0f ms, slowest %.0f ms", milliseconds(name, "a", "p999_us"),
            milliseconds(name, "a", "max_us"))
    line(work, against, asked("speed", bound), result, between,
        bound == "-" ? "" : judge(ratio < part[1] + 0 || tail > part[2] + 0))
}

# The times of single calls, at the middle and at the end.
function latency(name, work, against, bound, middle, tail, part) {
    middle = times(name, "p50_us")
    tail = times(name, "p99_us")
    if (!middle || !tail)
        return line(work, against, asked("latency", bound), "failed", "", "")
    split(bound, part, "/")
    line(work, against, asked("latency", bound), sprintf("p50 %s x, p99 %s x", show(middle), show(tail)),
        sprintf("p50 %.2f ms to %.2f, p99 %.2f ms to %.2f", milliseconds(name, "b", "p50_us"),
            milliseconds(name, "a", "p50_us"), milliseconds(name, "b", "p99_us"),
            milliseconds(name, "a", "p99_us")),
        judge(middle > part[1] + 0 || tail > part[2] + 0))
}

# The slowest of all rounds is what counts beside the medians.
function worst(name, work, against, bound, ratio, slowest, part, count, a, i) {
    ratio = times(name, "p50_us")
    count = load(name, "a", "max_us", a)
    if (!ratio || !count)
        return line(work, against, asked("worst", bound), "failed", "", "")
    for (i = 1; i <= count; i++)
        slowest = a[i] / 1e3 > slowest ? a[i] / 1e3 : slowest
    split(bound, part, "/")
    line(work, against, asked("worst", bound), sprintf("%s x, slowest %s ms", show(ratio), show(slowest)),
        sprintf("%.3f ms to %.3f", milliseconds(name, "b", "p50_us"), milliseconds(name, "a", "p50_us")),
        judge(ratio > part[1] + 0 || slowest > part[2] + 0))
}

function percent(name, work, against, bound, a, count, share) {
    count = load(name, "a", "percent", a)
    if (!count)
        return line(work, against, asked("percent", bound), "failed", "", "")
    share = median(a, count)
    line(work, against, asked("percent", bound), show(share) " %", show(a[1]) " to " show(a[count]),
        judge(share > bound))
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
        else if (field[5] == "latency")
            latency(field[1], field[2], field[3], field[4])
        else if (field[5] == "worst")
            worst(field[1], field[2], field[3], field[4])
        else if (field[5] == "percent")
            percent(field[1], field[2], field[3], field[4])
        else
            growth(field[1], field[2], field[3], field[4])
    }
    printf "\n%d of %d fall short.\n", shorts, judged
}
