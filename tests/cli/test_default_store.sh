#!/bin/sh
# SPDX-License-Identifier: MIT
# The default store against those who were there first: it is made for its owner alone whatever the
# umask, and a link, a stranger's folder or one that others can write is refused, with nothing written.
# shellcheck disable=SC2016 # what is in single quotes is for CMD, or a name
. "$(dirname "$0")/helper.sh"

unset IDEM_STORE

mode() {
    stat -c %a "$1"
}

# A new, empty $XDG_STATE_HOME with a folder idem in it; its path is in $state.
count=0
fresh() {
    count=$((count + 1))
    state=$dir/state$count
    mkdir -p "$state"
    mkdir -m 700 "$state/idem"
    export XDG_STATE_HOME="$state"
}

# refused TEXT…: CMD is not run, and stderr has each text, and what to do.
refused() {
    expect 69 run k -- touch "$dir/ran"
    [ ! -e "$dir/ran" ] || fail 'CMD was run'
    out_is_empty
    for text; do
        err_has "$text"
    done
    err_has '--store'
    lines_are 1 "$dir/err"
}

for mask in 000 022 077 277 777; do
    scene "with umask $mask, and while it is in use"
    fresh
    rmdir "$state/idem"
    (umask $mask && exec "$idem" run k -- sh -c 'touch "$1" && exec sleep 300' - "$dir/running$mask") &
    running=$!
    background="$background $running"
    eventually test -e "$dir/running$mask"
    [ "$(mode "$state/idem")" = 700 ] || fail "the folder has mode $(mode "$state/idem")"
    for end in '' -wal -shm; do
        [ "$(mode "$state/idem/idem.db$end")" = 600 ] ||
            fail "idem.db$end has mode $(mode "$state/idem/idem.db$end")"
    done
    kill -TERM "$running"
    wait "$running"
done

scene 'CMD has the umask that idem was called with'
fresh
(umask 027 && exec "$idem" run k -- sh -c umask) >"$dir/out" 2>"$dir/err" || fail 'it did not run'
out_is 0027

scene 'folders above are made for their owner alone'
export XDG_STATE_HOME="$dir/a/b/c"
(umask 000 && expect 0 begin k) || exit 1
for folder in a a/b a/b/c a/b/c/idem; do
    [ "$(mode "$dir/$folder")" = 700 ] || fail "$folder has mode $(mode "$dir/$folder")"
done

scene 'a link in place of the folder is refused, wherever it leads'
for target in "$dir/elsewhere" "$dir/nowhere"; do
    fresh
    rmdir "$state/idem"
    [ "$target" = "$dir/nowhere" ] || mkdir -m 700 "$target"
    ln -s "$target" "$state/idem"
    refused '/idem"' 'is a symbolic link'
done
[ -z "$(ls -A "$dir/elsewhere")" ] || fail 'something was written behind the link'
[ ! -e "$dir/nowhere" ] || fail 'something was made behind the link'

for end in '' -wal -shm -journal; do
    scene "a link in place of idem.db$end is refused, wherever it leads"
    fresh
    [ -z "$end" ] || expect 0 begin first
    rm -f "$state/idem/idem.db$end"
    echo 'mine' >"$dir/victim"
    for target in "$dir/victim" "$dir/nowhere"; do
        ln -sf "$target" "$state/idem/idem.db$end"
        refused "idem.db$end\"" 'is a symbolic link'
        [ -L "$state/idem/idem.db$end" ] || fail 'the link is gone'
    done
    [ "$(cat "$dir/victim")" = mine ] || fail 'something was written behind the link'
    [ ! -e "$dir/nowhere" ] || fail 'something was made behind the link'
    rm "$state/idem/idem.db$end"
    expect 0 begin second
done

scene 'links above the folder are followed: a home may be on another disk'
fresh
mkdir "$dir/disk"
ln -s "$dir/disk" "$dir/way"
XDG_STATE_HOME=$dir/way expect 0 begin k
[ -s "$dir/disk/idem/idem.db" ] || fail 'the store is somewhere else'

scene 'a store that is named is opened through links, as any file'
mkdir "$dir/real"
ln -s "$dir/real" "$dir/alias"
ln -s "$dir/real/target.db" "$dir/real/alias.db"
expect 0 begin k --store "sqlite://$dir/alias/alias.db"
[ -s "$dir/real/target.db" ] || fail 'the link was not followed'
expect 11 begin k --store "sqlite://$dir/real/target.db"

