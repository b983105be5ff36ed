#!/usr/bin/python3
"""What a machine of the mesh does beside its edge or nats-server: gets its binary, configuration
and secrets, reports to CloudWatch, and lets an edge drain before its Auto Scaling group ends it.

Runs with the Python of the machine image (3.9 or newer) and the AWS command line; no packages.
Every wait has a bound, and whoever fails exits: systemd starts it again.
"""

import argparse
import glob
import hashlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

SETTINGS = "/etc/meridian/node.json"
# The group gives up on a machine after its hook's heartbeat_timeout: 5 heartbeats may be lost.
HEARTBEAT_S = 60
# A machine that is to end is told within this time.
POLL_S = 5
# One value a minute: what target tracking reads.
REPORT_S = 60
# An EBS volume is attached after the machine has started.
VOLUME_WAIT_S = 600
# A nats-server in lame duck mode sheds its clients for 2 minutes; JetStream then has to catch up.
ROLL_WAIT_S = 900
REQUEST_TIMEOUT_S = 5
AWS_TIMEOUT_S = 60
# How often boot tries anew: until the operator has put a value into each secret, for example. The
# group gives up on an edge earlier, by its launch hook.
BOOT_RETRY_S = 15
BOOT_WAIT_S = 6 * 3600
# Completing a hook is repeated: without it the machine stays until the hook's own timeout.
COMPLETE_ATTEMPTS = 10


class Failure(Exception):
    """What went wrong, and with what."""


def say(**fields):
    """One line of JSON to the journal. Never a secret."""
    print(json.dumps(fields), flush=True)


def run(command, timeout=AWS_TIMEOUT_S, name=None):
    """The standard output of a command that has to succeed."""
    name = name or command[0]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(f"{name}: {error}") from error
    if done.returncode != 0:
        raise Failure(f"{name}: {done.stderr.strip()[-500:]}")
    return done.stdout


def aws(settings, *arguments):
    command = ["aws", "--region", settings["aws_region"], "--output", "text", *arguments]
    return run(command, name=f"{arguments[0]} {arguments[1]}")


def get(url, headers=None, method="GET"):
    """Status and body; no proxy, since everything asked is on this machine."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers=headers or {}, method=method)
    try:
        with opener.open(request, timeout=REQUEST_TIMEOUT_S) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (OSError, ValueError) as error:
        raise Failure(f"{url}: {error}") from error


class Metadata:
    """The machine's instance metadata, version 2: a token first."""

    def __init__(self, settings):
        self.base = settings.get("imds", "http://169.254.169.254")
        self.token = None

    def read(self, path):
        """The value, or None where there is none, such as outside a group."""
        for _ in range(2):
            if self.token is None:
                headers = {"X-aws-ec2-metadata-token-ttl-seconds": "21600"}
                status, token = get(f"{self.base}/latest/api/token", headers, "PUT")
                if status != 200:
                    raise Failure(f"instance metadata gave no token: {status}")
                self.token = token
            headers = {"X-aws-ec2-metadata-token": self.token}
            status, body = get(f"{self.base}/latest/meta-data/{path}", headers)
            if status == 200:
                return body.strip()
            if status == 404:
                return None
            # The token has ended, so ask for another once.
            self.token = None
        raise Failure(f"instance metadata: {status} for {path}")


def write(path, content, mode, owner=None):
    """Replaces a file in one step. Says whether anything changed."""
    if os.path.exists(path):
        with open(path, "rb") as old:
            if old.read() == content:
                return False
    os.makedirs(os.path.dirname(path), exist_ok=True)
    partial = f"{path}.partial"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as new:
        new.write(content)
    if owner and os.geteuid() == 0:
        shutil.chown(partial, "root", owner)
    os.chmod(partial, mode)
    os.replace(partial, path)
    return True


