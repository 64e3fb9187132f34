# SPDX-License-Identifier: MIT
# The rules of OpenMetrics 1.0 that concern a text without timestamps and exemplars. Ends with 1 after
# naming the first line that breaks one.

function bad(why) {
  print "line " NR ": " why ": " $0
  failed = 1
  exit 1
}

# The family that a sample's name belongs to, by the suffixes that its type has.
function belongs(sample) {
  if (type == "counter")
    return sample == family "_total"
  if (type == "info")
    return sample == family "_info"
  if (type == "histogram")
    return sample == family "_bucket" || sample == family "_count" || sample == family "_sum"
  return sample == family
}

# A bucket: counts grow with the bounds, and the last bound is +Inf, which is the count.
function check_bucket(labels, value, bound, set) {
  if (!match(labels, /,?le="[^"]*"/))
    bad("a bucket without le")
  bound = substr(labels, RSTART, RLENGTH)
  set = substr(labels, 1, RSTART - 1) substr(labels, RSTART + RLENGTH)
  gsub(/,?le="|"/, "", bound)
  if (set == last_set && last_bound == "+Inf")
    bad("a bucket behind +Inf")
  if (set == last_set && bound != "+Inf" && bound + 0 <= last_bound + 0)
    bad("bounds that do not grow")
  if (set == last_set && value + 0 < last_value + 0)
    bad("buckets that do not grow")
  if (set != last_set && last_set != "" && last_bound != "+Inf")
    bad("the histogram before has no +Inf")
  last_set = set
  last_bound = bound
  last_value = value
  infinite[set] = value
}

at_end { bad("something stands behind # EOF") }
/^# EOF$/ { at_end = 1; next }
/^# TYPE / {
  if (NF != 4 || $3 in families)
    bad("a TYPE that is malformed, or comes twice")
  if ($4 !~ /^(counter|gauge|histogram|info)$/)
    bad("an unknown type")
  if ($4 == "counter" && $3 ~ /_total$/)
    bad("a counter family named after its sample")
  if (family && !sampled[family] && type != "histogram" && type != "counter")
    bad("the family before has no sample")
  family = $3
  type = $4
  families[family] = 1
  last_set = ""
  next
}
/^# UNIT / {
  if ($3 != family || NF != 4 || family !~ ("_" $4 "$") || sampled[family])
    bad("a unit that is no suffix of its family's name")
  next
}
/^# HELP / {
  if ($3 != family || helped[family]++ || sampled[family])
    bad("a HELP that is not its family's, or comes too late")
  next
}
/^#/ || /^$/ { bad("neither a sample nor metadata") }
{
  if (!match($0, /^[a-zA-Z_:][a-zA-Z0-9_:]*/))
    bad("no name")
  name = substr($0, 1, RLENGTH)
  rest = substr($0, RLENGTH + 1)
  labels = ""
  if (rest ~ /^\{/) {
    if (!match(rest, /^\{[a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\["\\n])*"(,[a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\["\\n])*")*\}/))
      bad("malformed labels")
    labels = substr(rest, 2, RLENGTH - 2)
    rest = substr(rest, RLENGTH + 1)
  }
  if (rest !~ /^ [0-9]+(\.[0-9]+)?$/)
    bad("no number behind one blank")
  if (!belongs(name))
    bad("a sample that is not of the family " family)
  if (!helped[family])
    bad("a family without HELP")
  if (seen[name, labels]++)
    bad("a sample that comes twice")
  sampled[family] = 1
  value = substr(rest, 2)
  if (name ~ /_bucket$/)
    check_bucket(labels, value)
  if (type == "histogram" && name ~ /_count$/ && infinite[labels] != value)
    bad("a count that is not the bucket +Inf")
}
END {
  if (!failed && !at_end) {
    print "no # EOF at the end"
    exit 1
  }
}
