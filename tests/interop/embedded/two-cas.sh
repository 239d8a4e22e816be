#!/usr/bin/env bash
# Makes DIR/root.pem, DIR/chain.pem and DIR/key.pem: a device below two CAs, each with a name constraint nested in the one above, and
# common names that are no host names. Nothing of it is Countersign's: a TLS stack that refuses it refuses what RFC 5280 allows.
set -euo pipefail
cd "${1:?DIR}"

# certificate NAME ISSUER SUBJECT EXTENSIONS
certificate() {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout "$1.key" -subj "$3" -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -days 30 -out "$1.pem" \
        -extfile <(printf 'subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n%s\n' "$4")
}

ca() {
    printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nnameConstraints=critical,permitted;DNS:%s' "$1"
}

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout root.key -subj /CN=Root -days 30 -out root.pem \
    -addext keyUsage=critical,keyCertSign
certificate upper root /CN=Upper "$(ca upper.example)"
certificate lower upper /CN=Lower "$(ca lower.upper.example)"
certificate device lower /CN=device \
    $'keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\nsubjectAltName=DNS:device.lower.upper.example'
cat device.pem lower.pem upper.pem >chain.pem
mv device.key key.pem
