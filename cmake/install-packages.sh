#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what libidem needs and this machine lacks, with apt-get: the one list of packages.
#
#   install-packages.sh build             what builds the library, the command and the examples
#   install-packages.sh bench             that, and what bench.sh measures with
#   install-packages.sh test              all of that, and what the tests and the linters need
#   install-packages.sh --dry-run build   only says what is missing
#
# It asks nothing. If nothing is missing it needs neither root nor a network, nor apt-get.
set -eu

dry_run=no
if [ "${1:-}" = --dry-run ]; then
  dry_run=yes
  shift
fi
case "${1:-}" in
build | bench | test) purpose=$1 ;;
*)
  echo "usage: install-packages.sh [--dry-run] build|bench|test" >&2
  exit 64
  ;;
esac

# Purpose, Debian package, and what shows that it is there: one of several commands, a header, a server of
# PostgreSQL's (whose programs are in no PATH), a module of the system's Python, or that clang can link with an option.
# zlib and zstd are what libcrypto and SQLite name for programs that are linked statically.
packages() {
  cat <<'END'
build gcc            command cc
build libc6-dev      header  stdio.h
build cmake          command cmake
build ninja-build    command ninja make
build libssl-dev     header  openssl/evp.h
build libsqlite3-dev header  sqlite3.h
build libjansson-dev header  jansson.h
build libhiredis-dev header  hiredis/hiredis.h
build libpq-dev      header  postgresql/libpq-fe.h
bench check          header  check.h
bench pkg-config     command pkg-config
bench redis-server   command redis-server
bench redis-tools    command redis-cli
bench sqlite3        command sqlite3
bench uthash-dev     header  uthash.h
bench util-linux     command taskset
bench postgresql     server  postgres
test  pgbouncer      command pgbouncer /usr/sbin/pgbouncer
test  gcc            command gcc
test  g++            command g++
test  make           command make
bench libuv1-dev     header  uv.h
test  zlib1g-dev     header  zlib.h
test  libzstd-dev    header  zstd.h
test  clang          command clang
test  clang-format   command clang-format-14 clang-format
test  clang-tidy     command clang-tidy-14 clang-tidy
test  shellcheck     command shellcheck
test  spin           command spin
test  valgrind       command valgrind
test  strace         command strace
test  faketime       command faketime
test  gcovr          command gcovr
test  jq             command jq
test  systemtap-sdt-dev header sys/sdt.h
test  openssl        command openssl
test  git            command git
test  abigail-tools  command abidiff
test  debhelper      command dh
test  lintian        command lintian
test  python3-markdown python markdown
test  mandoc         command mandoc
test  libclang-rt-dev linked -fsanitize=fuzzer
END
}

have_command() {
  for name in "$@"; do
    if command -v "$name" >/dev/null 2>&1; then
      return 0
    fi
  done
  return 1
}

have_header() {
  echo "#include <$1>" | "${CC:-cc}" -E -x c - >/dev/null 2>&1
}

have_server() {
  for folder in /usr/lib/postgresql/*/bin; do
    if [ -x "$folder/$1" ]; then
      return 0
    fi
  done
  have_command "$1"
}

have_python() {
  python3 -c "import $1" 2>/dev/null || /usr/bin/python3 -c "import $1" 2>/dev/null
}

have_linked() {
  probe=$(mktemp)
  status=0
  echo 'int LLVMFuzzerTestOneInput(const char *data, unsigned long size);
int LLVMFuzzerTestOneInput(const char *data, unsigned long size) { return data == 0 && size == 0; }' |
    clang -x c "$1" -o "$probe" - >/dev/null 2>&1 || status=1
  rm -f -- "$probe"
  return "$status"
}

# Prints the names of the packages that are missing, each once.
missing() {
  packages | while read -r for_purpose package kind what; do
    case $purpose:$for_purpose in
    build:bench | build:test | bench:test) continue ;;
    esac
    if [ "$package" = gcc ] && [ "$what" = cc ] && [ -n "${CC:-}" ]; then
      what=${CC%% *}
    fi
    # shellcheck disable=SC2086 # several names, split on purpose
    if ! "have_$kind" $what; then
      echo "$package"
    fi
  done | sort -u | tr '\n' ' ' | sed 's/ $//'
}

fail() {
  echo "$1" >&2
  echo "Install these packages and start again: $wanted" >&2
  exit 69
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    env "$@"
  else
    sudo -n env "$@"
  fi
}

# What it says is shown if it fails. needrestart (Ubuntu) would ask which services to restart; a lock
# of apt's is waited for.
apt_get() {
  as_root DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get -q -o DPkg::Lock::Timeout=300 "$@" </dev/null >"$log" 2>&1 || {
    cat "$log" >&2
    return 1
  }
}

wanted=$(missing)
if [ -z "$wanted" ]; then
  exit 0
fi
if [ "$dry_run" = yes ]; then
  echo "Missing: $wanted"
  exit 0
fi
if ! have_command apt-get; then
  fail "This machine has no apt-get, so nothing can be installed from here. The names below are Debian's."
fi
if [ "$(id -u)" != 0 ] && ! sudo -n true >/dev/null 2>&1; then
  fail "Packages are missing, and installing them takes root: start this as root, or with sudo."
fi

echo "Installing with apt-get, which can take some minutes: $wanted"
log=$(mktemp)
trap 'rm -f -- "$log"' EXIT
apt_get update || echo "apt-get update failed; going on with the lists that are here" >&2
# shellcheck disable=SC2086 # several names, split on purpose
apt_get install -y --no-install-recommends $wanted ||
  fail "apt-get could not install them; what it said is above."
wanted=$(missing)
if [ -n "$wanted" ]; then
  fail "apt-get has run, but something is missing still."
fi