def fetch(settings, file):
    """A file from the bucket, by its hash: a wrong one is never put in place."""
    path, partial = file["path"], file["path"] + ".fetched"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path) and digest(path) == file["sha256"]:
        return False
    get_object(settings, file["key"], partial, file["version"])
    found = digest(partial)
    if found != file["sha256"]:
        os.unlink(partial)
        raise Failure(f"{file['key']}: its SHA-256 is {found}, not {file['sha256']}")
    os.chmod(partial, int(file["mode"], 8))
    os.replace(partial, path)
    say(event="fetched", key=file["key"], path=path)
    return True


def get_object(settings, key, path, version=None):
    """A version that is named stays what it is, also for a machine that is rolled back to it."""
    which = ["--bucket", settings["bucket"], "--key", key]
    if version:
        which += ["--version-id", version]
    aws(settings, "s3api", "get-object", *which, path)


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def files(settings):
    """What has to be there: named in the settings, or in the bucket for machines that live on."""
    if "manifest" not in settings:
        return settings["files"]
    place = os.path.join(settings["state_directory"], "manifest.json")
    os.makedirs(settings["state_directory"], exist_ok=True)
    get_object(settings, settings["manifest"], place)
    with open(place, encoding="utf-8") as manifest:
        return json.load(manifest)["files"]


def secrets(settings):
    """Writes each secret's files. Says whether any changed."""
    changed = False
    for secret in settings["secrets"]:
        query = ["--secret-id", secret["arn"], "--query", "SecretString"]
        text = aws(settings, "secretsmanager", "get-secret-value", *query)
        values = json.loads(text)
        missing = [name for name in secret["names"] if not values.get(name)]
        if missing:
            raise Failure(f"{secret['arn']}: has no {', '.join(missing)}")
        for name in secret["names"]:
            path = os.path.join(secret["directory"], name)
            content = values[name].encode()
            if write(path, content, 0o640, secret.get("owner")):
                changed = True
                say(event="secret written", path=path)
    return changed


def mount(nats):
    """The data volume: formatted once, when it is blank, and never again."""
    volume, place = nats["volume"], nats["mount"]
    if os.path.ismount(place):
        return
    link = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_" + volume.replace("-", "")
    deadline = time.monotonic() + VOLUME_WAIT_S
    while not os.path.exists(link):
        if time.monotonic() > deadline:
            raise Failure(f"{volume} is not attached")
        time.sleep(POLL_S)
    probe = subprocess.run(["blkid", "-p", link], capture_output=True, timeout=AWS_TIMEOUT_S)
    # 2 means that nothing is on it; anything else that fails must not lead to formatting.
    if probe.returncode == 2:
        run(["mkfs.xfs", link])
    elif probe.returncode != 0:
        raise Failure(f"blkid {link}: exit code {probe.returncode}")
    os.makedirs(place, exist_ok=True)
    run(["mount", "-o", "noatime", link, place])
    shutil.chown(place, "nats", "nats")
    say(event="mounted", volume=volume, place=place)


def boot(settings):
    """Everything that has to be there before the edge or nats-server starts."""
    if "nats" in settings:
        mount(settings["nats"])
    for file in files(settings):
        fetch(settings, file)
    secrets(settings)
    if "edge" in settings:
        content = "".join(f"{key}={value}\n" for key, value in environment(settings).items())
        write(settings["edge"]["environment_file"], content.encode(), 0o640)
    say(event="booted")


def patient_boot(settings):
    """For the start of the machine. Units that require it must not see it fail and start again."""
    deadline = time.monotonic() + BOOT_WAIT_S
    while True:
        try:
            return boot(settings)
        except Failure as error:
            if time.monotonic() > deadline:
                raise
            say(event="failed", error=str(error))
            time.sleep(settings.get("boot_retry_s", BOOT_RETRY_S))


