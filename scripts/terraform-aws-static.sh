#!/bin/sh
# terraform fmt, validate and test of every module, root and example for AWS, two at a time. Without
# Terraform it fails; without the AWS provider it says loudly that these steps are skipped.
#
# TERRAFORM_PLUGIN_DIR names a folder with providers, for machines without the registry.
# TERRAFORM_REQUIRED=1 makes a missing provider a failure.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)/terraform
export TF_IN_AUTOMATION=1
# A machine's own settings of Terraform have no say in this, nor does a file that is not there.
export TF_CLI_CONFIG_FILE="${TERRAFORM_CLI_CONFIG_FILE:-/dev/null}"

command -v terraform >/dev/null || {
    echo "terraform-aws-static: terraform is missing; install 1.9 or newer" >&2
    exit 1
}

# Checks one folder; prints nothing while all is well but a line.
check() {
    cd "$root/$1"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    began=$(date +%s)
    {
        # The registry is asked only where no folder is given, and it may not be reached.
        if [ -n "${TERRAFORM_PLUGIN_DIR:-}" ]; then
            terraform init -no-color -input=false "-plugin-dir=$TERRAFORM_PLUGIN_DIR"
        else
            terraform init -no-color -input=false
        fi
        # A module that gets its providers under other names cannot be validated alone; the root
        # that calls it, and its own test, do so.
        case $1 in
        *aws-peering) ;;
        *) terraform validate -no-color ;;
        esac
        if [ -d tests ]; then terraform test -no-color; fi
    } >"$log" 2>&1 || {
        cat "$log" >&2
        echo "terraform-aws-static: $1 failed" >&2
        return 1
    }
    passed=$(sed -n 's/^Success! \([0-9]* passed\).*/, \1/p' "$log")
    echo "terraform-aws-static: $1: ok$passed ($(($(date +%s) - began)) s)"
}

if [ "${1:-}" = one ]; then
    check "$2"
    exit
fi

terraform fmt -check -recursive -diff "$root"
"$root/aws/regions.sh" ap eu us | diff - "$root/aws/regions.tf" || {
    echo "terraform-aws-static: regions.tf is not what regions.sh writes" >&2
    exit 1
}
"$root/tests/document.py" --check

folders=$(cd "$root" && ls -d modules/aws-*/ aws/ examples/*/ | sed 's|/$||')
cd "$root/modules/aws-dns"
if ! if [ -n "${TERRAFORM_PLUGIN_DIR:-}" ]; then
    terraform init -no-color -input=false "-plugin-dir=$TERRAFORM_PLUGIN_DIR"
else
    timeout 120 terraform init -no-color -input=false
fi >/dev/null 2>&1; then
    echo "##########################################################################" >&2
    echo "## SKIPPED: terraform validate and test for AWS. The AWS provider is not" >&2
    echo "## here: reach registry.terraform.io, or set TERRAFORM_PLUGIN_DIR." >&2
    echo "##########################################################################" >&2
    [ "${TERRAFORM_REQUIRED:-0}" = 0 ] || exit 1
    exit 0
fi
printf '%s\n' $folders | xargs -P 2 -n 1 "$0" one
