#!/usr/bin/env bash
# Starts, stops and configures the processes of a mesh on loopback. Called by terraform, and by hand
# when its state is lost: MESH=…/.mesh process.sh stop-all.
#
# A process is known by run/NAME.pid, and counts only while the command line of that pid names its
# file: a pid that somebody else has by now is left alone.
set -euo pipefail

readonly STOP_SECONDS=20 READY_SECONDS=60 STREAMS_SECONDS=120
readonly run=${MESH:?}/run
readonly top=$PWD/../..

fail() { echo "process.sh: $*" >&2; exit 1; }

pid_of() { # the pid of a running process, or nothing
    local pid
    pid=$(cat "$run/$1.pid" 2>/dev/null) || return 0
    if tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "/$1."; then echo "$pid"; fi
}

program() { # wanted, name of the variable, candidates
    local candidate
    for candidate in "$1" "${!2:-}" "${@:3}"; do
        if [ -n "$candidate" ] && candidate=$(command -v "$candidate"); then echo "$candidate"; return; fi
    done
    fail "no $3 found: run make tools and make build, or set $2"
}

stop() {
    local pid=$(pid_of "$1") tenths
    rm -f "$run/$1.pid"
    [ -n "$pid" ] || return 0
    kill -TERM "$pid" 2>/dev/null || return 0
    for ((tenths = 0; tenths < STOP_SECONDS * 10; tenths++)); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
}

# In a session of its own, without any of terraform's descriptors, so that it outlives it and
# terraform does not wait for it.
start() {
    local url=$1 tenths
    shift
    [ -z "$(pid_of "$NAME")" ] || stop "$NAME"
    setsid "$@" >>"$MESH/logs/$NAME.log" 2>&1 </dev/null 9>&- &
    echo $! >"$run/$NAME.pid"
    echo "$GENERATION" >"$run/$NAME.generation"
    cp "$run/$NAME.wanted_key" "$run/$NAME.started_key"
    for ((tenths = 0; tenths < READY_SECONDS * 10; tenths++)); do
        if curl -fsS -o /dev/null --max-time 2 "$url" 2>/dev/null; then return; fi
        [ -n "$(pid_of "$NAME")" ] || { tail -n 20 "$MESH/logs/$NAME.log" >&2; fail "$NAME ended at once"; }
        sleep 0.1
    done
    fail "$NAME does not answer $url after $READY_SECONDS s; see $MESH/logs/$NAME.log"
}

# Writes a file whole, and has a running process take it where that is enough.
configure() {
    local pid
    mkdir -p "$(dirname "$MESH/$FILE")"
    printf %s "$CONTENT" >"$MESH/$FILE.new"
    mv "$MESH/$FILE.new" "$MESH/$FILE"
    echo "$RESTART_KEY" >"$run/$NAME.wanted_key"
    pid=$(pid_of "$NAME")
    [ -n "$pid" ] || return 0
    if ! cmp -s "$run/$NAME.wanted_key" "$run/$NAME.started_key"; then
        echo "$NAME runs with its old configuration until it is restarted: scripts/roll-nats.sh"
    elif [ -n "$RELOAD" ]; then
        kill "-$RELOAD" "$pid"
    fi
}

# As the operator, whose certificate may do what an edge's may not. A meta leader is elected some
# seconds after the servers have found each other.
apply_streams() {
    local meridian pki=$MESH/pki/operators/operator give_up=$((SECONDS + STREAMS_SECONDS))
    meridian=$(program "$MERIDIAN_WANTED" MERIDIAN meridian "$top/target/release/meridian" "$top/target/debug/meridian")
    export MERIDIAN__NATS__TLS_CERTIFICATE=$pki/client.crt MERIDIAN__NATS__TLS_KEY=$pki/client.key
    while ((SECONDS < give_up)); do
        if timeout 90 "$meridian" streams apply --config "$MESH/edges/$NAME.toml" >"$MESH/logs/streams.log" 2>&1; then return; fi
        sleep 1
    done
    cat "$MESH/logs/streams.log" >&2
    fail "the streams cannot be made"
}

case ${1:-} in
    make-directory) mkdir -p "$run" "$MESH"/{logs,nats,edges,data,pki} ;;
    remove-directory)
        # Only what this made: a wrong MESH must not cost anybody a directory.
        rm -rf "$run" "$MESH"/{logs,nats,edges,data,pki}
        rmdir "$MESH" 2>/dev/null || true ;;
    configure) configure ;;
    start-nats)
        nats_server=$(program "$NATS_SERVER_WANTED" NATS_SERVER nats-server "$top/.tools/nats-server")
        start "http://$HEALTH/healthz?js-enabled-only=true" "$nats_server" -c "$MESH/nats/$NAME.conf" ;;
    start-edge)
        meridian=$(program "$MERIDIAN_WANTED" MERIDIAN meridian "$top/target/release/meridian" "$top/target/debug/meridian")
        start "http://$HEALTH/readyz" "$meridian" edge --config "$MESH/edges/$NAME.toml" ;;
    stop) stop "${NAME:?}" ;;
    stop-all) for file in "$run"/*.pid; do [ -e "$file" ] || continue; stop "$(basename "$file" .pid)" & done; wait ;;
    apply-streams) apply_streams ;;
    *) fail "usage: process.sh start-nats|start-edge|configure|apply-streams|stop|stop-all|make-directory|remove-directory" ;;
esac
