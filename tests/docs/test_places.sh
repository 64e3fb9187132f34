#!/bin/sh
# SPDX-License-Identifier: MIT
# The tables that say where a thing is, in docs/architecture.md and tests/README.md: every source file of the folder
# that a table is about is named in it once, and every name is a file. And documents and comments name no file of this
# repository that is not there.
#
# A table stands between <!-- files: FOLDER --> and <!-- files: end -->. In its first column a file's name is without
# its ending. With <!-- folders: FOLDER --> it is about folders.
set -eu

root=$(cd -- "$(dirname -- "$0")/../.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$root"
status=0

wrong() {
  echo "test_places: $1" >&2
  status=1
}

# Prints the names in the first column of a table: names_in DOCUMENT KIND FOLDER
names_in() {
  awk -v marker="<!-- $2: $3 -->" '
    $0 == marker { inside = 1; next }
    /^<!-- (files|folders): end -->$/ { inside = 0 }
    inside && /^\|/ {
      split($0, column, "|")
      text = column[2]
      while (match(text, /`[^`]*`/)) {
        print substr(text, RSTART + 1, RLENGTH - 2)
        text = substr(text, RSTART + RLENGTH)
      }
    }' "$1" | sort
}

# compare DOCUMENT KIND FOLDER: against the list in $work/there.
compare() {
  names_in "$1" "$2" "$3" >"$work/named"
  uniq -d "$work/named" | while read -r name; do echo "$1: $3/$name is named twice"; done >"$work/found"
  sort -u "$work/named" -o "$work/named"
  comm -13 "$work/named" "$work/there" | while read -r name; do echo "$1: no table names $3/$name"; done >>"$work/found"
  comm -23 "$work/named" "$work/there" | while read -r name; do echo "$1: there is no $3/$name"; done >>"$work/found"
  while read -r line; do wrong "$line"; done <"$work/found"
}

sources_of() {
  find "$1" -maxdepth 1 \( -name '*.[ch]' -o -name '*.hpp' \) -exec basename -- {} \; | sed 's/\.[a-z]*$//' | sort -u
}

count=0
for folder in core/* backends/* cli; do
  [ -d "$folder" ] || continue
  grep -qxF "<!-- files: $folder -->" docs/architecture.md || {
    wrong "docs/architecture.md has no table for $folder"
    continue
  }
  sources_of "$folder" >"$work/there"
  compare docs/architecture.md files "$folder"
  count=$((count + $(grep -c '' "$work/there")))
done

for folder in tests tests/proofs; do
  find "$folder" -mindepth 1 -maxdepth 1 -type d -exec basename -- {} \; | sort >"$work/there"
  compare tests/README.md folders "$folder"
  count=$((count + $(grep -c '' "$work/there")))
done

# The table of subjects: each file of core has a row, and what a row names is a test.
for folder in core/*; do
  [ -d "$folder" ] && sources_of "$folder" | sed "s|^|$folder/|"
done | sort >"$work/there"
sed -n '/^<!-- subjects -->$/,/^<!-- subjects: end -->$/p' tests/README.md >"$work/rows"
awk -F'|' '/^\| `core/ { print $2 }' "$work/rows" | grep -o '`[^`]*`' | tr -d '`' | sort >"$work/named"
comm -23 "$work/there" "$work/named" >"$work/found"
while read -r name; do wrong "tests/README.md does not say where the test of $name is"; done <"$work/found"
comm -13 "$work/there" "$work/named" >"$work/found"
while read -r name; do wrong "tests/README.md: there is no $name"; done <"$work/found"
awk -F'|' '/^\| `/ { print $3 }' "$work/rows" | grep -o '`[^`]*`' | tr -d '`' | sort -u >"$work/tests"
while read -r name; do
  [ -e "tests/$name" ] || wrong "tests/README.md: there is no tests/$name"
done <"$work/tests"

# Paths in documents and comments.
# shellcheck disable=SC2046 # names without blanks, split on purpose
grep -noE '\b(core|backends|cli|tests|cmake|include|examples|docs)/[A-Za-z0-9_./-]+\.(c|h|hpp|sh|md|txt|awk|pml|map|py|abi)\b' \
  README.md CONTRIBUTING.md SECURITY.md docs/*.md tests/*.md tests/proofs/*/*.md $(find core backends cli include examples tests \
    -name '*.[ch]' -o -name '*.sh' -o -name 'CMakeLists.txt') | sort -u -t: -k1,1 -k3,3 |
  while IFS=: read -r file line path; do
    case $path in
    *test_PART.c | *no-such-*) continue ;;
    esac
    [ -e "$path" ] || [ -e "$(dirname -- "$file")/$path" ] || echo "$file:$line: there is no $path"
  done >"$work/found"
# Unit tests by their names.
grep -noE '`unit_[a-z_]+`' README.md CONTRIBUTING.md docs/*.md | tr -d '`' | while IFS=: read -r file line name; do
  [ -e "tests/unit/test_${name#unit_}.c" ] || echo "$file:$line: there is no test $name"
done >>"$work/found"
while read -r line; do wrong "$line"; done <"$work/found"

[ "$status" = 0 ] || exit 1
echo "$count files and folders have a place in the tables"
