# SPDX-License-Identifier: MIT
# Makes what is to be drawn: charts.awk -v dir=DIR ROWS RAW
#
# Writes for each chart that the rows name a file DIR/CHART.data for plot.awk: the ratios of the medians, as in
# the table, with the least and the greatest of the single rounds. Rows that did not run are left out.
# Comes with measured.awk, which reads RAW.

function open_chart(chart) {
    if (chart in opened)
        return
    opened[chart] = 1
    file[chart] = dir "/" chart ".data"
    print "title " titles[chart] >file[chart]
    print "x " (chart == "records" ? "records in the store" : "callers at once") >file[chart]
    print "base " (chart == "records" ? 10 : 2) >file[chart]
}

function point(chart, series, x, a, b, count, i, value, least, most) {
    for (i = 1; i <= count; i++) {
        value = b[i] / a[i]
        if (i == 1 || value < least)
            least = value
        if (i == 1 || value > most)
            most = value
    }
    open_chart(chart)
    print "point", series, x, median(b, count) / median(a, count), least, most >file[chart]
}

BEGIN {
    titles["redis"] = "Redis: times as fast as a hiredis connection for each caller"
    titles["memory"] = "memory: times as fast as one mutex around uthash"
    titles["sqlite"] = "SQLite, full: times as fast as one caller"
    titles["records"] = "Cost of a call: times that with 1,000 records"
}
END {
    for (i = 1; i <= rows; i++) {
        split(row[i], field, "|")
        words = split(field[8], plot, " ")
        if (!words || field[1] in why)
            continue
        if (field[5] == "growth") {
            for (j = 1; (field[1], j) in sizes; j++) {
                count = load(field[1], sizes[field[1], j], "ns", b)
                load(field[1], sizes[field[1], 1], "ns", a)
                point(plot[1], plot[2], sizes[field[1], j], a, b, count)
            }
            continue
        }
        count = load(field[1], "a", "ns", a)
        if (count && load(field[1], "b", "ns", b) == count)
            point(plot[1], plot[2], plot[3], a, b, count)
    }
}
