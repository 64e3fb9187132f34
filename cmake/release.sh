#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes a release. The version is written once, in include/idem/idem.h; what else names it is checked against that.
#
#   release.sh check                   what is wrong with this tree as a release; exit code 1 if something is
#   release.sh prepare VERSION [DATE]  writes version and date (YYYY-MM-DD, today) into header, CHANGELOG.md,
#                                      debian/changelog and man page, and abi/libidem.abi
#   release.sh tarball [FOLDER]        libidem-VERSION.tar.gz of HEAD and its SHA256SUMS, in build/release or FOLDER
#   release.sh try TARBALL [STAGE…]    unpacks it where no git is, and runs these stages of tests/run.sh (gcc)
#   release.sh all VERSION             check, tarball, try, the Debian packages; then says what to tag and publish
#
# Two tarballs of one commit are the same, byte for byte.
set -eu

root=$(cd -- "$(dirname -- "$0")/.." && pwd -P)
work=
cleanup() {
  [ -z "$work" ] || rm -rf -- "$work"
}
trap cleanup EXIT

usage() {
  sed -n '5,10s/^#   //p' "$0" >&2
  exit 64
}

fail() {
  echo "release.sh: $1" >&2
  exit 1
}

header_version() {
  sed -n 's/^#define IDEM_VERSION_\(MAJOR\|MINOR\|PATCH\) \([0-9]*\)$/\2/p' "$root/include/idem/idem.h" |
    paste -s -d . -
}

# The part of the version that a changed interface changes: it is in the soname and in the package's name.
interface_of() {
  case $1 in
  0.*) echo "${1%.*}" ;;
  *) echo "${1%%.*}" ;;
  esac
}

# ------------------------------------------------------------------------------------------------ check

found=0
wrong() {
  echo "release.sh: $1" >&2
  found=1
}

# has FILE PATTERN WHAT: the file has a line of that form (a basic regular expression).
has() {
  grep -q -e "$2" "$root/$1" || wrong "$1 $3"
}

check() {
  version=$(header_version)
  interface=$(interface_of "$version")
  plain=$(echo "$version" | sed 's/\./\\./g')
  echo "$version" | grep -Eq '^[0-9]+\.[0-9]+\.[0-9]+$' || wrong "include/idem/idem.h has no version of three numbers"
  has CHANGELOG.md "^## \[$plain\] - " "has no section for $version"
  has docs/man/idem.1 "{\"version\":\"$plain\"}" "shows another version than $version"
  has include/idem/idem.h "such as \"$plain\"" "shows another version than $version in a comment"
  [ "$(sed -n '1s/^libidem (\(.*\)) .*/\1/p' "$root/debian/changelog")" = "$version" ] ||
    wrong "debian/changelog is about another version than $version"
  has debian/control "^Package: libidem$interface\$" "has no package libidem$interface"
  has "debian/libidem$interface.symbols" "^libidem\.so\.$interface libidem$interface " \
    "is about another library than libidem.so.$interface"
  has "debian/libidem$interface.install" 'libidem\.so' "does not install the library"
  has debian/libidem-testkit.symbols "^libidem-testkit\.so\.$interface libidem-testkit " "is about another test kit"
  has abi/libidem.abi "soname='libidem\.so\.$interface'" "is of another interface; run: sh cmake/abi.sh --update"
  if grep -nE 'libidem[0-9]+(\.[0-9]+)?' "$root"/debian/control "$root"/debian/rules | grep -v "libidem$interface\b" >&2; then
    wrong "debian/ names a package of another interface than $interface"
  fi
  [ "$found" = 0 ] || exit 1
  echo "release.sh: $version is the same everywhere"
}

# ------------------------------------------------------------------------------------------------ prepare

# replace FILE SED-EXPRESSION…
replace() {
  file=$root/$1
  shift
  sed "$@" "$file" >"$work/replaced"
  cat -- "$work/replaced" >"$file"
}

