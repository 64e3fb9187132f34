#!/bin/sh
# SPDX-License-Identifier: MIT
# Compares the tables in the documents with what the code says. A table stands between
#     <!-- parameters: SCHEME -->  (or <!-- parameters: every store -->, <!-- backends -->, <!-- errors -->, <!-- metrics -->)
# and <!-- end -->. $1: the built program tables.
#
#   tables.sh TABLES [FILE…]            says what differs, and fails if something does
#   tables.sh --update TABLES [FILE…]   puts it right
#
# Without files it is about README.md and docs/*.md.
set -u
export LC_ALL=C
root=$(cd -- "$(dirname -- "$0")/../.." && pwd -P)
update=no
if [ "${1:-}" = --update ]; then
    update=yes
    shift
fi
tables=$1
shift
[ $# -gt 0 ] || set -- "$root/README.md" "$root"/docs/*.md
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
left_out=3
status=0
count=0

# Prints a document with the table of that name replaced by the one in $dir/table.
with_table() {
    awk -v name="$1" -v table="$dir/table" '
        !inside { print }
        $0 == "<!-- " name " -->" {
            inside = 1
            while ((getline line < table) > 0)
                print line
            close(table)
        }
        inside && $0 == "<!-- end -->" { inside = 0; print }' "$2"
}

# check_table FILE NAME
check_table() {
    code=0
    "$tables" "$2" >"$dir/table" 2>"$dir/errors" || code=$?
    if [ "$code" -eq "$left_out" ]; then
        echo "$1: table '$2' is not looked at: this build has left out what it is about"
        return
    elif [ "$code" -ne 0 ]; then
        cat "$dir/errors"
        status=1
        return
    fi
    count=$((count + 1))
    with_table "$2" "$1" >"$dir/new"
    if cmp -s "$dir/new" "$1"; then
        return
    elif [ "$update" = yes ]; then
        cat "$dir/new" >"$1"
        echo "$1: table '$2' was put right"
    else
        echo "$1: table '$2' is not what the code says; run: sh tests/docs/tables.sh --update $tables"
        diff "$1" "$dir/new"
        status=1
    fi
}

for file in "$@"; do
    sed -nE 's/^<!-- (parameters: .*|backends|errors|metrics) -->$/\1/p' "$file" >"$dir/names"
    if [ "$(grep -c '' "$dir/names")" -ne "$(grep -cx '<!-- end -->' "$file")" ]; then
        echo "$file: each table's marker needs an <!-- end -->, and the other way round"
        status=1
        continue
    fi
    while read -r name; do
        check_table "$file" "$name"
    done <"$dir/names"
done
echo "$count tables looked at"
exit "$status"
