# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Completion for the command `idem`, for bash, and for zsh after `autoload bashcompinit && bashcompinit`.
# Commands, options and stores are asked of `idem` itself, so they are those of the one installed.
# Keys are not completed: that would open the store.

# The first words of the lines that are set in by two spaces: the rows of a list in a help text.
_idem_rows() {
    sed -n 's/^  \([^ ]\{1,\}\).*/\1/p'
}

# The command on the line; nothing if it is not there yet. COMP_WORDS would not do: it is cut at
# each `:` and `=`, and URLs are full of them.
# shellcheck disable=SC2206 # split at spaces
_idem_command() {
    local IFS=' ' i line=${COMP_LINE:0:$COMP_POINT}
    # The first word is how idem was called, which may have blanks in it.
    local words=(idem ${line#"${COMP_WORDS[0]}"})
    local last=${#words[@]}
    if [[ ${COMP_LINE:0:$COMP_POINT} != *' ' ]]; then
        last=$((last - 1)) # still being written
    fi
    for ((i = 1; i < last; i++)); do
        case ${words[i]} in
        --store | --store-file) i=$((i + 1)) ;;
        -*) ;;
        *)
            echo "${words[i]}"
            return
            ;;
        esac
    done
}

# What can follow the option $1 as its value.
_idem_values() {
    case $1 in
    --status) printf 'in_progress\ncompleted\ncorrupt\n' ;;
    --mode) printf 'cycle\nclaim\nreplay\n' ;;
    --store) "${COMP_WORDS[0]}" backends 2>/dev/null | sed -n 's/^\([a-z][a-z0-9+.-]*:\) .*/\1/p' ;;
    esac
}

# True behind `--`, where a command of somebody else's stands.
_idem_behind_dashes() {
    local i
    for ((i = 1; i < COMP_CWORD; i++)); do
        if [[ ${COMP_WORDS[i]} == -- ]]; then
            return 0
        fi
    done
    return 1
}

# What can stand at the cursor, one in a line.
_idem_words() {
    local idem=${COMP_WORDS[0]} word=$1 before=$2 command
    command=$(_idem_command)
    if [[ $before == --status || $before == --mode || $before == --store ]]; then
        _idem_values "$before"
    elif [[ -z $command && $word == -* ]]; then
        printf '%s\n' --store --store-file --help --version
    elif [[ -z $command || $command == help ]]; then
        "$idem" help 2>/dev/null | _idem_rows | grep -v '^-'
    elif [[ $word == -* ]]; then
        "$idem" "$command" --help 2>/dev/null | _idem_rows | grep '^--'
    fi
}

# shellcheck disable=SC2207 # split at line ends; zsh has no mapfile
_idem() {
    local IFS=$'\n'
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    if [[ $word == = ]]; then # --status=
        word=''
    elif [[ $before == = ]]; then # --status=com
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    if [[ $before == --store-file || $before == --report || $before == --stdout || $before == --stderr || $before == --file ]]; then
        COMPREPLY=($(compgen -f -- "$word"))
    elif [[ $before == -- ]]; then
        COMPREPLY=($(compgen -c -- "$word"))
    elif _idem_behind_dashes; then
        COMPREPLY=($(compgen -f -- "$word"))
    else
        COMPREPLY=($(compgen -W "$(_idem_words "$word" "$before")" -- "$word"))
    fi
}

complete -F _idem idem
