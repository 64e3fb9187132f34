#!/bin/sh
# SPDX-License-Identifier: MIT
# The default store: where it is, who may read it, and what is refused. Stores that can't be used.
# shellcheck disable=SC2016 # what is in single quotes is for CMD, or a name
. "$(dirname "$0")/helper.sh"

mode() {
    stat -c %a "$1"
}

unset IDEM_STORE

scene 'below $HOME, for nobody else'
expect 0 begin k
db=$HOME/.local/state/idem/idem.db
[ -s "$db" ] || fail 'there is no store'
[ "$(mode "$db")" = 600 ] || fail "the file has mode $(mode "$db")"
for folder in "$HOME/.local/state/idem" "$HOME/.local/state" "$HOME/.local" "$HOME"; do
    [ "$(mode "$folder")" = 700 ] || fail "$folder has mode $(mode "$folder")"
done
expect 11 begin k

scene 'an empty IDEM_STORE is none'
IDEM_STORE='' expect 11 begin k

scene 'in $XDG_STATE_HOME, whatever is in its name; folders that are there stay as they are'
odd="$dir/a b%41?c=d#é&\\"
mkdir "$odd"
chmod 755 "$odd"
XDG_STATE_HOME=$odd expect 0 begin k
[ -s "$odd/idem/idem.db" ] || fail 'the store is somewhere else'
[ "$(mode "$odd")" = 755 ] || fail 'a folder that was there was changed'
[ "$(mode "$odd/idem")" = 700 ] || fail "the folder has mode $(mode "$odd/idem")"
XDG_STATE_HOME=$odd expect 11 begin k

scene 'a relative $XDG_STATE_HOME is ignored, as its specification says'
XDG_STATE_HOME=relative expect 11 begin k
[ ! -e relative ] || fail 'it was used'

scene 'a symbolic link is refused'
mkdir -p "$dir/link/idem"
ln -s "$dir/elsewhere" "$dir/link/idem/idem.db"
XDG_STATE_HOME=$dir/link expect 69 run k -- touch ran
err_has 'is a symbolic link'
[ ! -e "$dir/elsewhere" ] || fail 'the link was followed'
[ ! -e ran ] || fail 'the command was run'

scene 'neither is a folder in place of the file, nor a file in place of the folder'
mkdir -p "$dir/folder/idem/idem.db"
XDG_STATE_HOME=$dir/folder expect 69 begin k
err_has '--store URL'
mkdir -p "$dir/fifo/idem"
mkfifo "$dir/fifo/idem/idem.db"
XDG_STATE_HOME=$dir/fifo expect 69 begin k
err_has 'is no file'
echo >"$dir/file"
XDG_STATE_HOME=$dir/file expect 69 begin k
err_has '--store URL'

scene 'without $HOME it is said what to do'
(unset HOME && expect 64 begin k && err_has '--store URL') || exit 1
HOME=relative expect 64 begin k

scene 'a store that cannot be made, or is none: CMD is not run'
expect 69 --store "sqlite://$dir/file/x.db" run k -- touch ran
[ -s err ] || fail 'nothing is said'
echo 'this is no database, and long enough that nobody takes it for an empty one' >"$dir/none.db"
expect 65 --store "sqlite://$dir/none.db" run k -- touch ran
[ -s err ] || fail 'nothing is said'
[ ! -e ran ] || fail 'the command was run'

scene 'closed standard descriptors are not taken for the store'
XDG_STATE_HOME=$dir/closed "$idem" begin k <&- >&- 2>&-
[ $? -eq 70 ] || fail 'an answer that went nowhere was no failure'
XDG_STATE_HOME=$dir/closed expect 0 begin k
