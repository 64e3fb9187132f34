# SPDX-License-Identifier: MIT
# Cuts the snippets out of a Markdown file, each into a file DIR/NUMBER.LANGUAGE, and lists them:
#     NUMBER LANGUAGE LINE MARKER
# where LINE is the first of the snippet, and MARKER what the HTML comment directly in front of the
# fence says; `-` if there is none. Call it with -v dir=DIR.

function begin_snippet() {
    language = substr($0, 4)
    if (language == "")
        language = "text"
    number++
    file = dir "/" number "." language
    printf "" >file
    print number, language, NR + 1, marker == "" ? "-" : marker
    inside = 1
}

/^```/ {
    if (inside) {
        inside = 0
        close(file)
    } else {
        begin_snippet()
    }
    marker = ""
    next
}
inside { print >file; next }
{ marker = "" }
/^<!-- .* -->$/ { marker = substr($0, 6, length($0) - 9) }
END {
    if (inside) {
        print FILENAME ": the last fence is not closed" >"/dev/stderr"
        exit 1
    }
}
