#!/bin/sh
# SPDX-License-Identifier: MIT
# docs/decisions.md: every decision stands under a subject, begins with a status, and is in the table of
# contents. What stands behind the last subject (Dependencies) was appended, and waits to be sorted.
#
#   test_decisions.sh            says what is wrong, and fails if something is
#   test_decisions.sh --update   writes the table of contents
set -eu
export LC_ALL=C.UTF-8
file=$(cd -- "$(dirname -- "$0")/../.." && pwd -P)/docs/decisions.md
dir=$(mktemp -d)
trap 'rm -rf -- "$dir"' EXIT

# Prints the contents. An anchor is the title in small letters, without punctuation, blanks as dashes.
contents() {
  awk '
    function anchor(title) {
      title = tolower(title)
      gsub(/[^[:alnum:] _-]/, "", title)
      gsub(/ /, "-", title)
      return title
    }
    function entry(indent, title) { printf "%s- [%s](#%s)", indent, title, anchor(title) }
    function finish() {
      if (pending != "")
        print pending
      pending = ""
    }
    $0 == "```" || /^```[a-z]/ { code = !code }
    code || last { next }
    /^## / { finish(); entry("", substr($0, 4)); print ""; last = $0 == "## Dependencies" }
    /^### / {
      finish()
      title = substr($0, 5)
      pending = sprintf("  - [%s](#%s)", title, anchor(title))
      next
    }
    pending != "" && NF {
      if ($0 !~ /^\*(In force|Superseded by [^*]*|Open)\.\*/)
        print "no status: " title >"/dev/stderr"
      else if ($0 !~ /^\*In force/) {
        sub(/\*[^*]*$/, "")
        pending = pending " (" substr($0, 2, length($0) - 2) ")"
      }
      finish()
    }
    END { finish() }' "$file"
}

# Prints the file with these contents in the place of its own.
with_contents() {
  awk -v contents="$dir/contents" '
    $0 == "<!-- contents: end -->" { inside = 0 }
    !inside { print }
    $0 == "<!-- contents -->" {
      inside = 1
      while ((getline line < contents) > 0)
        print line
    }' "$file"
}

contents >"$dir/contents" 2>"$dir/wrong"
with_contents >"$dir/new"
if [ -s "$dir/wrong" ]; then
  cat "$dir/wrong" >&2
  echo "docs/decisions.md: a decision begins with *In force.*, *Superseded by ….* or *Open.*" >&2
  exit 1
fi
if [ "$(sort <"$dir/contents" | uniq -d | wc -l)" != 0 ]; then
  echo "docs/decisions.md: two decisions have one title" >&2
  exit 1
fi
if [ "${1:-}" = --update ]; then
  cat -- "$dir/new" >"$file"
elif ! cmp -s -- "$dir/new" "$file"; then
  diff -- "$file" "$dir/new" || true
  echo "docs/decisions.md: run: sh tests/docs/test_decisions.sh --update" >&2
  exit 1
fi
echo "$(grep -c '^  - ' "$dir/contents") decisions under $(grep -c '^- ' "$dir/contents") subjects"
