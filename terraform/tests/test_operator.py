"""The scripts of an operator of a mesh on AWS, against moto."""

import json
import pathlib
import subprocess
import tempfile
import unittest

from stand_ins import REGION, ROOT, Aws

CERTIFICATES = {
    "eu-n1/peer": ["peers-ca", "eu-n1", "both", ["10.20.2.10"]],
    "eu-n1/server": ["clients-ca", "eu-n1", "server", ["10.20.2.10"]],
    "edges/edge-eu/edge": ["clients-ca", "edge-eu", "client", []],
}


class OperatorTest(unittest.TestCase):
    def setUp(self):
        self.aws = Aws()
        self.addCleanup(self.aws.stop)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def script(self, name, outputs, *arguments, **more):
        environment = {**self.aws.environment(), "POLL_S": "0.1", **more}
        return subprocess.run(
            [str(ROOT / "scripts" / name), *arguments],
            input=json.dumps(outputs),
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def verify(self, values, certificate, authority, purpose):
        """openssl's word for a certificate and the purpose that it is for."""
        for name in (certificate, authority):
            (self.folder / name).write_text(values[name])
        command = ["openssl", "verify", "-purpose", purpose, "-CAfile", authority, certificate]
        return subprocess.run(command, cwd=self.folder, capture_output=True, check=False).returncode

    def test_every_secret_gets_certificates_that_its_authority_vouches_for(self):
        client = self.aws.client("secretsmanager")
        names = ["nats/n1", "edge/nats", "edge/tls"]
        arns = {name: client.create_secret(Name=f"{self.id()}/{name}")["ARN"] for name in names}
        keys = ["ca", "common_name", "usage", "names"]
        issued = {name: dict(zip(keys, values)) for name, values in CERTIFICATES.items()}
        outputs = {"certificates": {"value": issued}, "secrets": {"value": {"eu": arns}}}

        def values(name):
            return json.loads(client.get_secret_value(SecretId=arns[name])["SecretString"])

        done = self.script("put-secrets-aws.sh", outputs, str(self.folder))
        self.assertEqual(done.returncode, 0, done.stderr)
        nats, edge = values("nats/n1"), values("edge/nats")
        module = (ROOT / "terraform/modules/aws-nats/main.tf").read_text()
        self.assertTrue(all(f'"{name}"' in module for name in nats), "files that no server reads")
        self.assertEqual(len(nats), 6)
        self.assertEqual(set(edge), {"clients-ca.crt", "edge.crt", "edge.key"})
        self.assertEqual(self.verify(nats, "peer.crt", "peers-ca.crt", "sslserver"), 0)
        self.assertEqual(self.verify(nats, "server.crt", "clients-ca.crt", "sslserver"), 0)
        self.assertEqual(self.verify(edge, "edge.crt", "clients-ca.crt", "sslclient"), 0)
        # An edge cannot join as a server.
        both = {**nats, **edge}
        self.assertNotEqual(self.verify(both, "edge.crt", "peers-ca.crt", "sslclient"), 0)
        self.assertIn("edge/tls is yours to fill", done.stderr)
        self.assertEqual(list(self.folder.glob("value.json")), [])

        again = self.script("put-secrets-aws.sh", outputs, str(self.folder))
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(values("edge/nats"), edge)
        renewed = self.script("put-secrets-aws.sh", outputs, str(self.folder), RENEW="1")
        self.assertEqual(renewed.returncode, 0, renewed.stderr)
        self.assertNotEqual(values("edge/nats")["edge.crt"], edge["edge.crt"])
        self.assertEqual(values("edge/nats")["clients-ca.crt"], edge["clients-ca.crt"])

    def test_servers_roll_one_after_the_other_in_the_regions_that_were_named(self):
        nats = {
            region: {
                name: {"aws_region": REGION, "instance_id": f"i-{region}{name}", "address": "x"}
                for name in ["n1", "n2", "n3"]
            }
            for region in ["eu", "us"]
        }
        done = self.script("roll-nats-aws.sh", nats, "eu")
        self.assertEqual(done.returncode, 0, done.stderr)
        told = [line.split()[1] for line in done.stdout.splitlines()]
        self.assertEqual(told, ["eu-n1", "eu-n2", "eu-n3"])
        commands = self.aws.client("ssm").list_commands()["Commands"]
        machines = [one["InstanceIds"] for one in commands]
        self.assertEqual(machines, [["i-eun1"], ["i-eun2"], ["i-eun3"]])
        self.assertIn("/usr/local/bin/meridian-node roll", json.dumps(commands[0]["Parameters"]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
