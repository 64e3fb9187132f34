#!/bin/sh
# SPDX-License-Identifier: MIT
# idem doctor: what it prints, and how it ends. What each kind of store can find has tests of its own.
. "$(dirname "$0")/helper.sh"

scene 'a store whose settings are sound'
make_store
expect 0 doctor
out_has '"sound":true}'
out_lacks synchronous

scene 'a finding is told twice: to programs on stdout, to people on stderr'
expect 1 doctor --store "$IDEM_STORE?synchronous=normal"
out_has '{"findings":[{"what":"SQLite file '
out_has 'synchronous=normal'
out_has '"fix":"open it with synchronous=full'
out_has '"sound":false}'
err_has 'idem: SQLite file '
err_has 'open it with synchronous=full'

scene 'what is kept in one process alone is not safe'
expect 1 doctor --store memory://
out_has 'in this process alone'
expect 1 doctor --store sqlite::memory:
out_has 'gone when the handle is closed'

scene 'tables of a newer version are named and left alone'
sqlite3 "$dir/store.db" 'UPDATE idem_schema SET version = 99' || fail 'sqlite3 is not there'
expect 64 doctor
err_has 'newer libidem'
err_has 'version 99'

scene 'a store that can not be reached'
expect 69 doctor --store "sqlite://$dir/nowhere/store.db"
err_has 'no such file'
expect 64 doctor extra
exit 0
