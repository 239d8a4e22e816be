#!/usr/bin/env bash
# Asks one outside program whether it agrees with what a demo issued.
#
#   check-demo.sh openssl|certtool|pkcs12|pkilint DIR
#
# DIR is what `countersign demo --out DIR` wrote. Prints one line for each thing checked and a count at the end; exits 1 at the first
# disagreement, and 1 too if there was nothing to check. pkilint judges every certificate under DIR, wherever it lies.
set -euo pipefail

tool=${1:?which tool: openssl, certtool, pkcs12 or pkilint}
dir=${2:?the directory that the demo wrote}
root=$dir/trust/root.pem
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# Prints each certificate of the PEM files named, one file per certificate and content, as "NAME-OF-FILE" under $1, named by its SHA-256.
split_certificates() {
    local into=$1 pem
    shift
    mkdir -p "$into"
    for pem in "$@"; do
        rm -f "$work"/part.*
        awk -v prefix="$work/part." '/-----BEGIN CERTIFICATE-----/{n++; on=1} on{print > (prefix n)} /-----END CERTIFICATE-----/{on=0}' "$pem"
        for part in "$work"/part.*; do
            [ -e "$part" ] || continue
            mv "$part" "$into/$(openssl x509 -in "$part" -outform DER | sha256sum | cut -d' ' -f1).pem"
        done
    done
}

check_openssl() {
    # -CAfile alone: what the machine trusts otherwise must not help.
    openssl verify -x509_strict -purpose sslclient -no-CApath -no-CAstore -CAfile "$root" -untrusted "$1/chain.pem" "$1/device.pem" \
        || fail "openssl refuses $1/chain.pem"
}

check_certtool() {
    local said
    said=$(certtool --verify --verify-profile medium --load-ca-certificate "$root" --infile "$1/chain.pem" 2>&1) \
        || fail "certtool refuses $1/chain.pem: $said"
    grep -q '^Chain verification output: Verified\.' <<<"$said" || fail "certtool does not verify $1/chain.pem: $said"
    printf '%s/chain.pem: certtool verified\n' "$1"
}

check_pkcs12() {
    local in_chain in_pfx
    openssl pkcs12 -in "$1/device.pfx" -passin pass:1234 -nokeys -out "$work/certificates.pem" || fail "openssl does not open $1/device.pfx"
    rm -rf "$work/chain" "$work/pfx"
    split_certificates "$work/chain" "$1/chain.pem"
    split_certificates "$work/pfx" "$work/certificates.pem"
    in_chain=$(ls "$work/chain")
    in_pfx=$(ls "$work/pfx")
    [ "$in_chain" = "$in_pfx" ] || fail "$1/device.pfx does not hold the certificates of chain.pem, and no others"
    openssl pkcs12 -in "$1/device.pfx" -passin pass:1234 -nocerts -nodes | openssl pkey -pubout >"$work/key.pub" || fail "no key in $1/device.pfx"
    openssl x509 -in "$1/device.pem" -noout -pubkey >"$work/certificate.pub"
    cmp -s "$work/key.pub" "$work/certificate.pub" || fail "the key in $1/device.pfx is not the device's"
    openssl pkey -in "$1/key.pem" -pubout | cmp -s - "$work/certificate.pub" || fail "$1/key.pem is not the device's"
    printf '%s/device.pfx: leaf, %d intermediates and the key\n' "$1" $(($(wc -l <<<"$in_pfx") - 1))
}

# What kind of certificate a file holds: root, handoff, device, service, server (the hub towards devices), service-ca.
kind_of() {
    local text
    text=$(openssl x509 -in "$1" -noout -text)
    if [ -e "$work/roots/$(basename "$1")" ]; then echo root
    elif [ -e "$work/chains/$(basename "$1")" ]; then grep -q 'CA:TRUE' <<<"$text" && echo handoff || echo device
    elif grep -q 'URI:spiffe://' <<<"$text"; then echo service
    elif grep -q 'DNS:localhost' <<<"$text"; then echo server
    elif grep -q 'CA:TRUE' <<<"$text"; then echo service-ca
    else fail "a certificate under $dir is of no known kind: $text"; fi
}

check_pkilint() {
    local certificate kind findings count=0 seen=" "
    split_certificates "$work/roots" "$root"
    split_certificates "$work/chains" "$dir"/devices/*/chain.pem
    grep -rlZ --include='*.pem' --include='*.crt' -e '-----BEGIN CERTIFICATE-----' "$dir" >"$work/files"
    mapfile -d '' -t files <"$work/files"
    split_certificates "$work/all" "${files[@]}"
    for certificate in "$work"/all/*.pem; do
        kind=$(kind_of "$certificate")
        # Exits with the number of findings; what it found is judged below.
        lint_pkix_cert lint -s WARNING -f CSV "$certificate" >"$work/findings" 2>"$work/said" || true
        [ -s "$work/findings" ] || fail "lint_pkix_cert said nothing about a $kind certificate: $(cat "$work/said")"
        findings=$(tail -n +2 "$work/findings")
        if [ "$kind" = service ]; then
            # pkilint calls every spiffe:// URI SAN this, though SPIFFE (X509-SVID, section 2) wants exactly such a name. This code alone.
            findings=$(grep -v 'pkix\.invalid_uri_syntax' <<<"$findings" || true)
        fi
        if [ "$kind" = server ]; then
            # pkilint wants two labels. RFC 6761 (section 6.3) gives this name of one label to every machine. This code alone.
            findings=$(grep -v 'pkix\.invalid_domain_name_syntax.*""localhost""' <<<"$findings" || true)
        fi
        [ -z "$findings" ] || fail "pkilint on a $kind certificate ($(openssl x509 -in "$certificate" -noout -subject -serial | tr '\n' ' ')):"$'\n'"$findings"
        seen+="$kind "
        count=$((count + 1))
    done
    for kind in root handoff device service server; do
        [[ $seen == *" $kind "* ]] || fail "no $kind certificate under $dir"
    done
    printf 'pkilint: %d certificates without a finding:%s\n' "$count" "$(tr ' ' '\n' <<<"$seen" | sed '/^$/d' | sort | uniq -c | awk '{printf " %d %s", $1, $2}')"
}

if [ "$tool" = pkilint ]; then
    check_pkilint
    exit
fi
case $tool in openssl | certtool | pkcs12) ;; *) fail "no such check: $tool" ;; esac
listed=$(grep -o '"device_id"' "$dir/manifest.json" | wc -l)
checked=0
for device in "$dir"/devices/*/; do
    "check_$tool" "${device%/}"
    checked=$((checked + 1))
done
[ "$checked" -gt 0 ] && [ "$checked" -eq "$listed" ] || fail "$checked devices under $dir/devices, $listed in its manifest"
printf '%s: %d of %d\n' "$tool" "$checked" "$listed"
