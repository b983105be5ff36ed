#!/bin/sh
# Makes .tools/NAME, a virtual environment with exactly the packages of a file, by their hashes, and
# prints the path of its Python. Nothing is done when it is there already.
#
#   python=$(scripts/python-venv.sh moto terraform/tests/moto.txt)
set -eu

name=$1
packages=$2
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$root/.tools/$name
hash=$(sha256sum "$packages" | cut -d ' ' -f 1)

if [ "$(cat "$folder/packages.sha256" 2>/dev/null)" != "$hash" ]; then
    python=$(command -v python3.11 || command -v python3) || {
        echo "python-venv: python3 is missing (Debian: apt-get install python3 python3-venv)" >&2
        exit 1
    }
    rm -rf "$folder"
    "$python" -m venv "$folder" >&2 || {
        echo "python-venv: no virtual environments here (Debian: apt-get install python3-venv)" >&2
        exit 1
    }
    "$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes \
        --only-binary=:all: -r "$packages" >&2
    echo "$hash" >"$folder/packages.sha256"
fi
echo "$folder/bin/python"