def environment(settings):
    """What differs from edge to edge of a group: its id, and the server of its own zone first."""
    metadata, edge = Metadata(settings), settings["edge"]
    address = metadata.read("local-ipv4")
    zone = metadata.read("placement/availability-zone")
    if not address:
        raise Failure("instance metadata has no local-ipv4")
    servers = sorted(edge["servers"], key=lambda server: server["zone"] != zone)
    return {
        "MERIDIAN__EDGE__ID": f"{settings['region']}-{address.replace('.', '-')}",
        "MERIDIAN__NATS__SERVERS": ",".join(server["url"] for server in servers),
        **edge.get("environment", {}),
    }


def put_metrics(settings, dimensions, values):
    data = [
        {
            "MetricName": name,
            "Value": value,
            "Unit": unit,
            "Dimensions": [{"Name": key, "Value": text} for key, text in dimensions.items()],
        }
        for name, (value, unit) in values.items()
    ]
    namespace = settings["metrics_namespace"]
    arguments = ["--namespace", namespace, "--metric-data", json.dumps(data)]
    aws(settings, "cloudwatch", "put-metric-data", *arguments)


def certificate_days(paths):
    """Days until the first of these certificates ends."""
    ends = []
    for path in paths:
        text = run(["openssl", "x509", "-in", path, "-noout", "-enddate"])
        ends.append(ssl.cert_time_to_seconds(text.strip().split("=", 1)[1]))
    return (min(ends) - time.time()) / 86400 if ends else None


class EdgeAgent:
    """Stands beside one edge from its start to the end of its machine."""

    def __init__(self, settings):
        self.settings, self.edge = settings, settings["edge"]
        self.metadata = Metadata(settings)
        self.instance = None
        self.in_service = False
        self.report_at = 0.0

    def run(self):
        while True:
            try:
                if self.step():
                    return
            except Failure as error:
                # An answer that did not come must not end clients' connections.
                say(event="failed", error=str(error))
            time.sleep(self.edge.get("poll_s", POLL_S))

    def step(self):
        """Says whether the machine's work is done."""
        if self.instance is None:
            self.instance = self.metadata.read("instance-id")
        if self.metadata.read("autoscaling/target-lifecycle-state") == "Terminated":
            self.drain()
            return True
        if not self.in_service and self.is_ready():
            self.complete(self.edge["launch_hook"])
            self.in_service = True
        if self.in_service and time.monotonic() >= self.report_at:
            self.report_at = time.monotonic() + self.edge.get("report_s", REPORT_S)
            self.report()
        return False

    def is_ready(self):
        return get(f"{self.edge['admin']}/readyz")[0] == 200

    def report(self):
        """Averaged over the group, so no dimension for the machine: custom metrics cost."""
        status, text = get(f"{self.edge['admin']}/stats")
        if status != 200:
            raise Failure(f"/stats: {status}")
        connections = json.loads(text)["numbers"]["connections"]
        values = {
            "Connections": (connections, "Count"),
            "Utilization": (100 * self.utilization(connections), "Percent"),
        }
        days = certificate_days(self.edge["certificates"])
        if days is not None:
            values["CertificateDays"] = (days, "None")
        dimensions = {"AutoScalingGroupName": self.edge["group"]}
        put_metrics(self.settings, dimensions, values)

    def utilization(self, connections):
        """What the edge says of itself, the worst of its resources; else its connections."""
        status, text = get(f"{self.edge['admin']}/metrics")
        for line in text.splitlines() if status == 200 else []:
            name, _, value = line.rpartition(" ")
            if name.split("{")[0] == "meridian_edge_utilization_ratio":
                return float(value)
        return connections / self.edge["connections_max"]

    def drain(self):
        """Stops the edge, which lets its clients go, and then the group may end the machine."""
        say(event="draining")
        stopping = subprocess.Popen(self.edge["stop"])
        heartbeat_s = self.edge.get("heartbeat_s", HEARTBEAT_S)
        while True:
            try:
                code = stopping.wait(timeout=heartbeat_s)
                break
            except subprocess.TimeoutExpired:
                try:
                    self.lifecycle("record-lifecycle-action-heartbeat", self.edge["drain_hook"])
                except Failure as error:
                    say(event="failed", error=str(error))
        say(event="drained", code=code)
        self.complete(self.edge["drain_hook"])

    def complete(self, hook):
        result = ["--lifecycle-action-result", "CONTINUE"]
        for attempt in range(COMPLETE_ATTEMPTS):
            try:
                self.lifecycle("complete-lifecycle-action", hook, *result)
                say(event="completed", hook=hook)
                return
            except Failure as error:
                # It was completed before, by an agent that was restarted since.
                if "No active Lifecycle Action" in str(error):
                    return
                say(event="failed", error=str(error), attempt=attempt)
                time.sleep(self.edge.get("poll_s", POLL_S))
        raise Failure(f"{hook}: could not be completed")

    def lifecycle(self, action, hook, *more):
        group = ["--auto-scaling-group-name", self.edge["group"]]
        which = ["--lifecycle-hook-name", hook, "--instance-id", self.instance]
        aws(self.settings, "autoscaling", action, *group, *which, *more)


