# SPDX-License-Identifier: MIT
# Puts a file between two lines of a document: insert.awk -v part=PART -v file=FILE DOCUMENT
#
# They are `<!-- measured: PART -->` and the next `<!-- measured: end -->`; what stood between them goes.

$0 == "<!-- measured: " part " -->" {
    print
    print ""
    while ((getline line <file) > 0)
        print line
    print ""
    inside = 1
}
$0 == "<!-- measured: end -->" { inside = 0 }
!inside { print }
