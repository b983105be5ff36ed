#!/usr/bin/env python3
"""terraform/aws against moto's server on loopback: create, plan, destroy.

It proves that every call to AWS has the right shape and every reference leads somewhere. It proves
nothing about quotas, permissions, health checks or scaling, which moto does not have. Nothing is
updated: moto cannot refresh instances of a group, and the provider would wait for it for ever.

scripts/terraform-aws-moto.sh calls it.
"""

import base64
import gzip
import json
import logging
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import boto3
import yaml
from moto.server import ThreadedMotoServer
from stand_ins import NODE, Metadata, program

HERE = pathlib.Path(__file__).resolve().parent
TERRAFORM = HERE.parent
LIMITS_S = {"init": 120, "apply": 600, "plan": 180, "show": 120, "output": 60, "destroy": 400}

# What moto forgets, so that it shows as a change for ever: attributes by type, and nothing else.
# Each is looked at by `terraform test` instead.
FORGOTTEN = {
    "aws_autoscaling_group": {"default_instance_warmup"},
    "aws_autoscaling_policy": {"enabled", "predictive_scaling_configuration"},
    "aws_cloudfront_distribution": {"default_cache_behavior", "origin", "viewer_certificate"},
    "aws_instance": {"vpc_security_group_ids"},
    "aws_launch_template": {"tag_specifications"},
    # One object with one set of tags there, on AWS one in each region.
    "aws_vpc_peering_connection": {"tags", "tags_all"},
    "aws_vpc_peering_connection_accepter": {"tags", "tags_all"},
    "aws_vpc_security_group_egress_rule": {"description"},
    "aws_vpc_security_group_ingress_rule": {"description"},
}
# What follows from a change of the above: numbers and documents that are known after it only.
FOLLOWING = {
    "aws_autoscaling_group": {"capacity_reservation_specification", "launch_template"},
    "aws_launch_template": {"latest_version", "default_version"},
    "aws_s3_bucket_policy": {"policy"},
}

REGIONS = {
    "eu": ("eu-central-1", "10.20.0.0/16"),
    "us": ("us-east-1", "10.21.0.0/16"),
    "ap": ("ap-northeast-1", "10.22.0.0/16"),
}


def say(text):
    print(f"terraform-aws-moto: {text}", flush=True)


def terraform(root, environment, *arguments, capture=False):
    """In a process group of its own, so that its providers end with it."""
    step = arguments[0]
    began = time.monotonic()
    process = subprocess.Popen(
        ["terraform", *arguments],
        cwd=root,
        env=environment,
        text=True,
        stdout=subprocess.PIPE if capture else None,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=LIMITS_S[step])
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        raise
    say(f"{step}: code {process.returncode} after {time.monotonic() - began:.0f} s")
    if process.returncode != 0:
        print(output or "")
        sys.exit(f"terraform {step} failed")
    return output


def inputs(zone_id, endpoint):
    def zones(aws_region):
        ec2 = boto3.client("ec2", region_name=aws_region, endpoint_url=endpoint)
        found = ec2.describe_availability_zones()["AvailabilityZones"]
        return sorted(zone["ZoneName"] for zone in found)[:3]

    return {
        "domain": "edge.example.com",
        "assets_domain": "cdn.example.com",
        "assets_folders": {"sdk": str(TERRAFORM / "modules/aws-assets/tests/files")},
        "zone_id": zone_id,
        # What is in the files does not matter to AWS.
        "binaries": {"meridian": "main.tf", "nats_server": "outputs.tf"},
        "regions": {
            name: {"aws_region": aws_region, "vpc_cidr": cidr, "zones": zones(aws_region)}
            for name, (aws_region, cidr) in REGIONS.items()
        },
        "auth": {
            "issuers": [
                {
                    "issuer": "https://id.example.com",
                    "audience": "meridian",
                    "algorithm": "HS256",
                    "key_file": "/etc/meridian/auth/key",
                }
            ]
        },
        "namespaces": [
            {"name": "prices", "pattern": "prices.*", "slow_client": "conflate"},
            {
                "name": "orders",
                "pattern": "orders.>",
                "class": "durable",
                "publish": True,
                "stream": {"home": "eu", "replicas": 3, "max_age_s": 86400},
            },
        ],
        "services": {"orders": {"publish": ["orders.>"], "subscribe": ["orders.>"]}},
        "deletion_protection": False,
        "secret_recovery_days": 0,
    }


