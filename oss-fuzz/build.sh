#!/bin/bash -eu
# SPDX-License-Identifier: MIT
# Builds the fuzz targets of tests/fuzz as OSS-Fuzz wants them: programs, corpora and dictionaries in $OUT. OSS-Fuzz
# sets CC, CXX, CFLAGS, LIB_FUZZING_ENGINE, SRC, WORK and OUT. The programs run where nothing is installed, so the
# shared libraries that they need are copied beside them.
source=$SRC/libidem
build=$WORK/build

# shellcheck disable=SC2016 # for the linker
cmake -S "$source" -B "$build" -G Ninja -D CMAKE_BUILD_TYPE=RelWithDebInfo -D IDEM_FUZZ=ON \
  -D IDEM_FUZZ_ENGINE="$LIB_FUZZING_ENGINE" -D IDEM_HARDEN=OFF -D IDEM_BUILD_TESTS=ON -D IDEM_BUILD_CLI=OFF \
  -D IDEM_BUILD_EXAMPLES=OFF -D IDEM_BACKEND_POSTGRES=OFF -D IDEM_REDIS_TLS=OFF \
  -D CMAKE_EXE_LINKER_FLAGS='-Wl,-rpath,\$ORIGIN/lib'
cmake --build "$build" --target fuzz --parallel "$(nproc)"

mkdir -p "$OUT/lib"
for folder in "$source"/tests/fuzz/corpus/*/; do
  name=$(basename -- "$folder")
  program=$build/tests/fuzz/fuzz_$name
  cp -- "$program" "$OUT/"
  (cd -- "$folder" && zip -q -r "$OUT/fuzz_${name}_seed_corpus.zip" .)
  dictionary=$source/tests/fuzz/$name.dict
  [ ! -f "$dictionary" ] || cp -- "$dictionary" "$OUT/fuzz_$name.dict"
  ldd "$program" | sed -n 's/.*\(lib\(sqlite3\|hiredis\|jansson\|crypto\)[^ ]*\) => \([^ ]*\) .*/\3/p' |
    xargs -r cp -L -t "$OUT/lib"
done