for bits in g+w o+w a+w; do
    scene "a folder and files with $bits are refused, and a folder that others may read is not"
    fresh
    expect 0 begin k
    chmod "$bits" "$state/idem"
    refused '/idem"' 'can be written by other users' 'chmod go-w'
    chmod 755 "$state/idem"
    expect 11 begin k
    : >"$state/idem/idem.db-wal"
    for end in '' -wal; do
        chmod "$bits" "$state/idem/idem.db$end"
        refused "idem.db$end\"" 'can be written by other users'
        chmod 600 "$state/idem/idem.db$end"
    done
done

scene 'files that others may read are made private, which is said once; looking changes nothing'
fresh
expect 0 begin k
: >"$state/idem/idem.db-wal"
chmod 644 "$state/idem/idem.db"
chmod 640 "$state/idem/idem.db-wal"
for look in 'get k' ls doctor; do
    # shellcheck disable=SC2086
    "$idem" $look >out 2>err
    [ "$(mode "$state/idem/idem.db")" = 644 ] || fail "'$look' has changed the file's mode"
done
expect 11 begin k
err_has 'could be read by other users'
lines_are 1 err
for end in '' -wal; do
    [ ! -e "$state/idem/idem.db$end" ] || [ "$(mode "$state/idem/idem.db$end")" = 600 ] ||
        fail "idem.db$end has mode $(mode "$state/idem/idem.db$end")"
done
expect 11 begin k
err_is_empty
for bits in 604 660 640 700 755; do
    chmod "$bits" "$state/idem/idem.db"
    case $bits in
    660) expect 69 begin k ;;
    700) expect 11 begin k && err_is_empty ;;
    *) expect 11 begin k && [ "$(mode "$state/idem/idem.db")" = 600 ] || fail "mode $bits was left" ;;
    esac
    chmod 600 "$state/idem/idem.db"
done

scene 'looking makes no folder and no file'
export XDG_STATE_HOME="$dir/nowhere/state"
for look in 'get k' ls doctor purge 'forget k' 'settle k 1'; do
    # shellcheck disable=SC2086
    expect 69 $look
    err_has 'idem.db" is not there'
    lines_are 1 err
done
[ ! -e "$dir/nowhere" ] || fail 'a folder was made'
fresh
expect 69 ls
[ -z "$(ls -A "$state/idem")" ] || fail 'a file was made'

scene 'looking refuses what it would be deceived by'
fresh
expect 0 --store "sqlite://$dir/elsewhere.db" begin k
ln -s "$dir/elsewhere.db" "$state/idem/idem.db"
expect 69 get k
err_has 'is a symbolic link'

scene 'something else in the place of a file beside the store is refused'
fresh
mkfifo "$state/idem/idem.db-wal"
refused 'idem.db-wal"' 'is no file'

scene "another user's folder and files are refused"
if [ "$(id -u)" = 0 ]; then
    fresh
    expect 0 begin k
    chown 65534 "$state/idem"
    refused '/idem"' 'belongs to another user' 'HOME'
    chown 0 "$state/idem"
    chown 65534 "$state/idem/idem.db"
    refused 'idem.db"' 'belongs to another user'

    scene "nothing is made in another user's HOME"
    mkdir -m 700 "$dir/theirs" "$dir/theirs/.local"
    chown -R 65534 "$dir/theirs"
    for home in theirs theirs/.local theirs/new/deeper; do
        (
            unset XDG_STATE_HOME
            HOME=$dir/$home refused 'belongs to another user' 'HOME'
        ) || exit 1
    done
    [ -z "$(find "$dir/theirs" -user 0)" ] || fail 'something was made there'
else
    echo 'not looked at: only root can give a folder to another user'
fi

scene 'an empty or relative $XDG_STATE_HOME is none, and neither is such a $HOME'
for value in '' relative ./relative; do
    XDG_STATE_HOME=$value expect 0 begin "k-$value"
    (
        unset XDG_STATE_HOME
        expect 11 begin "k-$value"
        HOME=$value expect 64 begin k
        err_has '--store URL'
    ) || exit 1
done
[ -s "$HOME/.local/state/idem/idem.db" ] || fail 'the store is somewhere else'
[ ! -e relative ] || fail 'the relative path was used'
(
    unset HOME XDG_STATE_HOME
    expect 64 begin k
    err_has '--store URL'
) || exit 1
