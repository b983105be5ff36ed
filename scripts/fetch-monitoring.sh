#!/bin/sh
# Gets what the tests of monitoring/ need beside nats-server, where it is missing: Debian's
# prometheus and promtool, without installing their service, and rotel, an OTLP receiver that is not
# ours. `make tools-monitoring` calls it.
#
# Order, the same as in crates/testkit/src/programs.rs: PATH, then .tools/.
set -eu

rotel_version=0.0.1a15
root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/.tools

say() { echo "fetch-monitoring: $*" >&2; }
fail() { say "$@"; exit 1; }

mkdir -p "$tools"
# Beside the destination, so that the last step is a rename within one file system.
work=$(mktemp -d "$tools/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

has() { command -v "$1" >/dev/null || [ -x "$tools/$1" ] || [ -x "$tools/monitoring/usr/bin/$1" ]; }

# Unpacked and not installed: the package would start a service.
if ! { has prometheus && has promtool; }; then
    command -v apt-get >/dev/null && command -v dpkg >/dev/null ||
        fail "prometheus and promtool are missing: put them on PATH (2.42 or newer)"
    say "downloading Debian's prometheus"
    cd "$work"
    # _apt may not write here, which apt-get only warns of.
    apt-get download -q prometheus >&2 ||
        { [ "$(id -u)" = 0 ] && apt-get update -q >&2 && apt-get download -q prometheus >&2; } ||
        fail "the download failed: run apt-get update, or put prometheus and promtool on PATH"
    dpkg -x prometheus_*.deb "$work/monitoring"
    "$work/monitoring/usr/bin/promtool" --version >/dev/null 2>&1 ||
        fail "the downloaded promtool does not run here"
    rm -rf "$tools/monitoring"
    mv "$work/monitoring" "$tools/monitoring"
    say "unpacked prometheus in $tools/monitoring"
fi

if ! has rotel; then
    # The hashes are those of the wheels for rotel 0.0.1a15 (Apache-2.0) on the index. They run with
    # glibc 2.34 or newer.
    case "$(uname -s)-$(uname -m)" in
    Linux-x86_64 | Linux-amd64)
        platform=x86_64
        sha256=2f4117e58410c933e0dc042a268ef738dab2e3a5d63b5831209acdac2a6ddcb7
        ;;
    Linux-aarch64 | Linux-arm64)
        platform=aarch64
        sha256=4eb01f9e5d228e4086f63e16cf1d0fa6e92b724bde51f120932a742acec5b0ba
        ;;
    *) fail "no pinned rotel for $(uname -s) $(uname -m): put rotel $rotel_version on PATH" ;;
    esac
    python=$(command -v python3 || command -v python) || fail "python3 is missing (and its pip)"
    say "downloading rotel $rotel_version for $platform"
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps \
        --only-binary=:all: --python-version 311 --platform "manylinux_2_34_$platform" \
        --dest "$work" "rotel==$rotel_version" >&2 ||
        fail "the download failed; behind a proxy set PIP_INDEX_URL or HTTPS_PROXY"
    found=$(sha256sum "$work"/rotel-*.whl | cut -d ' ' -f 1)
    [ "$found" = "$sha256" ] || fail "SHA-256 of the wheel is $found, expected $sha256"
    "$python" -m zipfile -e "$work"/rotel-*.whl "$work/wheel"
    chmod 755 "$work/wheel/rotel/rotel-agent"
    "$work/wheel/rotel/rotel-agent" --version >/dev/null || fail "rotel does not run here"
    mv -f "$work/wheel/rotel/rotel-agent" "$tools/rotel"
    say "installed rotel as $tools/rotel"
fi
