#!/bin/sh
# terraform/aws against moto's server on loopback: create, a second plan that changes only what moto
# is known to forget, destroy. Says loudly what is skipped without the AWS provider.
#
# TERRAFORM_PLUGIN_DIR names a folder with providers, for machines without the registry.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
export TF_CLI_CONFIG_FILE="${TERRAFORM_CLI_CONFIG_FILE:-/dev/null}"
cd "$root"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp terraform/modules/aws-dns/versions.tf "$work"
if ! if [ -n "${TERRAFORM_PLUGIN_DIR:-}" ]; then
    terraform "-chdir=$work" init -input=false "-plugin-dir=$TERRAFORM_PLUGIN_DIR"
else
    timeout 120 terraform "-chdir=$work" init -input=false
fi >/dev/null 2>&1; then
    echo "##########################################################################" >&2
    echo "## SKIPPED: terraform/aws on moto. Terraform or its AWS provider is not" >&2
    echo "## here: reach registry.terraform.io, or set TERRAFORM_PLUGIN_DIR." >&2
    echo "##########################################################################" >&2
    [ "${TERRAFORM_REQUIRED:-0}" = 0 ] || exit 1
    exit 0
fi
python=$(scripts/python-venv.sh moto terraform/tests/moto.txt)
"$python" -B terraform/tests/aws_moto.py
