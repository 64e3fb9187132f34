# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Where the measured stores are, and the conditions that they are measured in: servers, files, busy
# neighbours, one processor for all. Everything that is started or made here is known by its process id
# or its folder, and ended and removed on any exit.
#
# make_places sets $work (a folder for sockets and scraps) and $data (one on the disk), open_place sets
# $place.
# shellcheck disable=SC2034 # what is set here is used by those who source this

programs=${programs:-} # where the program `link` is; may be set later
work=
data=
servers=
postgres= # the folder of PostgreSQL's server; empty: there is none
neighbours=
files=0
pin='env' # a command in front of what is measured

# Servers and neighbours get a session each, as services have: where the kernel shares the processors out
# among sessions first, they would else be one with the threads of what is measured.
apart=$(command -v setsid || echo env)

end_processes() {
  for pid in "$@"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
}

leave_places() {
  # shellcheck disable=SC2086 # several ids, split on purpose
  end_processes $neighbours $servers
  [ -z "$postgres" ] || stop_postgres
  rm -rf -- "${work:-/nonexistent}" "${data:-/nonexistent}" "${postgres:-/nonexistent}"
}

# answers SOCKET
answers() {
  [ "$(redis-cli -s "$1" ping 2>/dev/null)" = PONG ]
}

# start_server NAME OPTIONS...: sets $server_pid, or fails: the port may have been taken.
start_server() {
  folder=$data/redis-$1
  socket=$work/$1
  shift
  mkdir -p -- "$folder"
  "$apart" redis-server --bind 127.0.0.1 --unixsocket "$socket" --dir "$folder" --save "" --daemonize no \
    "$@" >"$work/server.log" 2>&1 &
  server_pid=$!
  servers="$servers $server_pid"
  tries=0
  until answers "$socket"; do
    tries=$((tries + 1))
    if [ "$tries" = 100 ] || ! kill -0 "$server_pid" 2>/dev/null; then
      return 1
    fi
    sleep 0.1
  done
}

# as_other COMMAND...: PostgreSQL refuses to run as root.
as_other() {
  if [ "$(id -u)" = 0 ]; then
    setpriv --reuid "$postgres_user" --regid "$(id -g "$postgres_user")" --clear-groups "$@"
  else
    "$@"
  fi
}

