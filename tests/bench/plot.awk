# SPDX-License-Identifier: MIT
# Draws a chart as SVG: plot.awk DATA
#
# Lines of DATA: `title TEXT`, `x TEXT` (what is on the x axis), `base 2|10` (of its logarithmic scale), and
# `point SERIES X Y LEAST MOST`; a `_` in SERIES is a blank. Colours are legible on light and dark grounds, and each
# series has a mark of its own.

function escape(text) {
    gsub(/&/, "\\&amp;", text)
    gsub(/</, "\\&lt;", text)
    gsub(/_/, " ", text)
    return text
}

function at_x(x) {
    if (xs[1] == xs[x_count])
        return (left + right) / 2
    return left + 24 + (log(x) - log(xs[1])) / (log(xs[x_count]) - log(xs[1])) * (right - left - 48)
}

function at_y(y) {
    return bottom - y / top_value * (bottom - top)
}

# The least of 1, 2, 5, 10, … that cuts the axis into six parts at most.
function tick_step(most, step) {
    for (step = 0.1; most / step > 6; step *= 10) {
        if (most / (2 * step) <= 6)
            return 2 * step
        if (most / (5 * step) <= 6)
            return 5 * step
    }
    return step
}

function label_x(x, digits) {
    if (base != 10)
        return x
    digits = int(log(x) / log(10) + 0.5)
    return "10<tspan dy=\"-6\" font-size=\"10\">" digits "</tspan>"
}

function text(x, y, anchor, class, words) {
    printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">%s</text>\n", x, y, anchor, class, words
}

function mark(number, x, y) {
    if (number % 3 == 1)
        printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>\n", x, y
    else if (number % 3 == 2)
        printf "<rect x=\"%.1f\" y=\"%.1f\" width=\"8\" height=\"8\"/>\n", x - 4, y - 4
    else
        printf "<path d=\"M%.1f %.1fl5 9h-10z\"/>\n", x, y - 6
}

function draw_axes(step, y, i) {
    for (y = 0; y <= top_value + step / 1000; y += step) {
        printf "<path class=\"grid\" d=\"M%d %.1fH%d\"/>\n", left, at_y(y), right
        text(left - 8, at_y(y) + 4, "end", "small", y)
    }
    printf "<path class=\"one\" d=\"M%d %.1fH%d\"/>\n", left, at_y(1), right
    for (i = 1; i <= x_count; i++)
        text(at_x(xs[i]), bottom + 20, "middle", "small", label_x(xs[i]))
    text((left + right) / 2, bottom + 44, "middle", "", escape(x_title))
}

function draw_series(number, name, i, path, x, y) {
    printf "<g fill=\"%s\" stroke=\"%s\">\n", colours[(number - 1) % 6 + 1], colours[(number - 1) % 6 + 1]
    for (i = 1; i <= points; i++) {
        if (series[i] != name)
            continue
        x = at_x(px[i])
        y = at_y(py[i])
        path = path sprintf("%s%.1f %.1f", path == "" ? "M" : "L", x, y)
        printf "<path class=\"spread\" d=\"M%.1f %.1fV%.1f\"/>\n", x, at_y(least[i]), at_y(most[i])
        mark(number, x, y)
    }
    printf "<path class=\"line\" d=\"%s\"/>\n", path
    mark(number, right + 24, top + 22 * number)
    print "</g>"
    text(right + 36, top + 22 * number + 4, "start", "", escape(name))
}

BEGIN {
    split("#0a84d0 #d9730d #15997a #c061a0 #8a7f00 #7a6ff0", colours, " ")
    left = 56; right = 560; top = 52; bottom = 336; width = 720; height = 400
}
$1 == "title" || $1 == "x" {
    words = $0
    sub(/^[a-z]+ /, "", words)
    if ($1 == "x")
        x_title = words
    else
        title = words
}
$1 == "base" { base = $2 }
$1 == "point" {
    points++
    series[points] = $2; px[points] = $3; py[points] = $4; least[points] = $5; most[points] = $6
    if (!($2 in number_of)) {
        number_of[$2] = ++series_count
        names[series_count] = $2
    }
    if (!($3 in known_x)) {
        known_x[$3] = 1
        xs[++x_count] = $3
    }
    if ($6 > highest)
        highest = $6
}
END {
    for (i = 2; i <= x_count; i++) {
        for (j = i; j > 1 && xs[j - 1] > xs[j]; j--) {
            kept = xs[j]; xs[j] = xs[j - 1]; xs[j - 1] = kept
        }
    }
    if (highest < 1)
        highest = 1
    step = tick_step(highest)
    for (top_value = step; top_value < highest; top_value += step)
        ;
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\">\n", width, height
    printf "<title>%s</title>\n", escape(title)
    print "<style>text{font:14px sans-serif;fill:#333}.small{font-size:12px}.head{font-weight:bold}"
    print ".grid{stroke:#8886}.one{stroke:#888;stroke-dasharray:5 4}.line{fill:none;stroke-width:2}.spread{stroke-width:1.5}"
    print "@media(prefers-color-scheme:dark){text{fill:#ddd}}</style>"
    text(left, 24, "start", "head", escape(title))
    draw_axes(step)
    for (i = 1; i <= series_count; i++)
        draw_series(i, names[i])
    print "</svg>"
}
