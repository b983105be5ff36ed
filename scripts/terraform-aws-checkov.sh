#!/bin/sh
# checkov over Terraform for AWS. What is left out, and why, stands in terraform/.checkov.yaml.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
python=$(scripts/python-venv.sh checkov terraform/tests/checkov.txt)
# It looks for guidelines on the network, and says at length that it found none.
LOG_LEVEL=ERROR exec "$python" -B "$(dirname "$python")/checkov" --config-file terraform/.checkov.yaml
