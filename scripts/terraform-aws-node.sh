#!/bin/sh
# What machines on AWS and their operators run, with real edges and nats-servers; AWS is moto.
set -eu

cd "$(dirname "$0")/.."
python=$(scripts/python-venv.sh moto terraform/tests/moto.txt)
cd terraform/tests
exec "$python" -B -m unittest test_node test_operator