def override(tree):
    """What moto cannot do is switched off in the copy; files of this name merge into the others."""
    # Buckets have no host names on loopback.
    (tree / "aws/moto_override.tf").write_text(
        "\n".join(
            f'provider "aws" {{\n  alias = "{alias}"\n  s3_use_path_style = true\n}}\n'
            for alias in [*REGIONS, "global"]
        )
    )
    # MonitorInstances is not there.
    for module, name in {"aws-nats": "this", "aws-observability": "collector"}.items():
        block = f'resource "aws_instance" "{name}" {{\n  monitoring = false\n}}\n'
        (tree / "modules" / module / "moto_override.tf").write_text(block)
    # It takes no notice of a condition, and would refuse everything that comes without TLS.
    (tree / "modules/aws-assets/moto_override.tf").write_text(
        'data "aws_iam_policy_document" "read" {\n  statement {\n'
        '    actions = ["s3:GetObject"]\n    resources = ["${module.bucket.arn}/*"]\n'
        '    principals {\n      type = "Service"\n'
        '      identifiers = ["cloudfront.amazonaws.com"]\n    }\n'
        '    condition {\n      test = "StringEquals"\n      variable = "AWS:SourceArn"\n'
        "      values = [aws_cloudfront_distribution.this.arn]\n    }\n  }\n}\n"
    )


def holds_true(value):
    """Whether anything in it is unknown: Terraform marks nested values one by one."""
    if isinstance(value, dict):
        return any(map(holds_true, value.values()))
    if isinstance(value, list):
        return any(map(holds_true, value))
    return value is True


def changes(plan):
    """What of a plan is not known to be moto's forgetting, a line each, and how much is."""
    unexpected, known = [], 0
    for change in plan.get("resource_changes", []):
        actions = change["change"]["actions"]
        if actions in (["no-op"], ["read"]):
            continue
        if actions != ["update"]:
            unexpected.append(f"{change['address']}: {actions}")
            continue
        before, after = change["change"]["before"], change["change"]["after"]
        unknown = change["change"].get("after_unknown", {})
        names = {name for name in {*before, *after} if before.get(name) != after.get(name)}
        names |= {name for name, value in unknown.items() if holds_true(value)}
        kind = change["type"]
        allowed = FORGOTTEN.get(kind, set()) | FOLLOWING.get(kind, set())
        known += 1
        for name in sorted(names - allowed):
            unexpected.append(f"{change['address']}: {name}")
        if not names & FORGOTTEN.get(kind, set()) and names - FOLLOWING.get(kind, set()):
            unexpected.append(f"{change['address']}: changes for no known reason")
    return unexpected, known


def secret(client, arn):
    return json.loads(client.get_secret_value(SecretId=arn)["SecretString"])


def edge_machine(region, arns, options, environment, place):
    """An edge's machine starts: node.py with the settings that are in its launch template."""
    secrets = boto3.client("secretsmanager", **options)
    # The public certificate is not ours to issue; any pair will do to be read.
    pair = secret(secrets, arns["edge/nats"])
    public = {"tls.crt": pair["edge.crt"], "tls.key": pair["edge.key"]}
    secrets.put_secret_value(SecretId=arns["edge/tls"], SecretString=json.dumps(public))
    found = boto3.client("ec2", **options).describe_launch_template_versions(
        LaunchTemplateName=f"meridian-{region}-edge", Versions=["$Latest"]
    )
    data = found["LaunchTemplateVersions"][0]["LaunchTemplateData"]["UserData"]
    files = yaml.safe_load(base64.b64decode(data))["write_files"]
    packed = next(file["content"] for file in files if file["path"] == "/etc/meridian/node.json")
    text = gzip.decompress(base64.b64decode(packed)).decode()
    # The same files, where a test may write.
    text = text.replace("/etc/meridian", str(place)).replace("/usr/local/bin", str(place / "bin"))
    metadata = Metadata({"local-ipv4": "10.20.1.4", "placement/availability-zone": "elsewhere"})
    settings = {**json.loads(text), "imds": metadata.url}
    (place / "node.json").write_text(json.dumps(settings))
    command = [sys.executable, str(NODE), "boot", "--settings", str(place / "node.json")]
    quiet = {"stdout": subprocess.DEVNULL, "timeout": 120, "check": False}
    boot = subprocess.run(command, env=environment, **quiet)
    metadata.stop()
    if boot.returncode != 0:
        return "node.py boot failed"
    (place / "auth").mkdir()
    (place / "auth/key").write_text("0123456789abcdef0123456789abcdef")
    toml = (place / "edge.toml").read_text().replace("/etc/meridian", str(place))
    (place / "configuration").write_text(toml)
    lines = (place / "edge.env").read_text().splitlines()
    own = dict(line.split("=", 1) for line in lines)
    edge = program("meridian", "MERIDIAN")
    command = [edge, "config", "check", "--config", str(place / "configuration")]
    return judge(command, {**os.environ, **own})


