#!/bin/sh
# Issues the certificates of a mesh on AWS and puts them into Secrets Manager, where its machines
# wait for them. Again with RENEW=1 it issues new ones by the same authorities.
#
#   terraform -chdir=terraform/aws output -json | scripts/put-secrets-aws.sh FOLDER
#
# FOLDER keeps the authorities' keys: guard it, or issue by an authority of your own and put the
# same JSON yourself. The public certificate, edge/tls, is not made here: see docs/aws.md.
set -eu
umask 077

folder=${1:?usage: terraform output -json | scripts/put-secrets-aws.sh FOLDER}
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
for program in aws jq openssl; do
    command -v "$program" >/dev/null || { echo "put-secrets-aws: $program is missing" >&2; exit 1; }
done
outputs=$(cat)

printf '%s' "$outputs" | jq -r '.certificates.value | to_entries[]
    | [.key, .value.ca, .value.common_name, .value.usage, (.value.names | join(" "))] | @tsv' |
    while IFS="$(printf '\t')" read -r file authority common_name usage names; do
        [ -z "${RENEW:-}" ] && [ -e "$folder/pki/$file.crt" ] && continue
        MESH=$folder FILE=$file AUTHORITY=$authority COMMON_NAME=$common_name USAGE=$usage \
            NAMES=$names "$root/terraform/local/pki.sh" issue
    done

# Prints a JSON object from names and the files that stand for them.
gather() {
    jq -n '[$ARGS.named | to_entries[]] | from_entries' "$@"
}

printf '%s' "$outputs" | jq -r '.secrets.value | to_entries[] | .key as $region
    | .value | to_entries[] | [$region, .key, .value] | @tsv' |
    while IFS="$(printf '\t')" read -r region what arn; do
        pki=$folder/pki
        case $what in
        nats/*)
            server=$pki/$region-${what#nats/}
            value=$(gather --rawfile clients-ca.crt "$pki/authorities/clients-ca.crt" \
                --rawfile peers-ca.crt "$pki/authorities/peers-ca.crt" \
                --rawfile peer.crt "$server/peer.crt" --rawfile peer.key "$server/peer.key" \
                --rawfile server.crt "$server/server.crt" --rawfile server.key "$server/server.key")
            ;;
        edge/nats)
            value=$(gather --rawfile clients-ca.crt "$pki/authorities/clients-ca.crt" \
                --rawfile edge.crt "$pki/edges/edge-$region/edge.crt" \
                --rawfile edge.key "$pki/edges/edge-$region/edge.key")
            ;;
        *)
            echo "put-secrets-aws: $region $what is yours to fill: $arn" >&2
            continue
            ;;
        esac
        # By a file, since arguments are seen by everybody on this machine.
        printf '%s' "$value" >"$folder/value.json"
        aws --region "$(printf '%s' "$arn" | cut -d : -f 4)" --output text secretsmanager \
            put-secret-value --secret-id "$arn" \
            --secret-string "file://$folder/value.json" >/dev/null
        rm -f "$folder/value.json"
        echo "put-secrets-aws: $region $what"
    done