prepare() {
  version=$1
  date=${2:-$(date -u +%Y-%m-%d)}
  echo "$version" | grep -Eq '^[0-9]+\.[0-9]+\.[0-9]+$' || fail "a version is three numbers, such as 0.3.0"
  stamp=$(date -u -R -d "$date") || fail "a date is YYYY-MM-DD"
  before=$(header_version)
  old=$(interface_of "$before")
  new=$(interface_of "$version")
  old_pattern=$(echo "$before" | sed 's/\./\\./g')
  patch=${version##*.}
  minor=${version#*.}
  minor=${minor%.*}
  major=${version%%.*}
  number=$((major * 10000 + minor * 100 + patch))
  replace include/idem/idem.h -e "s/^\(#define IDEM_VERSION_MAJOR\) .*/\1 $major/" \
    -e "s/^\(#define IDEM_VERSION_MINOR\) .*/\1 $minor/" -e "s/^\(#define IDEM_VERSION_PATCH\) .*/\1 $patch/" \
    -e "s/such as \"$old_pattern\"/such as \"$version\"/" -e "s/compared, $old_pattern is [0-9]*/compared, $version is $number/"
  replace docs/man/idem.1 -e "s/{\"version\":\"$old_pattern\"}/{\"version\":\"$version\"}/"
  replace CHANGELOG.md -e "s/^## \[Unreleased\].*/## [$version] - $date/" \
    -e "s/^## \[.*\] - unreleased/## [$version] - $date/" -e "s/^\[$old_pattern\]: /[$version]: /"
  if [ "$(sed -n '1s/^libidem (\(.*\)) .*/\1/p' "$root/debian/changelog")" = "$version" ]; then
    replace debian/changelog -e "1,/^ -- /s/^\( -- .*>\)  .*/\1  $stamp/"
  else
    {
      printf 'libidem (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n' "$version"
      sed -n '/^ -- /{s/^\( -- .*>\)  .*/\1  '"$stamp"'/p;q}' "$root/debian/changelog"
      echo
      cat -- "$root/debian/changelog"
    } >"$work/changelog"
    cat -- "$work/changelog" >"$root/debian/changelog"
  fi
  if [ "$old" != "$new" ]; then
    for ending in install symbols; do
      mv -- "$root/debian/libidem$old.$ending" "$root/debian/libidem$new.$ending"
    done
    replace debian/libidem-testkit.symbols -e "s/\(libidem-testkit\.so\.\|IDEM_TESTKIT_\)$old\b/\1$new/g" \
      -e "s/ $old_pattern\$/ $version/"
    replace "debian/libidem$new.symbols" -e "s/\(libidem\(\.so\.\)\{0,1\}\|IDEM_\)$old\b/\1$new/g" -e "s/ $old_pattern\$/ $version/"
    replace debian/control -e "s/libidem$old\b/libidem$new/g"
    replace debian/rules -e "s/libidem$old\b/libidem$new/g"
  fi
  sh "$root/cmake/abi.sh" --update
  check
}

# ------------------------------------------------------------------------------------------------ tarball

tarball() {
  version=$(header_version)
  folder=${1:-$root/build/release}
  [ -z "$(git -C "$root" status --porcelain --untracked-files=no)" ] || fail "there are changes that no commit has"
  mkdir -p -- "$folder"
  name=libidem-$version.tar.gz
  git -C "$root" archive --format=tar --prefix="libidem-$version/" HEAD | gzip -9 -n >"$folder/$name"
  (cd -- "$folder" && sha256sum "$name" >SHA256SUMS)
  echo "$folder/$name"
}

try_tarball() {
  file=$(cd -- "$(dirname -- "$1")" && pwd -P)/$(basename -- "$1")
  shift
  (cd -- "$(dirname -- "$file")" && sha256sum --quiet -c SHA256SUMS) || fail "$file is not what SHA256SUMS says"
  # git finds no repository above.
  export GIT_CEILING_DIRECTORIES="$work"
  tar -x -z -C "$work" -f "$file"
  tree=$work/$(basename -- "$file" .tar.gz)
  [ -f "$tree/tests/run.sh" ] || fail "$file has no tests in it"
  [ $# -gt 0 ] || set -- gcc
  IDEM_BUILD="$work/build" sh "$tree/tests/run.sh" "$@" || fail "the tests do not pass from the tarball"
}

all() {
  [ "$(header_version)" = "$1" ] || fail "this tree is $(header_version); run: release.sh prepare $1, and commit"
  check
  file=$(tarball)
  try_tarball "$file"
  sh "$root/tests/package/test_debian.sh" "$(dirname -- "$file")"
  echo "Tag this commit v$1, and publish what is in $(dirname -- "$file")."
}

command=${1:-}
[ $# -eq 0 ] || shift
work=$(mktemp -d)
case $command:$# in
check:0) check ;;
prepare:1 | prepare:2) prepare "$@" ;;
tarball:0 | tarball:1) tarball "$@" ;;
try:[1-9]) try_tarball "$@" ;;
all:1) all "$@" ;;
*) usage ;;
esac
