#!/usr/bin/env bash
# Restarts the nats-servers of a mesh on loopback, one after the other, by lame duck: for a new
# nats-server, or for a configuration that cannot be reloaded. A server is left alone until the one
# before it serves again and JetStream has no replica behind.
#
#   MESH=terraform/local/.mesh scripts/roll-nats.sh [SERVER…]      all servers without names
#
# On machines of their own the same order holds: `systemctl stop nats-server` sends lame duck there
# (terraform/modules/mesh-config/templates/nats-server.service.tftpl), and docs/regions.md says how.
set -euo pipefail

readonly DEADLINE_SECONDS=${DEADLINE_SECONDS:-180}
MESH=$(cd "${MESH:?is the directory of a mesh: terraform output directory}" && pwd)
cd "$(dirname "$0")/../terraform/local"
export MESH

fail() { echo "roll-nats.sh: $*" >&2; exit 1; }

monitor_of() { sed -n 's/^http: "\(.*\)"$/\1/p' "$MESH/nats/$1.conf"; }

# What /healthz says with JetStream: every stream and consumer replica of the server is current.
is_healthy() {
    curl -fsS -o /dev/null --max-time 5 "http://$(monitor_of "$1")/healthz" 2>/dev/null
}

wait_healthy() {
    local give_up=$((SECONDS + DEADLINE_SECONDS))
    until is_healthy "$1"; do
        ((SECONDS < give_up)) || fail "$1 is not healthy after $DEADLINE_SECONDS s: stopped here," \
            "the others were left alone; look at $MESH/logs/$1.log"
        sleep 0.5
    done
}

all() { for file in "$MESH"/nats/*.conf; do basename "$file" .conf; done; }

roll() {
    local name=$1 pid generation give_up=$((SECONDS + DEADLINE_SECONDS))
    pid=$(cat "$MESH/run/$name.pid" 2>/dev/null) && kill -0 "$pid" 2>/dev/null ||
        fail "$name does not run: terraform apply starts it"
    # A change that the server would not start with must not cost a server.
    "$NATS_SERVER" -t -c "$MESH/nats/$name.conf" >/dev/null ||
        fail "$name: the new configuration is no good; nothing was stopped"
    echo "$name: lame duck"
    kill -USR2 "$pid"
    while kill -0 "$pid" 2>/dev/null; do
        ((SECONDS < give_up)) ||
            fail "$name (pid $pid) does not end after $DEADLINE_SECONDS s of lame duck"
        sleep 0.2
    done
    # The generation stays, so that terraform sees no change.
    generation=$(cat "$MESH/run/$name.generation")
    NAME=$name GENERATION=$generation HEALTH=$(monitor_of "$name") NATS_SERVER_WANTED=$NATS_SERVER \
        ./process.sh start-nats
    wait_healthy "$name"
    echo "$name: serves again"
}

NATS_SERVER=${NATS_SERVER:-$(command -v nats-server || echo "$PWD/../../.tools/nats-server")}
[ -x "$NATS_SERVER" ] || fail "no nats-server: set NATS_SERVER"
names=("$@")
[ ${#names[@]} -gt 0 ] || mapfile -t names < <(all)
# A mesh that is not well has nothing to spare.
for name in $(all); do wait_healthy "$name"; done
for name in "${names[@]}"; do
    [ -e "$MESH/nats/$name.conf" ] || fail "no server $name; there are: $(all | tr '\n' ' ')"
    roll "$name"
done
