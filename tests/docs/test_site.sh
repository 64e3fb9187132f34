#!/bin/sh
# SPDX-License-Identifier: MIT
# The site: it is made of every document, each link in it leads somewhere, and one that does not is found.
set -eu

root=$(cd -- "$(dirname -- "$0")/../.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

fail() {
  echo "test_site: $1" >&2
  exit 1
}

sh "$root/docs/site.sh" --check "$work/site" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
for document in "$root"/docs/*.md; do
  page=$work/site/docs/$(basename -- "$document" .md).html
  [ -s "$page" ] || fail "there is no page of $document"
done
grep -q 'idem_begin' "$work/site/include/idem/idem.h.html" || fail "the header is not there"
grep -q '<table>' "$work/site/docs/errors.html" || fail "tables are not made"
if command -v mandoc >/dev/null 2>&1; then
  grep -q 'class="Nm"' "$work/site/docs/man/idem.1.html" || fail "the man page is text"
fi
sh "$root/docs/site.sh" "$work/site" >/dev/null || fail "the site is not made anew"

# In a copy: a file, a heading, and a folder of somebody's that must not be removed.
mkdir "$work/copy"
(cd -- "$root" && tar -c --exclude=./build --exclude=./.git .) | tar -x -C "$work/copy"
echo '[lost](docs/no-such-page.md)' >>"$work/copy/README.md"
sh "$work/copy/docs/site.sh" "$work/two" >/dev/null 2>&1 && fail "a link to no file passes"
sed '$d' "$root/README.md" >"$work/copy/README.md"
echo '[lost](docs/errors.md#no-such-heading)' >>"$work/copy/README.md"
sh "$work/copy/docs/site.sh" --check "$work/three" >"$work/log" 2>&1 && fail "a link to no heading passes"
grep -q 'no-such-heading leads to no place' "$work/log" || fail "it does not say which link: $(cat "$work/log")"
mkdir "$work/own"
echo mine >"$work/own/file"
sh "$root/docs/site.sh" "$work/own" >/dev/null 2>&1 && fail "a folder with other files was taken"
[ -f "$work/own/file" ] || fail "somebody's file is gone"
echo "$(find "$work/site" -name '*.html' | wc -l) pages, each link leads somewhere"