postgres_folder() {
  for bin in "${IDEM_POSTGRES_BIN:-}" /usr/lib/postgresql/*/bin; do
    [ ! -x "$bin/initdb" ] || echo "$bin"
  done | tail -n 1
}

# start_postgres: its folder is on the disk if its user may go there, and it syncs.
start_postgres() {
  postgres_bin=$(postgres_folder)
  [ -n "$postgres_bin" ] || return 0
  postgres_user=$(id -un postgres 2>/dev/null || echo nobody)
  chmod 711 -- "$data"
  postgres=$(mktemp -d "$data/postgres.XXXXXX")
  as_other test -x "$data" || postgres=$(mktemp -d)
  chmod 755 -- "$postgres"
  [ "$(id -u)" != 0 ] || chown "$postgres_user" "$postgres"
  (cd -- "$postgres" && as_other "$postgres_bin/initdb" -D data -U postgres -A trust -E UTF8) >"$work/server.log" 2>&1
  printf '%s\n' "listen_addresses = ''" "shared_buffers = 128MB" "max_connections = 100" "max_wal_size = 4GB" \
    "wal_level = replica" >>"$postgres/data/postgresql.conf"
  (cd -- "$postgres" && as_other "$apart" "$postgres_bin/pg_ctl" -D data -l log -w -t 60 start \
    -o "-k $postgres -p 5432") >>"$work/server.log" 2>&1 || {
    cat "$work/server.log" >&2
    return 1
  }
}

stop_postgres() {
  [ ! -e "$postgres/data/postmaster.pid" ] ||
    (cd -- "$postgres" && as_other "$postgres_bin/pg_ctl" -D data -m immediate -w stop) >/dev/null 2>&1 || true
}

# drop_tables: those of earlier measurements; what they leave is vacuumed, so that nobody pays for it later.
drop_tables() {
  psql -q -h "$postgres" -U postgres postgres <<'SQL' >"$work/psql.log" 2>&1
DO $$ DECLARE named regclass; BEGIN
  FOR named IN SELECT oid FROM pg_class WHERE relname LIKE 'idem_record%' AND relkind = 'r' LOOP
    EXECUTE 'DROP TABLE ' || named;
  END LOOP;
END $$;
CHECKPOINT;
SQL
}

# make_places FOLDER: the stores on disk are to be there.
make_places() {
  trap leave_places EXIT
  trap 'exit 130' HUP INT TERM
  work=$(mktemp -d)
  data=$(mktemp -d "$(cd -- "$1" && pwd -P)/data.XXXXXX")
}

start_servers() {
  for seed in 1 2 3 4 5 6 7 8 9 10 -; do
    port=$(awk -v seed="$$$seed" 'BEGIN { srand(seed); print 20000 + int(rand() * 12000) }')
    if start_server plain --port "$port" --appendonly no; then
      break
    fi
  done
  plain_pid=$server_pid
  if [ "$seed" = - ] || ! start_server always --port 0 --appendonly yes --appendfsync always; then
    cat "$work/server.log" >&2
    echo "redis-server does not start" >&2
    exit 1
  fi
  start_postgres
}

# start_link NAME MICROSECONDS: a link to the plain server that takes so long each way, unless it is there.
start_link() {
  [ ! -S "$work/$1" ] || return 0
  "$apart" "$programs/link" "$work/$1" "$work/plain" "$2" &
  servers="$servers $!"
  tries=0
  until answers "$work/$1"; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || return 1
    sleep 0.1
  done
}

# start_pglink: a link to PostgreSQL that takes half a millisecond each way, unless it is there.
start_pglink() {
  [ ! -d "$work/pglink" ] || return 0
  mkdir -- "$work/pglink"
  "$apart" "$programs/link" "$work/pglink/.s.PGSQL.5432" "$postgres/.s.PGSQL.5432" 500 &
  servers="$servers $!"
  tries=0
  until psql -q -h "$work/pglink" -U postgres postgres -c 'SELECT 1' >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || return 1
    sleep 0.1
  done
}

# open_place NAME: a fresh, empty store; its URL or path is in $place.
open_place() {
  files=$((files + 1))
  case $1 in
  memory) place=memory:// ;;
  unix) place=redis+unix://$work/plain ;;
  tcp) place=redis://127.0.0.1:$port ;;
  databases) place="redis+unix://$work/plain?db={}" ;;
  link)
    start_link link 500
    place="redis+unix://$work/link"
    ;;
  far)
    start_link far 2500
    place="redis+unix://$work/far"
    ;;
  always) place=redis+unix://$work/always ;;
  full) place="sqlite://$data/store-$files.db?synchronous=full" ;;
  normal) place="sqlite://$data/store-$files.db?synchronous=normal" ;;
  pg) place="postgresql:///postgres?host=$postgres&user=postgres" ;;
  pglink)
    start_pglink
    place="postgresql:///postgres?host=$work/pglink&user=postgres"
    ;;
  pgs) place="postgresql:///postgres?host=$postgres&user=postgres&table=idem_record_{}" ;;
  normals) place="sqlite://$data/store-$files-{}.db?synchronous=normal" ;;
  file) place=$data/store-$files ;;
  *)
    echo "there is no place $1" >&2
    exit 1
    ;;
  esac
}

close_places() {
  rm -rf -- "$data"/store-*
  [ -z "$postgres" ] || drop_tables
  for socket in "$work/plain" "$work/always"; do
    [ ! -S "$socket" ] || redis-cli -s "$socket" flushall >/dev/null
  done
}

# why_not_conditions NAME: why they can't be had here; nothing if they can.
why_not_conditions() {
  if [ "$1" = pinned ] && ! command -v taskset >/dev/null 2>&1; then
    echo "taskset is missing"
  fi
}

pinned() {
  taskset -c 0 "$@"
}

set_conditions() {
  case $1 in
  pinned)
    taskset -a -c -p 0 "$plain_pid" >/dev/null
    pin=pinned
    ;;
  busy)
    for _ in 1 2; do
      "$apart" sh -c 'while :; do :; done' &
      neighbours="$neighbours $!"
    done
    ;;
  idle) ;;
  *)
    echo "there are no conditions $1" >&2
    exit 1
    ;;
  esac
}

unset_conditions() {
  if [ "$pin" = pinned ]; then
    taskset -a -c -p "0-$(($(getconf _NPROCESSORS_ONLN) - 1))" "$plain_pid" >/dev/null
    pin='env'
  fi
  # shellcheck disable=SC2086 # several ids, split on purpose
  end_processes $neighbours
  neighbours=
}
