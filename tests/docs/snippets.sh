#!/bin/sh
# SPDX-License-Identifier: MIT
# Compiles and runs what the documents show. What is done with a snippet depends on its language and
# on the comment in front of its fence:
#
#   c                                   compiled on its own, warnings are errors
#   c   <!-- fragment: body -->         compiled inside a function that has a store, a claim, an
#                                       outcome and an error (body_head below)
#   c   <!-- examples/FILE, … -->       the same as FILE from its first #include on
#   c   <!-- excerpt: FILE -->          a run of whole lines of FILE
#   sh                                  has to be well formed
#   sh  <!-- run -->                    run; what is shown below a line `$ COMMAND` has to be its
#                                       output, `…` stands for anything; without such lines the
#                                       snippet is a script that has to succeed
#
# All that is run of one document is run in one folder, one after the other, with `idem` in the PATH
# and a clone of this tree, built, in ./libidem.
#
#   snippets.sh BUILD CC [CFLAGS…] [-- FILE…]
#
# BUILD: where this tree was built. CFLAGS: with which cc makes programs that fit it. Without files
# it is about README.md, CONTRIBUTING.md and docs/*.md.
set -u
export LC_ALL=C
root=$(cd -- "$(dirname -- "$0")/../.." && pwd -P)
here=$root/tests/docs
build=$1
compiler=$2
shift 2
flags=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    flags="$flags $1"
    shift
done
[ "${1:-}" != -- ] || shift
[ $# -gt 0 ] || set -- "$root/README.md" "$root/CONTRIBUTING.md" "$root"/docs/*.md
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
status=0
count=0

wrong() {
    echo "$document:$line: $1"
    status=1
}

# --------------------------------------------------------------------------------------- C

body_head() {
    cat <<'END'
#include <idem/idem.h>
#include <idem/jansson.h>
#include <idem/sqlite.h>
#include <stdio.h>
#include <stdlib.h>
int body(idem_store *store, idem_claim *claim, idem_outcome *outcome, idem_error *error);
int body(idem_store *store, idem_claim *claim, idem_outcome *outcome, idem_error *error)
{
(void)store, (void)claim, (void)outcome, (void)error;
#line 1 "snippet"
END
}

compile() {
    "$compiler" -std=c11 -Wall -Wextra -Werror -fsyntax-only -D_POSIX_C_SOURCE=200809L \
        -I"$root/include" "$1" || wrong "the snippet does not compile"
}

check_c() {
    case $2 in
    examples/*)
        example=${2%%,*}
        sed -n '/^#include/,$p' "$root/$example" | cmp -s - "$1" ||
            wrong "this is not $example from its first #include on"
        ;;
    "excerpt: "*)
        # A run of whole lines: looked for as one string, between line ends.
        awk 'NR == FNR { want = want $0 "\n"; next }
             { text = text $0 "\n" }
             END { exit index("\n" text, "\n" want) == 0 }' "$1" "$root/${2#excerpt: }" ||
            wrong "these lines are not in ${2#excerpt: }"
        ;;
    "fragment: body")
        { body_head && cat "$1" && printf 'return 0;\n}\n'; } >"$dir/body.c"
        compile "$dir/body.c"
        ;;
    -) compile "$1" ;;
    *) wrong "there is no rule for C with the comment '$2'" ;;
    esac
}

# ----------------------------------------------------------------------------------- shell

# What a document finds in its folder. The compiler's flags are those of the build (a sanitizer's).
furnish() {
    rm -rf "$dir/place"
    mkdir -p "$dir/place/bin" "$dir/place/app/libidem/build"
    printf '#!/bin/sh\nexec %s%s "$@"\n' "$compiler" "$flags" >"$dir/place/bin/cc"
    chmod +x "$dir/place/bin/cc"
    ln -s "$build/cli/idem" "$dir/place/bin/idem"
    ln -s "$build" "$dir/place/app/libidem/build/dev"
    for part in include core backends cli examples tests docs; do
        ln -s "$root/$part" "$dir/place/app/libidem/$part"
    done
}

# in_place COMMAND…
in_place() {
    (
        cd "$dir/place/app" || exit 1
        unset IDEM_STORE XDG_STATE_HOME
        PATH=$dir/place/bin:$PATH HOME=$dir/place/app exec "$@" </dev/null
    )
}

# same_text FILE FILE: the second is like the first, whose `…` stand for anything within a line.
same_text() {
    sed -e 's/[][\.*^$/+?(){}|]/\\&/g' -e 's/…/.*/g' "$1" >"$dir/patterns"
    [ "$(grep -c '' "$1")" -eq "$(grep -c '' "$2")" ] || return 1
    exec 3<"$2"
    while IFS= read -r pattern && IFS= read -r got <&3; do
        printf '%s\n' "$got" | grep -qxE -e "$pattern" || return 1
    done <"$dir/patterns"
}

# One command with the output that is shown below it.
check_command() {
    in_place sh -c "$(cat "$dir/command")" >"$dir/got" 2>&1
    same_text "$dir/shown" "$dir/got" ||
        wrong "'$(cat "$dir/command")' gives something else than is shown:
$(cat "$dir/got")"
}

# The commands of a snippet, one after the other. A line that ends with \ goes on in the next.
check_session() {
    rm -f "$dir/command"
    more=no
    while IFS= read -r text; do
        if [ "$more" = yes ]; then
            printf '%s\n' "$text" >>"$dir/command"
        elif [ "${text#\$ }" != "$text" ]; then
            [ ! -f "$dir/command" ] || check_command
            printf '%s\n' "${text#\$ }" >"$dir/command"
            : >"$dir/shown"
        else
            printf '%s\n' "$text" >>"$dir/shown"
            continue
        fi
        case $text in *\\) more=yes ;; *) more=no ;; esac
    done <"$1"
    check_command
}

check_sh() {
    case $2 in
    run)
        if grep -q '^\$ ' "$1"; then
            check_session "$1"
        else
            in_place sh -eu "$1" >"$dir/got" 2>&1 || wrong "this fails:
$(cat "$dir/got")"
        fi
        ;;
    -) sed 's/^\$ //' "$1" | sh -n || wrong "this is no shell script" ;;
    *) wrong "there is no rule for sh with the comment '$2'" ;;
    esac
}

# ------------------------------------------------------------------------------- documents

for document in "$@"; do
    line=0
    rm -rf "$dir/snippets"
    mkdir "$dir/snippets"
    furnish
    awk -v dir="$dir/snippets" -f "$here/snippets.awk" "$document" >"$dir/list" ||
        wrong "it can't be read"
    while read -r number language line marker; do
        case $language in
        c) check_c "$dir/snippets/$number.c" "$marker" ;;
        sh) check_sh "$dir/snippets/$number.sh" "$marker" ;;
        *) continue ;;
        esac
        count=$((count + 1))
    done <"$dir/list"
done
echo "$count snippets looked at"
exit "$status"
