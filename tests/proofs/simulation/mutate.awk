# SPDX-License-Identifier: MIT
# Makes one file out of a source and a table of mutants: each mutant's lines stand in it beside the
# original ones, and its macro chooses them.
#
#   awk -f mutate.awk -v out=FILE mutants.txt protocol.c
#
# Fails if the old lines of a mutant are not in the source exactly once, so that no mutant can stop
# being one in silence. Mutants may touch the same lines: those share one group of alternatives.

function fail(message)
{
  print "mutate: " message > "/dev/stderr"
  failed = 1
  exit 1
}

FNR == 1 { file++ }

file == 1 && /^mutant / {
  names[++count] = $2
  if ($2 in known)
    fail($2 " is there twice")
  known[$2] = 1
  part = ""
}
file == 1 && /^(old|new)$/ { part = $1 }
file == 1 && /^\|/ {
  if (part == "")
    fail("line " FNR " of the table is in no part")
  text[count, part] = text[count, part] substr($0, 2) "\n"
  size[count, part]++
}
file == 2 {
  lines[++lines_count] = $0
  source = source $0 "\n"
}

# Finds the lines that a mutant replaces.
function find(m,    whole, old, at, before)
{
  whole = "\n" source
  old = "\n" text[m, "old"]
  at = text[m, "old"] == "" ? 0 : index(whole, old)
  if (at == 0)
    fail(names[m] ": its old lines are not in the source")
  if (index(substr(whole, at + 1), old) > 0)
    fail(names[m] ": its old lines are in the source more than once")
  if (text[m, "old"] == text[m, "new"])
    fail(names[m] ": its new lines are the old ones")
  before = substr(whole, 1, at)
  from[m] = gsub(/\n/, "\n", before)
  to[m] = from[m] + size[m, "old"] - 1
  low[m] = from[m]
  high[m] = to[m]
}

# Gives mutants whose lines overlap one range in common.
function join(    again, a, b)
{
  do {
    again = 0
    for (a = 1; a <= count; a++)
      for (b = 1; b <= count; b++)
        if (low[a] <= high[b] && low[b] <= high[a] && (low[a] != low[b] || high[a] != high[b])) {
          if (low[b] < low[a]) low[a] = low[b]
          if (high[b] > high[a]) high[a] = high[b]
          low[b] = low[a]
          high[b] = high[a]
          again = 1
        }
  } while (again)
}

function put(first, last,    i)
{
  for (i = first; i <= last; i++)
    print lines[i] > out
}

# Writes the alternatives that begin at a line. Returns their last line, or 0 if there are none.
function alternatives(first,    m, last)
{
  last = 0
  for (m = 1; m <= count; m++) {
    if (low[m] != first)
      continue
    print (last ? "#elif" : "#if") " defined(MUTANT_" toupper(names[m]) ")" > out
    put(low[m], from[m] - 1)
    printf "%s", text[m, "new"] > out
    put(to[m] + 1, high[m])
    last = high[m]
  }
  if (last) {
    print "#else" > out
    put(first, last)
    print "#endif" > out
  }
  return last
}

END {
  if (failed)
    exit 1
  for (m = 1; m <= count; m++)
    find(m)
  join()
  for (i = 1; i <= lines_count; i++) {
    last = alternatives(i)
    if (last)
      i = last
    else
      print lines[i] > out
  }
}
