#!/bin/sh
# SPDX-License-Identifier: MIT
# The files for other people's machines (hosted CI, code owners, OSS-Fuzz, the container, the hook) name what is there:
# scripts, stages, folders, packages. And the hook refuses what the linters refuse.
set -eu

root=$(cd -- "$(dirname -- "$0")/../.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$root"

fail() {
  echo "test_hosting: $1" >&2
  exit 1
}

# Scripts that are named anywhere exist.
grep -ohE '\bsh [a-z][a-z/_-]*\.sh' .github/workflows/*.yml .github/*.md Containerfile .githooks/pre-commit |
  sort -u | while read -r _ script; do
  [ -f "$script" ] || fail "$script is named, and is not there"
done

# The stages of the workflow are those of run.sh; the quickstart is a job of its own.
sed -n 's/^ *stages: \[\(.*\)\]$/\1/p' .github/workflows/ci.yml | tr -d '",' | tr ' ' '\n' | sort -u >"$work/hosted"
sed -n 's/^all_stages="\(.*\)"$/\1/p' tests/run.sh | tr ' ' '\n' | grep -vx quickstart | sort -u >"$work/stages"
cmp -s "$work/hosted" "$work/stages" || fail "stages differ: $(diff "$work/hosted" "$work/stages" | grep '^[<>]')"

# Code owners: every folder and file is there.
grep -v '^#' .github/CODEOWNERS | while read -r path _; do
  [ "$path" = '*' ] || [ -e ".$path" ] || fail "CODEOWNERS names $path"
done

# The container builds with the packages that install-packages.sh lists, but for the compiler's own.
sed -n '/^cat <<\|packages() {/,/^END/p' cmake/install-packages.sh | awk '$1 == "build" { print $2 }' | sort >"$work/listed"
sed -n '/^FROM .* AS build/,/^COPY/p' Containerfile | tr ' ' '\n' | grep -xE 'gcc|cmake|[a-z0-9-]*-dev|ninja-build' |
  sort >"$work/container"
cmp -s "$work/listed" "$work/container" || fail "packages differ: $(diff "$work/listed" "$work/container" | grep '^[<>]')"
grep -oE '\-D IDEM_[A-Z_]+' Containerfile oss-fuzz/build.sh | sed 's/.*-D //' | sort -u | while read -r option; do
  grep -rqE "(option|set|idem_decide|cmake_dependent_option)\(.*\b$option\b" CMakeLists.txt cmake cli tests/fuzz ||
    fail "there is no option $option"
done

# OSS-Fuzz: each target has a corpus by its name, which is how build.sh finds them.
for target in tests/fuzz/fuzz_*.c; do
  name=$(basename -- "$target" .c)
  [ -d "tests/fuzz/corpus/${name#fuzz_}" ] || fail "$name has no corpus"
done

# The hook, in a repository of its own.
if command -v git >/dev/null 2>&1; then
  export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_CEILING_DIRECTORIES="$work"
  repository=$work/repository
  mkdir -p "$repository/tests"
  cp -R tests/lint "$repository/tests/"
  cp -R .githooks .clang-format "$repository/"
  git -C "$repository" -c init.defaultBranch=main init -q
  git -C "$repository" config core.hooksPath .githooks
  # commit_file NAME TEXT
  commit_file() {
    printf '%s\n' "$2" >"$repository/$1"
    git -C "$repository" add -- "$1"
    git -C "$repository" -c user.name=test -c user.email=test@localhost commit -q -m test >"$work/log" 2>&1
  }
  commit_file good.c '/* It waits. */' || fail "the hook refuses a good file: $(cat "$work/log")"
  commit_file words.c '/* He waits. */' && fail "the hook takes a comment with \"he\""
  git -C "$repository" reset -q
  if command -v clang-format-14 >/dev/null 2>&1; then
    commit_file format.c 'int   one ;' && fail "the hook takes a file that is not formatted"
    git -C "$repository" reset -q
  fi
fi
echo "the files for hosts, containers and hooks name what is there"
