#!/bin/sh
# SPDX-License-Identifier: MIT
# The release script, in a repository that is a copy of this tree: it finds a version that is wrong in one place,
# prepares the next version, makes the same tarball twice, and what is in it can be configured where no git is.
set -eu

root=$(cd -- "$(dirname -- "$0")/../.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
tree=$work/tree
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_CEILING_DIRECTORIES="$work"

fail() {
  echo "test_release: $1" >&2
  [ ! -f "$work/log" ] || tail -n 20 "$work/log" >&2
  exit 1
}

release() {
  sh "$tree/cmake/release.sh" "$@" >"$work/log" 2>&1
}

commit() {
  git -C "$tree" add -A
  git -C "$tree" -c user.name=test -c user.email=test@localhost commit -q -m "$1"
}

sh "$root/cmake/release.sh" check >"$work/log" 2>&1 || fail "this tree is not one version"
mkdir "$tree"
(cd -- "$root" && find . \( -name .git -o -path ./build -o -name .cache \) -prune -o ! -type d -print0 |
  tar -c --null -T -) | tar -x -C "$tree"
git -C "$tree" -c init.defaultBranch=main init -q
commit start

# wrong_in FILE SED-EXPRESSION: the check fails with this file changed.
wrong_in() {
  sed -i "$2" "$tree/$1"
  release check && fail "$1 can be about another version"
  git -C "$tree" checkout -q -- "$1"
}
wrong_in CHANGELOG.md 's/^## \[[0-9.]*\]/## [9.9.9]/'
wrong_in debian/changelog '1s/(.*)/(9.9.9)/'
wrong_in debian/control 's/^Package: libidem[0-9.]*$/Package: libidem9.9/'
wrong_in docs/man/idem.1 's/{"version":"[0-9.]*"}/{"version":"9.9.9"}/'
wrong_in include/idem/idem.h 's/^#define IDEM_VERSION_MINOR .*/#define IDEM_VERSION_MINOR 9/'
wrong_in abi/libidem.abi "s/soname='[^']*'/soname='libidem.so.9'/"

# A tarball, twice, and its checksum.
release tarball "$work/one" || fail "no tarball"
release tarball "$work/two" || fail "no second tarball"
cmp -s "$work"/one/*.gz "$work"/two/*.gz || fail "two tarballs of one commit differ"
(cd "$work/one" && sha256sum --quiet -c SHA256SUMS) || fail "the checksum is wrong"
echo change >>"$tree/README.md"
release tarball "$work/three" && fail "a tarball was made of what no commit has"
git -C "$tree" checkout -q -- README.md

# What `try` runs is replaced by a look around: the tree is there, and no git.
mkdir "$work/own"
tar -x -z -C "$work/own" -f "$work"/one/*.gz
name=$(ls "$work/own")
[ -f "$work/own/$name/debian/rules" ] && [ -x "$work/own/$name/debian/rules" ] || fail "debian/ is not in the tarball"
cmake -S "$work/own/$name" -B "$work/configured" -D IDEM_BUILD_TESTS=ON >"$work/log" 2>&1 ||
  fail "the tarball can't be configured"
# shellcheck disable=SC2016 # for the script
printf '#!/bin/sh\nif git -C "$(dirname -- "$0")" status >/dev/null 2>&1; then exit 9; fi\necho ran "$@"\n' \
  >"$work/own/$name/tests/run.sh"
tar -c -z -C "$work/own" -f "$work/own/$name.tar.gz" "$name"
(cd "$work/own" && sha256sum "$name.tar.gz" >SHA256SUMS)
release try "$work/own/$name.tar.gz" lint quickstart || fail "try does not run the stages without git"
grep -q '^ran lint quickstart$' "$work/log" || fail "try ran something else"
echo x >>"$work/own/$name.tar.gz"
release try "$work/own/$name.tar.gz" && fail "a damaged tarball was tried"

# The next minor version: another interface, so another package. abi.sh is replaced, since it builds the library.
# shellcheck disable=SC2016 # for the script
printf '#!/bin/sh\nsed -i "s/soname=.libidem[^ >]*/soname=\\x27libidem.so.0.77\\x27/" "$(dirname -- "$0")/../abi/libidem.abi"\n' \
  >"$tree/cmake/abi.sh"
release prepare 0.77.3 2030-01-02 || fail "prepare"
grep -q '^## \[0\.77\.3\] - 2030-01-02' "$tree/CHANGELOG.md" || fail "CHANGELOG.md has no date"
dpkg-parsechangelog -l "$tree/debian/changelog" -S Version 2>/dev/null | grep -qx 0.77.3 ||
  head -n 1 "$tree/debian/changelog" | grep -qF '(0.77.3)' || fail "debian/changelog has no entry"
grep -q '(symver)IDEM_0.77 0.77.3' "$tree/debian/libidem0.77.symbols" || fail "the symbols have another version"
release prepare 1.2 && fail "a version of two numbers was taken"
release nonsense && fail "a command that is not there was taken"
echo "the release script checks, prepares and packs"