def nats_report(settings):
    """Health, room and gateways of this nats-server. A server that does not answer is not well."""
    nats = settings["nats"]
    usage = shutil.disk_usage(nats["mount"])
    values = {"StoreUsed": (100 * usage.used / usage.total, "Percent")}
    try:
        values["Healthy"] = (int(get(f"{nats['monitor']}/healthz")[0] == 200), "Count")
        gateways = json.loads(get(f"{nats['monitor']}/gatewayz")[1])
        values["Gateways"] = (len(gateways.get("outbound_gateways") or {}), "Count")
    except Failure as error:
        say(event="failed", error=str(error))
        values.update({"Healthy": (0, "Count"), "Gateways": (0, "Count")})
    days = certificate_days(nats["certificates"])
    if days is not None:
        values["CertificateDays"] = (days, "None")
    put_metrics(settings, {"Server": nats["name"]}, values)


def nats_agent(settings):
    while True:
        try:
            nats_report(settings)
        except Failure as error:
            say(event="failed", error=str(error))
        time.sleep(REPORT_S)


def roll(settings):
    """Takes up the binary, configuration and secrets of now: lame duck mode, start, healthy."""
    nats = settings["nats"]
    boot(settings)
    run([nats["binary"], "-t", "-c", nats["configuration"]])
    before = nats_identity(nats)
    run(nats["lame_duck"])
    deadline = time.monotonic() + ROLL_WAIT_S
    while time.monotonic() < deadline:
        try:
            if nats_identity(nats) != before and get(f"{nats['monitor']}/healthz")[0] == 200:
                say(event="rolled", name=nats["name"])
                return
        except Failure:
            # Between its end and its next start nobody answers.
            pass
        time.sleep(nats.get("poll_s", POLL_S))
    raise Failure(f"{nats['name']} is not healthy {ROLL_WAIT_S} s after lame duck mode")


def nats_identity(nats):
    """Differs from one start of the server to the next."""
    return json.loads(get(f"{nats['monitor']}/varz")[1])["server_id"]


def refresh(settings):
    """New certificates in place. An edge looks at its files itself; a nats-server is told."""
    if secrets(settings) and "nats" in settings:
        run(settings["nats"]["reload"])


COMMANDS = {
    "boot": patient_boot,
    "refresh": refresh,
    "edge-agent": lambda settings: EdgeAgent(settings).run(),
    "nats-agent": nats_agent,
    "roll": roll,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=sorted(COMMANDS))
    parser.add_argument("--settings", default=SETTINGS)
    arguments = parser.parse_args()
    with open(arguments.settings, encoding="utf-8") as file:
        settings = json.load(file)
    try:
        COMMANDS[arguments.command](settings)
    except Failure as error:
        say(event="gave up", error=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
