"""node.py beside real edges and nats-servers; AWS is moto, instance metadata a stand-in.

What needs root and a disk, formatting and mounting, is not tested here.
"""

import datetime
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest
import urllib.request

from stand_ins import NODE, REGION, Aws, Metadata, Process, eventually, program

NATS = """
server_name: "{name}"
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{monitor}"
lame_duck_duration: "30s"
lame_duck_grace_period: "1s"
pid_file: "{pid}"
{more}
"""
EDGE = """
[edge]
id = "edge-1"
region = "eu"
[listen]
public = "127.0.0.1:0"
admin = "127.0.0.1:0"
[nats]
servers = ["nats://127.0.0.1:{port}"]
[log]
format = "json"
[drain]
window_ms = {window_ms}
[limits]
connections_max = 200
[[namespaces]]
name = "demo"
pattern = "demo.>"
publish = true
"""


class NodeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.aws = Aws()
        cls.addClassCleanup(cls.aws.stop)
        cls.bucket = cls.__name__.lower()
        s3 = cls.aws.client("s3")
        where = {"LocationConstraint": REGION}
        s3.create_bucket(Bucket=cls.bucket, CreateBucketConfiguration=where)
        s3.put_bucket_versioning(Bucket=cls.bucket, VersioningConfiguration={"Status": "Enabled"})

    def setUp(self):
        # moto's memory is one for the whole process.
        self.group = self.id().rsplit(".", 1)[1]
        self.aws.auto_scaling.actions.clear()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.metadata = Metadata(
            {
                "instance-id": "i-0123456789abcdef0",
                "local-ipv4": "10.20.1.4",
                "placement/availability-zone": "eu-central-1b",
                "autoscaling/target-lifecycle-state": "InService",
            }
        )
        self.addCleanup(self.metadata.stop)

    def put(self, key, content, path, mode="644"):
        """An object, as Terraform would name it."""
        put = self.aws.client("s3").put_object(Bucket=self.bucket, Key=key, Body=content)
        return {
            "key": key,
            "version": put["VersionId"],
            "sha256": hashlib.sha256(content).hexdigest(),
            "path": str(path),
            "mode": mode,
        }

    def secret(self, values=None):
        """A secret as Terraform makes it, without a value unless there is one."""
        name = f"{self.id()}-{os.urandom(4).hex()}"
        client = self.aws.client("secretsmanager")
        arn = client.create_secret(Name=name)["ARN"]
        if values:
            client.put_secret_value(SecretId=arn, SecretString=json.dumps(values))
        return arn

    def settings(self, **more):
        settings = {
            "role": "edge",
            "region": "eu",
            "aws_region": REGION,
            "bucket": self.bucket,
            "metrics_namespace": "Meridian",
            "imds": self.metadata.url,
            "boot_retry_s": 0.1,
            "files": [],
            "secrets": [],
            **more,
        }
        (self.folder / "node.json").write_text(json.dumps(settings))
        return settings

    def node(self, command):
        arguments = [sys.executable, str(NODE), command, "--settings"]
        settings = str(self.folder / "node.json")
        return Process(self, [*arguments, settings], self.aws.environment())

    def nats_server(self, more=""):
        """A real one on free ports, and its configuration."""
        path = self.folder / "nats.conf"
        free = {"name": "eu-n1", "port": -1, "monitor": -1, "pid": f"{path}.pid"}
        path.write_text(NATS.format(**free, more=more))
        server = Process(self, [program("nats-server", "NATS_SERVER"), "-c", str(path)])
        port = self.port(server.wait_for("Listening for client connections"))
        monitor = self.port(server.wait_for("Starting http monitor"))
        return server, port, monitor

    @staticmethod
    def port(line):
        return int(re.search(r"127\.0\.0\.1:(\d+)", line).group(1))

    def edge(self, nats_port, window_ms=500):
        """A real edge, and the settings of its agent."""
        path = self.folder / "edge.toml"
        path.write_text(EDGE.format(port=nats_port, window_ms=window_ms))
        command = [program("meridian", "MERIDIAN"), "edge", "--config", str(path)]
        edge = Process(self, command)
        fields = json.loads(edge.wait_for("edge listens"))
        fields = fields.get("fields", fields)
        pid = edge.child.pid
        wait = f"while kill -0 {pid} 2>/dev/null; do sleep 0.05; done"
        settings = {
            "group": self.group,
            "launch_hook": "launch",
            "drain_hook": "drain",
            "admin": f"http://{fields['admin']}",
            "connections_max": 200,
            "certificates": [],
            "stop": ["sh", "-c", f"kill -TERM {pid}; {wait}"],
            "poll_s": 0.1,
            "heartbeat_s": 0.1,
            "report_s": 0.1,
        }
        return edge, fields["public"], settings

    def client(self, public):
        url = f"ws://{public}/v1/ws"
        command = [program("meridian", "MERIDIAN"), "sub", "demo.>", "--url", url]
        return Process(self, command)

    def average(self, metric, statistic="Maximum"):
        now = datetime.datetime.now(datetime.timezone.utc)
        found = self.aws.client("cloudwatch").get_metric_statistics(
            Namespace="Meridian",
            MetricName=metric,
            Dimensions=[{"Name": "AutoScalingGroupName", "Value": self.group}],
            StartTime=now - datetime.timedelta(hours=1),
            EndTime=now + datetime.timedelta(minutes=5),
            Period=3600,
            Statistics=[statistic],
        )
        return max((point[statistic] for point in found["Datapoints"]), default=None)


