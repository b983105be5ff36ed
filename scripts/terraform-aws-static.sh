#!/bin/sh
# terraform fmt, validate and test of every module, root and example for AWS, two at a time. Without
# Terraform or its AWS provider it says loudly what is skipped.
#
# TERRAFORM_PLUGIN_DIR names a folder with providers, for machines without the registry.
# TERRAFORM_REQUIRED=1 makes a missing provider a failure.
set -eu

scripts=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$scripts")/terraform
export TF_IN_AUTOMATION=1
# A machine's own settings of Terraform have no say in this, nor does a file that is not there.
export TF_CLI_CONFIG_FILE="${TERRAFORM_CLI_CONFIG_FILE:-/dev/null}"

skip() {
    echo "##########################################################################" >&2
    echo "## SKIPPED: $1 for AWS." >&2
    echo "## $2" >&2
    echo "##########################################################################" >&2
    [ "${TERRAFORM_REQUIRED:-0}" = 0 ] || exit 1
    exit 0
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
        # A test validates what it runs, and starting the provider is what takes the time. (A module
        # that gets its providers under other names could not be validated by itself.)
        if [ -d tests ]; then terraform test -no-color; else terraform validate -no-color; fi
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

"$root/aws/regions.sh" ap eu us | diff - "$root/aws/regions.tf" || {
    echo "terraform-aws-static: regions.tf is not what regions.sh writes" >&2
    exit 1
}
"$root/tests/document.py" --check
command -v terraform >/dev/null ||
    skip "format, validate and terraform test" "Terraform is not here: install 1.9 or newer."
terraform fmt -check -recursive -diff "$root"

folders=$(cd "$root" && ls -d modules/aws-*/ aws/ examples/*/ | sed 's|/$||')
cd "$root/modules/aws-dns"
if ! if [ -n "${TERRAFORM_PLUGIN_DIR:-}" ]; then
    terraform init -no-color -input=false "-plugin-dir=$TERRAFORM_PLUGIN_DIR"
else
    timeout 120 terraform init -no-color -input=false
fi >/dev/null 2>&1; then
    skip "validate and terraform test" \
        "Its provider is not here: reach registry.terraform.io, or set TERRAFORM_PLUGIN_DIR."
fi
printf '%s\n' $folders | xargs -P 2 -n 1 "$scripts/terraform-aws-static.sh" one
