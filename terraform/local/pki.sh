#!/usr/bin/env bash
# Certificates for a mesh on loopback, with openssl. Called by terraform; for production, use an
# authority that keeps its key away from the machines that it signs for.
#
#   MESH=dir FILE=eu-n1/peer AUTHORITY=peers-ca COMMON_NAME=eu-n1 USAGE=both NAMES=127.0.0.1 \
#     pki.sh issue
set -euo pipefail
umask 077

readonly DAYS=90
readonly pki=${MESH:?}/pki

# Many are issued at once, and each authority is made by the first of them.
authority() {
    local name=$1
    (
        flock 9
        [ -e "$pki/authorities/$name.crt" ] && exit 0
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days "$DAYS" \
            -keyout "$pki/authorities/$name.key" -out "$pki/authorities/$name.new" \
            -subj "/CN=$name" -addext basicConstraints=critical,CA:TRUE \
            -addext keyUsage=critical,keyCertSign,cRLSign 2>"$pki/authorities/$name.log"
        mv "$pki/authorities/$name.new" "$pki/authorities/$name.crt"
    ) 9>"$pki/authorities/.lock"
}

issue() {
    local target=$pki/$FILE usage names=() name
    mkdir -p "$pki/authorities" "$(dirname "$target")"
    authority "$AUTHORITY"
    case $USAGE in
        both) usage=serverAuth,clientAuth ;;
        server | client) usage=${USAGE}Auth ;;
        *) echo "pki.sh: USAGE is server, client or both, not $USAGE" >&2; exit 64 ;;
    esac
    for name in $NAMES; do
        if [[ $name =~ ^[0-9.]+$ || $name == *:* ]]; then names+=("IP:$name"); else names+=("DNS:$name"); fi
    done
    local extensions=(-addext basicConstraints=critical,CA:FALSE -addext "extendedKeyUsage=$usage")
    if [ ${#names[@]} -gt 0 ]; then
        extensions+=(-addext "subjectAltName=$(IFS=,; echo "${names[*]}")")
    fi
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days "$DAYS" \
        -CA "$pki/authorities/$AUTHORITY.crt" -CAkey "$pki/authorities/$AUTHORITY.key" \
        -keyout "$target.key.new" -out "$target.crt.new" -subj "/CN=$COMMON_NAME" \
        "${extensions[@]}" 2>"$target.log"
    # A reader finds the old pair or the new one, and for a moment at worst one of each.
    mv "$target.key.new" "$target.key"
    mv "$target.crt.new" "$target.crt"
    cp "$pki/authorities/$AUTHORITY.crt" "$(dirname "$target")/"
    rm -f "$target.log"
}

case ${1:-} in
    issue) issue ;;
    *) echo "usage: pki.sh issue" >&2; exit 64 ;;
esac