class BootTest(NodeTest):
    def environment_file(self):
        lines = (self.folder / "edge.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def test_an_edge_gets_its_files_its_secrets_and_what_is_its_own(self):
        old = self.put("edge/edge.toml", b"old", self.folder / "edge.toml")
        self.put("edge/edge.toml", b"new", self.folder / "edge.toml")
        arn = self.secret({"edge.crt": "certificate", "edge.key": "key"})
        pki = {"arn": arn, "directory": str(self.folder / "pki"), "names": ["edge.crt", "edge.key"]}
        servers = [
            {"zone": f"eu-central-1{zone}", "url": f"tls://10.20.2.{host}:4222"}
            for zone, host in [("a", 10), ("b", 74), ("c", 138)]
        ]
        edge = {"environment_file": str(self.folder / "edge.env"), "servers": servers}
        edge["environment"] = {"MERIDIAN__TRACING__OTLP_ENDPOINT": "http://10.20.2.20:4317"}
        self.settings(files=[old], secrets=[pki], edge=edge)

        boot = self.node("boot")
        self.assertEqual(boot.code(), 0, boot.lines)
        # The version that was named, though there is a newer one: so a roll back finds its own.
        self.assertEqual((self.folder / "edge.toml").read_text(), "old")
        self.assertEqual((self.folder / "pki/edge.key").read_text(), "key")
        self.assertEqual((self.folder / "pki/edge.key").stat().st_mode & 0o777, 0o640)
        expected = {
            "MERIDIAN__EDGE__ID": "eu-10-20-1-4",
            "MERIDIAN__NATS__SERVERS": "tls://10.20.2.74:4222,tls://10.20.2.10:4222,"
            "tls://10.20.2.138:4222",
            "MERIDIAN__TRACING__OTLP_ENDPOINT": "http://10.20.2.20:4317",
        }
        self.assertEqual(self.environment_file(), expected)
        self.assertFalse(any("certificate" in line for line in boot.lines), "a secret was logged")

    def test_boot_waits_for_a_secret_that_has_no_value_yet(self):
        arn = self.secret()
        pki = {"arn": arn, "directory": str(self.folder / "pki"), "names": ["edge.crt"]}
        self.settings(secrets=[pki])
        boot = self.node("boot")
        boot.wait_for("secretsmanager")
        self.assertFalse(boot.is_ended())
        value = json.dumps({"edge.crt": "certificate"})
        self.aws.client("secretsmanager").put_secret_value(SecretId=arn, SecretString=value)
        self.assertEqual(boot.code(), 0, boot.lines)
        self.assertEqual((self.folder / "pki/edge.crt").read_text(), "certificate")

    def test_a_file_with_another_hash_is_never_put_in_place(self):
        file = self.put("bin/meridian", b"forged", self.folder / "meridian", "755")
        file["sha256"] = hashlib.sha256(b"built").hexdigest()
        self.settings(files=[file])
        boot = self.node("boot")
        boot.wait_for("its SHA-256 is")
        self.assertEqual(list(self.folder.glob("meridian*")), [])


class EdgeAgentTest(NodeTest):
    def test_an_edge_counts_when_it_is_ready_and_reports_its_connections(self):
        server, port, _ = self.nats_server()
        edge, public, settings = self.edge(port)
        self.settings(edge=settings)
        # Frozen, NATS answers no proof: the edge is not ready.
        server.child.send_signal(19)
        admin = settings["admin"]
        eventually("the edge is not ready", lambda: self.status(f"{admin}/readyz") == 503)
        agent = self.node("edge-agent")
        asked = self.metadata.asked
        eventually("the agent looks", lambda: self.metadata.asked > asked + 3)
        self.assertEqual(self.aws.auto_scaling.actions, [])
        self.assertIsNone(self.average("Connections"))

        server.child.send_signal(18)
        hook = self.aws.auto_scaling.named
        completed = eventually("the hook ends", lambda: hook("CompleteLifecycleAction"))[0]
        self.assertEqual(completed["LifecycleHookName"], "launch")
        self.assertEqual(completed["LifecycleActionResult"], "CONTINUE")
        self.assertEqual(completed["AutoScalingGroupName"], self.group)
        self.assertEqual(completed["InstanceId"], "i-0123456789abcdef0")
        clients = [self.client(public) for _ in range(2)]
        eventually("both clients are reported", lambda: self.average("Connections") == 2)
        # At the least its connections: 2 of 200 are 1 percent.
        utilization = eventually("it moves", lambda: self.average("Utilization"))
        self.assertGreaterEqual(utilization, 1)
        self.assertTrue(all(not client.is_ended() for client in clients))
        self.assertFalse(edge.is_ended() or agent.is_ended())

    @staticmethod
    def status(url):
        command = ["curl", "-s", "-o", os.devnull, "-w", "%{http_code}", url]
        return int(subprocess.run(command, capture_output=True, text=True, check=False).stdout)

    def test_a_machine_that_is_to_end_drains_first_and_sends_heartbeats(self):
        _, port, _ = self.nats_server()
        edge, public, settings = self.edge(port, window_ms=8000)
        self.settings(edge=settings)
        # A client of plain WebSockets that does not leave by itself keeps the drain going.
        lingering = self.lingering(public)
        agent = self.node("edge-agent")
        hook = self.aws.auto_scaling.named
        eventually("it is in service", lambda: hook("CompleteLifecycleAction"))
        self.aws.auto_scaling.is_ended = edge.is_ended
        self.metadata.values["autoscaling/target-lifecycle-state"] = "Terminated"

        self.assertEqual(agent.code(), 0, agent.lines)
        self.assertTrue(edge.is_ended())
        self.assertEqual(edge.child.returncode, 0, "it was drained, not killed")
        lingering.wait_for("goaway")
        beats = hook("RecordLifecycleActionHeartbeat")
        self.assertGreaterEqual(len(beats), 2)
        self.assertTrue(all(beat["LifecycleHookName"] == "drain" for beat in beats))
        completed = hook("CompleteLifecycleAction")
        self.assertEqual([one["LifecycleHookName"] for one in completed], ["launch", "drain"])
        self.assertTrue(completed[1]["is_ended"], "the machine may end when the edge has")

    def lingering(self, public):
        """Subscribes by a streamed response, and reads on whatever it is told."""
        body = '{"id":1,"connect":{}}'
        url = f"http://{public}/v1/stream"
        command = f"curl -sN --data {shlex.quote(body)} {shlex.quote(url)}"
        client = Process(self, ["sh", "-c", command])
        client.wait_for("connect")
        return client

    def test_metadata_that_fails_ends_nothing(self):
        _, port, _ = self.nats_server()
        edge, public, settings = self.edge(port)
        self.settings(edge=settings)
        agent = self.node("edge-agent")
        hook = self.aws.auto_scaling.named
        eventually("it is in service", lambda: hook("CompleteLifecycleAction"))
        self.metadata.broken = True
        agent.wait_for("instance metadata: 500")
        # Its token is no good any more, as after six hours.
        self.metadata.tokens += 1
        self.metadata.broken = False
        asked = self.metadata.asked
        eventually("it asks on", lambda: self.metadata.asked > asked + 5)
        self.assertFalse(edge.is_ended() or agent.is_ended())
        client = self.client(public)
        eventually("clients are served", lambda: (self.average("Connections") or 0) >= 1)
        self.assertFalse(client.is_ended())

    def test_completing_is_tried_again(self):
        _, port, _ = self.nats_server()
        _, _, settings = self.edge(port)
        self.settings(edge=settings)
        self.aws.auto_scaling.refusals = 2
        agent = self.node("edge-agent")
        hook = self.aws.auto_scaling.named
        eventually("the hook ends", lambda: hook("CompleteLifecycleAction"))
        self.assertIsNotNone(agent.said('"attempt": 1'), agent.lines)


class NatsTest(NodeTest):
    def test_a_server_rolls_by_lame_duck_and_comes_back_with_what_is_new(self):
        server, port, monitor = self.nats_server()
        binary, conf = program("nats-server", "NATS_SERVER"), self.folder / "nats-server.conf"
        pid = self.folder / "pid"
        fixed = {"name": "eu-n1", "port": port, "monitor": monitor, "pid": pid}
        conf.write_text(NATS.format(**fixed, more=""))
        server.end()
        # systemd's part: started again whenever it ends.
        again = f"while :; do {shlex.quote(binary)} -c {shlex.quote(str(conf))}; done"
        keeper = Process(self, ["setsid", "sh", "-c", again])
        self.addCleanup(lambda: os.killpg(keeper.child.pid, 9))
        keeper.wait_for("Server is ready")

        new = NATS.format(**fixed, more="max_payload: 2MB").encode()
        manifest = json.dumps({"files": [self.put("nats/n1/nats-server.conf", new, conf)]})
        self.put("nats/n1/manifest.json", manifest.encode(), "")
        duck = f"kill -USR2 $(cat {shlex.quote(str(pid))})"
        nats = {
            "name": "eu-n1",
            "monitor": f"http://127.0.0.1:{monitor}",
            "binary": binary,
            "configuration": str(conf),
            "lame_duck": ["sh", "-c", duck],
            "mount": str(self.folder),
            "volume": "vol-0",
            "poll_s": 0.1,
        }
        # The folder stands for the mounted disk.
        mounted = "import os, runpy, sys; os.path.ismount = lambda _: True; "
        run = f"sys.argv[0] = {str(NODE)!r}; runpy.run_path({str(NODE)!r}, run_name='__main__')"
        settings = self.settings(
            manifest="nats/n1/manifest.json", state_directory=str(self.folder / "state"), nats=nats
        )
        self.assertNotIn("edge", settings)
        command = [sys.executable, "-c", mounted + run, "roll"]
        arguments = ["--settings", str(self.folder / "node.json")]
        roll = Process(self, [*command, *arguments], self.aws.environment())
        self.assertEqual(roll.code(), 0, roll.lines)
        self.assertIsNotNone(roll.said("rolled"))
        self.assertIsNotNone(keeper.said("Entering lame duck mode"))
        with urllib.request.urlopen(f"http://127.0.0.1:{monitor}/varz") as varz:
            self.assertEqual(json.load(varz)["max_payload"], 2 * 1024 * 1024)

    def test_a_configuration_that_is_wrong_is_not_rolled_out(self):
        server, _, monitor = self.nats_server()
        conf = self.folder / "nats-server.conf"
        file = self.put("nats/n2/nats-server.conf", b"no_such_key: 1\n", conf)
        self.put("nats/n2/manifest.json", json.dumps({"files": [file]}).encode(), "")
        nats = {
            "name": "eu-n2",
            "monitor": f"http://127.0.0.1:{monitor}",
            "binary": program("nats-server", "NATS_SERVER"),
            "configuration": str(conf),
            "lame_duck": ["kill", "-USR2", str(server.child.pid)],
            "mount": "/",
            "volume": "vol-0",
        }
        state = str(self.folder / "state")
        self.settings(manifest="nats/n2/manifest.json", state_directory=state, nats=nats)
        roll = self.node("roll")
        self.assertEqual(roll.code(), 1)
        self.assertIsNotNone(roll.said("gave up"))
        self.assertIsNone(server.said("lame duck"))
        self.assertFalse(server.is_ended())


if __name__ == "__main__":
    unittest.main(verbosity=2)
