#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes certificates for tests in a folder: of a CA and of one that nobody knows, for the server by its names,
# under another name, for longer than a month, expired, and by the unknown CA; and for a client.
set -eu
cd "$1"
exec >certificates.log 2>&1

key() {
  openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
}

# authority NAME
authority() {
  key "$1"
  openssl req -x509 -new -key "$1.key" -subj "/CN=$1" -days 10 -out "$1.crt"
}

# leaf NAME AUTHORITY DAYS NAMES
leaf() {
  key "$1"
  openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
  printf 'subjectAltName=%s\n' "$4" >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -days "$3" \
    -extfile "$1.ext" -out "$1.crt"
}

here=DNS:localhost,IP:127.0.0.1
authority ca
authority stranger
leaf server ca 5 "$here"
leaf lasting ca 90 "$here"
leaf named ca 5 DNS:redis.example.com
leaf expired ca -1 "$here"
leaf strange stranger 5 "$here"
leaf client ca 5 DNS:client
leaf intruder stranger 5 DNS:client
openssl ec -in client.key -aes128 -passout pass:secret -out locked.key
