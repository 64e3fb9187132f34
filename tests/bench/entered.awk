# SPDX-License-Identifier: MIT
# The functions of this project in a profile of callgrind, each with its file: `file function`, a line each.
# A file is told by the folder below the project's root that it is in. Names are written once and referred to
# by a number from then on; a line that begins with a position is a cost, so the function was entered.

# name(LINE, TABLE): the name that a line gives or refers to.
function name(line, table,    id, text) {
  sub(/^[a-z]*=/, "", line)
  id = line
  sub(/ .*/, "", id)
  if (line ~ / /) {
    text = line
    sub(/^[^ ]* /, "", text)
    table[id] = text
  }
  return table[id]
}

/^fl=/ { file = name($0, files); next }
/^(fi|fe|cfi|cfl)=/ { name($0, files); next }
/^fn=/ { current = name($0, functions); next }
/^cfn=/ { name($0, functions); next }
/^calls=/ { next }
/^[-+*0-9]/ {
  path = file
  if (sub(/^.*\/core\//, "core/", path) || sub(/^.*\/backends\//, "backends/", path) ||
      sub(/^.*\/include\/idem/, "include/idem", path))
    seen[path " " current] = 1
}
END {
  for (entry in seen)
    print entry
}
