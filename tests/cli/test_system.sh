#!/bin/sh
# SPDX-License-Identifier: MIT
# The system in odd states: each failure names its cause, ends with its own code, and leaves what was
# promised as it was. Every state is the real one: limits, rights, file systems, closed descriptors.
# shellcheck disable=SC2016,SC3045,SC2089,SC2090 # what is in single quotes is for a shell of its own; limits
. "$(dirname "$0")/helper.sh"
export idem dir

kept="sqlite://$dir/kept.db"
export kept
claim kept --store "$kept"
expect 0 complete kept --store "$kept" --token "$token" '"kept"'
umask 022
chmod 755 "$dir"

# told CODE TEXT COMMANDS: what a shell runs ends with that code, says that in one line, and does not
# blame what is innocent. Its stderr is a pipe, which no limit on files reaches.
innocent='check its disk|free space|start it|correct the URL|has to be there|unknown error|no such table'
told() {
    { sh -c "$3" 2>&1 >"$dir/out" || echo "code $?" >&2; } 2>"$dir/code" | cat >"$dir/err"
    got=$(sed -n 's/^code //p' "$dir/code")
    [ "${got:-0}" -eq "$1" ] || fail "'$3' ended with ${got:-0}, not with $1"
    grep -qF -e "$2" "$dir/err" || fail "'$3' does not say: $2"
    line=$(cat "$dir/err")
    ! echo "${line%%"$2"*} ${line#*"$2"}" | grep -qE -e "$innocent" || fail "'$3' blames what is innocent"
    [ "$(grep -c '^idem: ' "$dir/err")" -eq 1 ] || fail "'$3' does not say it in one line"
}
# The response is still there.
still() {
    expect 10 begin kept --store "$kept"
    out_has '"kept"'
}
make_stuck_claim() {
    claim "$1" --store "$kept"
    export token
}

scene 'descriptors: too few of them'
few=3 # as many as it takes to be loaded, with what is inherited
until sh -c "ulimit -n $few; exec \"\$idem\" version" >/dev/null 2>&1; do
    few=$((few + 1))
    [ "$few" -le 64 ] || fail 'it takes more than 64 descriptors to begin'
done
export few
told 69 'ulimit -n' 'ulimit -n $few; exec "$idem" begin a --store "sqlite://$dir/few.db"'
told 69 'ulimit -n' 'ulimit -n $few; exec "$idem" begin kept --store "$kept"'
told 69 'ulimit -n' 'unset IDEM_STORE; ulimit -n $few; exec "$idem" begin a'
still

scene 'descriptors: closed ones'
make_stuck_claim closed
told 70 'stdout' '"$idem" get kept --store "$kept" >&-'
told 70 'stdout' '"$idem" ls --store "$kept" >&-'
told 70 'stdout' '"$idem" ls --prefix nothing --store "$kept" >&-'
told 70 'stdout' '"$idem" purge --store "$kept" >&-'
told 70 'stdout' '"$idem" version >&-'
told 70 'stdout' '"$idem" complete closed 1 --token "$token" --store "$kept" >&-'
told 70 'stdout' '"$idem" get kept --store "$kept" 1</dev/null'
expect 11 begin closed --store "$kept"
told 65 'it is closed' '"$idem" complete closed --token "$token" --store "$kept" <&-'
told 65 'directory' '"$idem" complete closed --token "$token" --store "$kept" <"$dir"'
"$idem" get kept --store "$kept" <&- 2>&- >out || fail 'a closed stdin or stderr is no harm to a get'
out_has '"kept"'
"$idem" begin new --store "$kept" <&- >&- 2>&-
[ $? -eq 70 ] || fail 'an answer for nobody was no failure'
expect 0 begin new --store "$kept"
still

scene 'a full stdout'
if [ -e /dev/full ]; then # the system has it or not; Linux does
    told 70 'No space left' '"$idem" get kept --store "$kept" >/dev/full'
    told 70 'No space left' '"$idem" ls --store "$kept" >/dev/full'
    told 70 'No space left' '"$idem" help >/dev/full'
fi

scene 'paths'
ln -s loop2 loop1
ln -s loop1 loop2
ln -s nowhere dangling
mkdir folder
mkfifo fifo
name=$(printf '%0300d' 1)
export name
for row in 'a part of its path is a file|kept.db/x.db' 'its folder has to be there|none/x.db' \
    'in a circle|loop1' 'in a circle|loop1/x.db' 'too long|$name' 'too long|$name/x.db' \
    'it is a folder|folder' 'is a device, a pipe or a socket|fifo'; do
    told 69 "${row%|*}" "\"\$idem\" begin a --store \"sqlite://\$dir/${row#*|}\""
done
told 69 'is a device' '"$idem" begin a --store sqlite:///dev/null'
for row in 'No such file|none' 'Not a directory|kept.db/x' 'symbolic links|loop1' 'too long|$name' 'directory|folder'; do
    told 69 "${row%|*}" "\"\$idem\" begin a --store-file \"\$dir/${row#*|}\""
    told 65 "${row%|*}" "\"\$idem\" settle closed --exit 0 --stdout \"\$dir/${row#*|}\" --store \"\$kept\""
done
told 69 'Not a directory' 'unset IDEM_STORE; HOME="$dir/kept.db" "$idem" begin a'
told 69 'symbolic links' 'unset IDEM_STORE; HOME="$dir/loop1" "$idem" begin a'
told 69 'too long' 'unset IDEM_STORE; HOME="$dir/$name" "$idem" begin a'
told 69 'start it, or correct the URL' '"$idem" begin a --store "redis+unix://$dir/none.sock?timeout=700ms"'

