#!/usr/bin/env bash
# Installs the Autobahn test suite below target/autobahn and runs its fuzzing client against an edge
# that sends messages back. The suite needs Python 2.7, which few machines have: PYTHON27 names one,
# or pyenv's is taken. So this is not part of `make test`, which covers the same ground with tests
# of its own (crates/testkit/tests/bad_frames.rs, crates/proto/tests/guard).
set -euo pipefail
cd "$(dirname "$0")/.."

out=$PWD/target/autobahn
mkdir -p "$out"

python=${PYTHON27:-}
if [ -z "$python" ]; then
    pyenv=${PYENV_ROOT:-$HOME/.pyenv}
    for one in "$(command -v python2.7 || true)" "$pyenv"/versions/2.7.*/bin/python; do
        if [ -x "$one" ]; then
            python=$one
            break
        fi
    done
fi
if [ -z "$python" ]; then
    echo "make autobahn: no Python 2.7 here: set PYTHON27, or run: pyenv install 2.7.18" >&2
    exit 1
fi

quiet="-q --disable-pip-version-check --no-python-version-warning"
if [ ! -x "$out/venv/bin/wstest" ]; then
    rm -rf "$out/venv" "$out/virtualenv"
    # shellcheck disable=SC2086
    "$python" -m pip install $quiet --target "$out/virtualenv" virtualenv==20.15.1
    PYTHONPATH=$out/virtualenv "$python" -m virtualenv -q "$out/venv"
    # shellcheck disable=SC2086
    "$out/venv/bin/pip" install $quiet --no-deps --require-hashes \
        --no-binary autobahntestsuite -r scripts/autobahn/requirements.txt
fi

rm -rf "$out/report"
AUTOBAHN_WSTEST=$out/venv/bin/wstest AUTOBAHN_OUT=$out \
    cargo test --locked -p meridian-testkit --features echo --test autobahn -- --nocapture
echo "report: $out/report/index.html"
