#!/bin/sh
# Has one nats-server after the other take up the binary, configuration and certificates that
# `terraform apply` has put into its region's bucket: lame duck mode, start, healthy, then the next.
# Stops at the first that is not healthy again, and says which.
#
#   terraform -chdir=terraform/aws output -json nats | scripts/roll-nats-aws.sh [REGION...]
set -eu

for program in aws jq; do
    command -v "$program" >/dev/null || { echo "roll-nats-aws: $program is missing" >&2; exit 1; }
done
poll_s=${POLL_S:-5}
# node.py gives up after 15 minutes of its own.
polls_max=240
wanted=" $* "

jq -r 'to_entries[] | .key as $region | .value | to_entries[]
    | [$region, .key, .value.aws_region, .value.instance_id] | @tsv' |
    while IFS="$(printf '\t')" read -r region server aws_region instance; do
        case $wanted in
        "  " | *" $region "*) ;;
        *) continue ;;
        esac
        ssm() { aws --region "$aws_region" --output text ssm "$@" </dev/null; }
        run='commands=["/usr/local/bin/meridian-node roll"],executionTimeout=["1100"]'
        command=$(ssm send-command --instance-ids "$instance" --document-name AWS-RunShellScript \
            --parameters "$run" --comment "roll $region-$server" --query Command.CommandId)
        echo "roll-nats-aws: $region-$server ($instance): $command"
        polls=0
        while :; do
            # The invocation is not known at once.
            status=$(ssm get-command-invocation --command-id "$command" --instance-id "$instance" \
                --query Status 2>/dev/null || echo Pending)
            case $status in
            Success) break ;;
            Pending | InProgress | Delayed) ;;
            *)
                echo "roll-nats-aws: $region-$server: $status; the others were left alone" >&2
                exit 1
                ;;
            esac
            polls=$((polls + 1))
            [ "$polls" -lt "$polls_max" ] || { echo "roll-nats-aws: $server: no end" >&2; exit 1; }
            sleep "$poll_s"
        done
    done
