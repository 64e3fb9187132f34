#!/bin/sh
# SPDX-License-Identifier: MIT
# The Debian packages: built from a copy of the tree, judged by lintian, and used in a root that has nothing but these
# packages and the shared libraries that they depend on.
#
#   test_debian.sh [FOLDER]    FOLDER gets the packages
#
# IDEM_CHROOT names a root made by debootstrap: there they are installed by apt-get instead, and debian/tests runs.
set -eu

root=$(cd -- "$(dirname -- "$0")/../.." && pwd -P)
keep=${1:-}
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

fail() {
  echo "test_debian: $1" >&2
  exit 1
}

for tool in dpkg-buildpackage dh lintian; do
  command -v "$tool" >/dev/null 2>&1 || fail "$tool is missing; run: sh cmake/install-packages.sh test"
done
version=$(sed -n '1s/^libidem (\(.*\)) .*/\1/p' "$root/debian/changelog")
interface=$(sed -n 's/^Package: libidem\([0-9.]*\)$/\1/p' "$root/debian/control")

copy_tree() {
  mkdir "$work/libidem-$version"
  (cd -- "$root" && find . \( -name .git -o -path ./build -o -name .cache \) -prune -o ! -type d -print0 |
    tar -c --null -T -) | tar -x -C "$work/libidem-$version"
}

build_packages() {
  (cd -- "$work/libidem-$version" && DEB_BUILD_OPTIONS=parallel=$(getconf _NPROCESSORS_ONLN) \
    dpkg-buildpackage -us -uc) >"$work/build.log" 2>&1 || {
    tail -n 40 "$work/build.log" >&2
    fail "dpkg-buildpackage"
  }
  set -- "$work"/*.deb
  echo "built: $(cd -- "$work" && echo *.deb)"
}

judge_packages() {
  lintian --allow-root --no-cfg -I --fail-on error,warning,info "$work"/libidem_*.changes >"$work/lintian.log" 2>&1 || {
    cat -- "$work/lintian.log" >&2
    fail "lintian"
  }
}

# What runs in the root: the command and a program that was built against libidem-dev.
cat >"$work/use.sh" <<'END_OF_USE'
set -eu
cd /tmp
[ "$(idem version)" = "{\"version\":\"$1\"}" ]
[ "$(idem --store sqlite:run.db run key -- sh -c 'echo once; echo x >>ran')" = once ]
[ "$(idem --store sqlite:run.db run key -- no-such-command)" = once ]
[ "$(idem --store sqlite:run.db run other -- sh -c 'exit 3' || echo $?)" = 3 ]
[ "$(./first sqlite:first.db)" = charged ]
[ "$(./first sqlite:first.db)" = 'replayed {"charged":true}' ]
while read -r line; do
  [ "$line" = x ] && echo "the command and a program work"
done <ran
END_OF_USE

# Where is the first argument found by the dynamic linker, and all that it needs.
libraries_of() {
  LD_LIBRARY_PATH=$(dirname -- "$bare"/usr/lib/*/libidem.so."$interface") ldd "$@" |
    sed -n 's/.*=> \(\/[^ ]*\) (.*/\1/p; s/^[[:space:]]*\(\/[^ ]*ld-[^ ]*\) (.*/\1/p' | grep -v "^$work" | sort -u
}

bare_root() {
  bare=$work/root
  mkdir -p "$bare/bin" "$bare/tmp" "$bare/dev" "$bare/proc"
  : >"$bare/dev/null" # a plain file will do
  for package in "libidem${interface}_" idem_ libidem-dev_; do
    dpkg-deb -x "$work/$package$version"_*.deb "$bare"
  done
  library=$(echo "$bare"/usr/lib/*/libidem.so."$interface")
  [ -e "$library" ] || fail "there is no libidem.so.$interface"
  cc -I"$bare/usr/include" "$root/examples/first.c" -o "$bare/tmp/first" -L"$(dirname -- "$library")" -lidem
  readelf -d "$bare/tmp/first" "$bare/usr/bin/idem" | grep -c "NEEDED.*libidem\.so\.$interface" >"$work/linked"
  [ "$(cat -- "$work/linked")" = 2 ] || fail "the program or the command does not use the shared library"
  cp "$(command -v sh)" "$bare/bin/sh"
  for file in $(libraries_of "$bare/usr/bin/idem" "$bare/bin/sh" "$bare/tmp/first" "$library"); do
    mkdir -p "$bare$(dirname -- "$file")"
    cp -L "$file" "$bare$file"
  done
  cp "$work/use.sh" "$bare/tmp/use.sh"
  set -- "$(PATH=$PATH:/usr/sbin:/sbin command -v chroot)" "$bare" /bin/sh /tmp/use.sh "$version"
  [ "$(id -u)" = 0 ] || set -- unshare -r "$@"
  env -i PATH=/usr/bin:/bin HOME=/tmp LD_LIBRARY_PATH="/usr/lib/$(basename -- "$(dirname -- "$library")")" "$@" ||
    fail "the packages do not work in a bare root"
}

whole_root() {
  mkdir -p "$IDEM_CHROOT/packages"
  cp "$work"/*.deb "$IDEM_CHROOT/packages/"
  rm -f "$IDEM_CHROOT"/packages/*dbgsym*
  cp "$root/debian/tests/program" "$IDEM_CHROOT/packages/"
  # shellcheck disable=SC2016 # for the other shell
  PATH=$PATH:/usr/sbin:/sbin chroot "$IDEM_CHROOT" /bin/sh -c 'cd /packages && export DEBIAN_FRONTEND=noninteractive &&
    apt-get -q install -y --no-install-recommends ./*.deb gcc libc6-dev pkg-config && sh ./program &&
    apt-get -q purge -y "libidem*" idem && ! [ -e /usr/bin/idem ]' >"$work/chroot.log" 2>&1 || {
    tail -n 40 "$work/chroot.log" >&2
    fail "the packages do not work in $IDEM_CHROOT"
  }
  rm -rf -- "$IDEM_CHROOT/packages"
}

copy_tree
build_packages
judge_packages
if [ -n "${IDEM_CHROOT:-}" ]; then
  whole_root
else
  bare_root
fi
if [ -n "$keep" ]; then
  mkdir -p -- "$keep"
  cp "$work"/*.deb "$work"/libidem_* "$keep/"
fi
echo "packages built, without findings of lintian, and used in a root of their own"