scene 'the size of files is limited: what is stored stays, and what is new is refused'
told 69 'ulimit -f' 'ulimit -f 0; exec "$idem" begin a --store "sqlite://$dir/limited.db"'
told 69 'ulimit -f' 'ulimit -f 0; exec "$idem" begin a --store "$kept"'
told 69 'ulimit -f' 'ulimit -f 0; exec "$idem" run a --store "$kept" -- touch "$dir/made"'
told 69 'ulimit -f' 'unset IDEM_STORE; ulimit -f 0; HOME=$dir/limited "$idem" begin a'
[ ! -e made ] || fail 'CMD was run'
still

scene 'memory is limited'
head -c 8000000 /dev/zero | tr '\0' 1 >digits
if sh -c 'ulimit -v 14000; exec "$idem" version' >/dev/null 2>&1; then
    told 70 'memory' 'ulimit -v 14000; exec "$idem" complete closed --token "$token" --store "$kept" <"$dir/digits"'
    expect 11 begin closed --store "$kept"
fi
still

# Root may do everything, so it becomes somebody else.
as_nobody=
if [ "$(id -u)" = 0 ]; then
    as_nobody='setpriv --reuid 65534 --regid 65534 --clear-groups'
fi
export as_nobody
scene 'rights that are missing'
mkdir -m 700 dark
mkdir -m 555 still
chmod 644 kept.db*
if [ -n "$as_nobody" ]; then
    told 69 'let this user write' '$as_nobody "$idem" begin a --store "$kept"'
    told 69 'let this user write' '$as_nobody "$idem" begin a --store "sqlite://$dir/dark/x.db"'
    told 69 'let this user write' '$as_nobody "$idem" begin a --store "sqlite://$dir/still/x.db"'
    told 69 'Permission denied' '$as_nobody "$idem" begin a --store-file "$dir/dark/url"'
    told 69 'Permission denied' 'unset IDEM_STORE; HOME="$dir/still" $as_nobody "$idem" begin a'
    told 69 'Permission denied' 'unset IDEM_STORE; HOME="$dir/dark" $as_nobody "$idem" get a'
else
    told 69 'let this user write' 'chmod 000 "$dir/dark"; "$idem" begin a --store "sqlite://$dir/dark/x.db"'
    told 69 'let this user write' '"$idem" begin a --store "sqlite://$dir/still/x.db"'
    told 69 'Permission denied' 'unset IDEM_STORE; HOME="$dir/still" "$idem" begin a'
    chmod 700 "$dir/dark"
fi
still

# What follows has file systems that nobody else sees.
mkdir place
if unshare -m true 2>/dev/null; then
    space='unshare -m'
elif unshare -Urm true 2>/dev/null; then
    space='unshare -Urm'
else
    echo 'not looked at: file systems of its own are not allowed here'
    exit 0
fi
export space

scene 'a file system that is full'
full='mount -t tmpfs -o size=300k none "$dir/place" && "$idem" begin first --store "sqlite://$dir/place/x.db" >/dev/null &&
    { cat /dev/zero >"$dir/place/fill" 2>/dev/null; true; } &&'
export full
told 69 'is full: free space on its disk' '$space sh -c "$full exec \"\$idem\" begin second --store \"sqlite://\$dir/place/x.db\""'
told 69 'is full: free space on its disk' '$space sh -c "$full exec \"\$idem\" begin second --store \"sqlite://\$dir/place/new.db\""'
told 69 'is full: free space on its disk' '$space sh -c "$full exec \"\$idem\" run second --store \"sqlite://\$dir/place/x.db\" -- touch \"\$dir/made\""'
told 69 'space' 'unset IDEM_STORE; $space sh -c "$full HOME=\"\$dir/place\" exec \"\$idem\" begin second"'
[ ! -e made ] || fail 'CMD was run'

scene 'a file system that can only be read'
frozen='mount -t tmpfs none "$dir/place" && mkdir "$dir/place/home" &&
    HOME="$dir/place/home" "$idem" begin first --store "sqlite://$dir/place/x.db" >/dev/null &&
    (unset IDEM_STORE; HOME="$dir/place/home" "$idem" begin first >/dev/null) && mount -o remount,bind,ro "$dir/place" &&'
export frozen
told 69 'can only be read' '$space sh -c "$frozen exec \"\$idem\" begin second --store \"sqlite://\$dir/place/x.db\""'
told 69 'can only be read' '$space sh -c "$frozen exec \"\$idem\" begin second --store \"sqlite://\$dir/place/new.db\""'
told 69 'can only be read' 'unset IDEM_STORE; $space sh -c "$frozen HOME=\"\$dir/place/home\" exec \"\$idem\" begin second"'
told 69 'can only be read' 'unset IDEM_STORE; $space sh -c "$frozen HOME=\"\$dir/place/new\" exec \"\$idem\" begin second"'
$space sh -c "$frozen exec \"\$idem\" get first --store \"sqlite://\$dir/place/x.db\"" >out 2>err || fail 'get needs no right to write'
out_has '"key":"first"'

scene 'no /dev: closed descriptors are no file of the store, and CMD runs'
bare='mount -t tmpfs none /dev &&'
export bare
$space sh -c "$bare exec \"\$idem\" begin bare --store \"\$kept\" <&- >&- 2>&-"
[ $? -eq 70 ] || fail 'an answer for nobody was no failure'
expect 0 begin bare --store "$kept"
$space sh -c "$bare exec \"\$idem\" run bare2 --store \"\$kept\" -- echo ran <&-" >out 2>err || fail 'CMD did not run'
out_is ran
still
