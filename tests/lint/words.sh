#!/bin/sh
# SPDX-License-Identifier: MIT
# What a machine can judge of comments and documents: comment lines end at column 100, and words that CONTRIBUTING.md
# rules out are not there: "he", "his", "him" and "who" for a caller or a thread, "whoever", "mend".
#
#   words.sh           the library, the command, the examples, and the documents
#   words.sh FILE…     those of them that are C or C++ sources or documents
#
# A line of a C file is judged if it has a comment, and only the comment's words are. "Those who" are people, and so
# are users, operators and administrators. In documents only "whoever" and "mend" are looked for. Files in
# words.pending are still to be rewritten; take one off the list when it is done.
set -eu

root=$(cd -- "$(dirname -- "$0")/../.." && pwd -P)
if [ $# -eq 0 ]; then
  cd -- "$root"
  # shellcheck disable=SC2046 # names without blanks, split on purpose
  set -- $(find core backends cli include examples -name '*.[ch]' -o -name '*.hpp' | sort |
    grep -v -F -f tests/lint/words.pending) \
    README.md CONTRIBUTING.md SECURITY.md docs/*.md docs/man/*
fi
exec perl -CSD -e '
  use strict;
  use utf8;
  my $found = 0;
  sub say_so { my ($file, $line, $what) = @_; print "$file:$line: $what\n"; $found = 1; }

  # The text of the comments of a line; $$inside says whether one goes on.
  sub comment {
      my ($line, $inside) = @_;
      my ($text, $any) = ("", 0);
      while ($line ne "") {
          if ($$inside) {
              $any = 1;
              if ($line =~ s/^(.*?)\*\///) { $text .= $1; $$inside = 0; }
              else { $text .= $line; last; }
          } elsif ($line =~ s/^(?:[^"\x27\/]|\/(?![\/*])|"(?:[^"\\]|\\.)*"|\x27(?:[^\x27\\]|\\.)*\x27)+//) {
          } elsif ($line =~ s/^\/\*//) { $$inside = 1; $any = 1; }
          elsif ($line =~ s/^\/\///) { $text .= $line; $any = 1; last; }
          else { last; }
      }
      return ($any, $text);
  }

  for my $file (@ARGV) {
      my $code = $file =~ /\.(c|h|hpp|cc)$/;
      next unless $code || $file =~ /\.md$|\.[13]$/;
      open(my $in, "<:encoding(UTF-8)", $file) or die "$file: $!\n";
      my ($inside, $before) = (0, "");
      while (my $line = <$in>) {
          chomp $line;
          my ($any, $text) = $code ? comment($line, \$inside) : (1, $line);
          # Messages and help, too. Except a member of the JSON in cli/doctor.c: its older name.
          say_so($file, $., "the word \"$1\"")
              if $code && $line =~ /"[^"]*\b(whoever|mend(?:s|ed|ing)?)\b/i
                  && !($file =~ /\bcli\/doctor\.c$/ && $line =~ /"[^"]*\\"mend\\":"/);
          next unless $any;
          say_so($file, $., "a comment beyond column 100") if $code && length($line) > 100;
          $text =~ s/`[^`]*`//g;
          ($text, $before) = ("$before $text", $text =~ /(\S+)\s*$/ ? $1 : "") if $code;
          $text =~ s/\b(?:those|people|users?|operators?|administrators?),? who\b//g;
          my $words = $code ? qr/he|his|him|himself|who|whom|whoever|mend(?:s|ed|ing)?/i
                            : qr/whoever|mend(?:s|ed|ing)?/i;
          while ($text =~ /\b($words)\b/gi) { say_so($file, $., "the word \"$1\""); }
      }
      close $in;
  }
  print "Say what it is in plain words: a caller or a thread is \"it\", an error is fixed.\n" if $found;
  exit $found;
' -- "$@"