def nats_machine(name, arns, options, bucket, place):
    """What a nats-server's machine fetches, and what nats-server says to it."""
    values = secret(boto3.client("secretsmanager", **options), arns[f"nats/{name}"])
    for file, text in values.items():
        (place / file).write_text(text)
    key = f"nats/{name}/nats-server.conf"
    body = boto3.client("s3", **options).get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    body = body.replace("/etc/nats/pki", str(place)).replace("/var/lib/nats", str(place / "store"))
    (place / "configuration").write_text(body)
    server = program("nats-server", "NATS_SERVER")
    return judge([server, "-t", "-c", str(place / "configuration")], os.environ)


def judge(command, environment):
    """Nothing, or what is wrong with it."""
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return None if done.returncode == 0 else f"{done.stdout}{done.stderr}"


def machines(root, environment, endpoint, work):
    """What machines would fetch, as nats-server and edge judge it."""
    outputs = json.loads(terraform(root, environment, "output", "-json", capture=True))
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**environment, "PATH": path}
    put = subprocess.run(
        [str(TERRAFORM.parent / "scripts/put-secrets-aws.sh"), str(work / "authority")],
        input=json.dumps(outputs),
        text=True,
        env=environment,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    if put.returncode != 0:
        return ["put-secrets-aws.sh failed"]
    wrong, judged = [], 0
    for region, (aws_region, _) in REGIONS.items():
        options = {"region_name": aws_region, "endpoint_url": endpoint}
        arns = outputs["secrets"]["value"][region]
        for name in ["n1", "n2", "n3", "edge"]:
            place = work / region / name
            place.mkdir(parents=True)
            if name == "edge":
                found = edge_machine(region, arns, options, environment, place)
            else:
                bucket = f"meridian-{region}-machines-123456789012"
                found = nats_machine(name, arns, options, bucket, place)
            judged += 1
            if found:
                wrong.append(f"{region} {name}: {found}")
    say(f"{judged} machines read what is theirs, {len(wrong)} refused it")
    return wrong


def main():
    began = time.monotonic()
    # Ends by an exception, so that terraform is ended too, also where a shell has these ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    os.environ.update(
        AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_EC2_METADATA_DISABLED="true"
    )
    route53 = boto3.client("route53", region_name="us-east-1", endpoint_url=endpoint)
    zone = route53.create_hosted_zone(Name="example.com", CallerReference="test")
    zone_id = zone["HostedZone"]["Id"].rsplit("/", 1)[1]

    with tempfile.TemporaryDirectory() as work:
        tree = pathlib.Path(work) / "terraform"
        made = shutil.ignore_patterns(".terraform", ".terraform.lock.hcl", "*.tfstate*", ".mesh")
        shutil.copytree(TERRAFORM, tree, ignore=made)
        root = tree / "aws"
        override(tree)
        variables = json.dumps(inputs(zone_id, endpoint))
        (root / "moto.auto.tfvars.json").write_text(variables)
        environment = {**os.environ, "AWS_ENDPOINT_URL": endpoint, "TF_IN_AUTOMATION": "1"}
        plugins = os.environ.get("TERRAFORM_PLUGIN_DIR")
        options = [f"-plugin-dir={plugins}"] if plugins else []
        terraform(root, environment, "init", "-no-color", "-input=false", *options, capture=True)
        quiet = ["-no-color", "-input=false"]
        many = [*quiet, "-auto-approve", "-parallelism=20"]
        log = terraform(root, environment, "apply", *many, capture=True)
        say(next(line for line in log.splitlines() if line.startswith("Apply complete")))
        terraform(root, environment, "plan", *quiet, "-out=again", capture=True)
        plan = json.loads(terraform(root, environment, "show", "-json", "again", capture=True))
        unexpected, known = changes(plan)
        say(f"second plan: {known} resources change as moto is known to forget")
        unexpected += machines(root, environment, endpoint, pathlib.Path(work) / "machines")
        log = terraform(root, environment, "destroy", *many, capture=True)
        say(next(line for line in log.splitlines() if line.startswith("Destroy complete")))
        state = json.loads((root / "terraform.tfstate").read_text())
        if state["resources"]:
            unexpected.append(f"{len(state['resources'])} resources are left after destroy")
    server.stop()
    for line in unexpected:
        print(f"unexpected: {line}")
    say(f"{'failed' if unexpected else 'passed'} after {time.monotonic() - began:.0f} s")
    sys.exit(1 if unexpected else 0)


if __name__ == "__main__":
    main()
