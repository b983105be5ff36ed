#!/usr/bin/env bash
# Terraform's static checks and the mesh on loopback: what `make test-terraform` runs. Without
# terraform it fails: a mesh that nobody has started is not tested. AWS has a target of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v terraform >/dev/null; then
    echo "test-terraform: FAILED: terraform 1.9 or newer is not on PATH" >&2
    exit 1
fi
if ! command -v openssl >/dev/null; then
    echo "test-terraform: FAILED: openssl is not on PATH" >&2
    exit 1
fi

state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
export TF_CLI_CONFIG_FILE=/dev/null CHECKPOINT_DISABLE=1

for directory in modules/mesh-config modules/sizing local; do
    echo "test-terraform: $directory"
    terraform fmt -check -diff -recursive "terraform/$directory"
    export TF_DATA_DIR=$state/$directory
    terraform "-chdir=terraform/$directory" init -input=false -no-color >/dev/null
    terraform "-chdir=terraform/$directory" validate -no-color
    terraform "-chdir=terraform/$directory" test -no-color
done
unset TF_DATA_DIR

echo "test-terraform: rendered files, and a mesh on loopback with real clients"
cargo test --locked -p meridian-cli --test terraform_local -- --test-threads=1
