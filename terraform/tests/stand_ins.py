"""What the tests of node.py put in AWS's place, on loopback: instance metadata, moto, and the two
actions of Auto Scaling that moto does not know. Everything else in those tests is real.
"""

import http.server
import logging
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse

import boto3
from moto.server import ThreadedMotoServer

ROOT = pathlib.Path(__file__).resolve().parents[2]
NODE = ROOT / "terraform/modules/aws-node/node.py"
REGION = "eu-central-1"
# Generous: machines that run tests are slow, and nobody waits for it when all is well.
DEADLINE_S = 60


def eventually(what, condition):
    """The first true answer of the condition; a test fails when none comes."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"never happened: {what}")


def program(name, variable):
    """A program that `make` has built or fetched."""
    places = [os.environ.get(variable), shutil.which(name), ROOT / ".tools" / name]
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    places.append(target / "debug" / name)
    found = next((str(place) for place in places if place and os.path.exists(place)), None)
    if found is None:
        raise AssertionError(f"{name} is missing: `make tools`, `cargo build -p meridian-cli`")
    return found


class Listener:
    """A server on a free port of loopback, in a thread."""

    def __init__(self, handler):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Metadata(Listener):
    """Instance metadata, version 2 only: without its token it answers 401."""

    def __init__(self, values):
        self.values, self.tokens, self.asked = values, 0, 0
        self.broken = False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_PUT(self):
                outer.tokens += 1
                self.answer(200, f"token-{outer.tokens}")

            def do_GET(self):
                outer.asked += 1
                token = self.headers.get("X-aws-ec2-metadata-token")
                key = self.path.removeprefix("/latest/meta-data/")
                if outer.broken:
                    self.answer(500, "")
                elif token != f"token-{outer.tokens}":
                    self.answer(401, "")
                elif key in outer.values:
                    self.answer(200, outer.values[key])
                else:
                    self.answer(404, "")

            def answer(self, status, text):
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        super().__init__(Handler)


class AutoScaling(Listener):
    """Notes what it is asked to do, with the answer of `is_ended` at that moment."""

    def __init__(self):
        self.actions, self.is_ended = [], lambda: None
        # Answers so many times that it cannot.
        self.refusals = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                asked = dict(urllib.parse.parse_qsl(body))
                asked["is_ended"] = outer.is_ended()
                action = asked["Action"]
                refused = outer.refusals > 0
                outer.refusals -= refused
                if not refused:
                    outer.actions.append(asked)
                text = f"<{action}Response><{action}Result/></{action}Response>"
                self.send_response(400 if refused else 200)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        super().__init__(Handler)

    def named(self, action):
        return [asked for asked in list(self.actions) if asked["Action"] == action]


class Aws:
    """moto, with the action of Auto Scaling beside it."""

    def __init__(self):
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.moto.start()
        host, port = self.moto.get_host_and_port()
        self.url = f"http://{host}:{port}"
        self.auto_scaling = AutoScaling()

    def client(self, service):
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def environment(self):
        path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
        return {
            **os.environ,
            "PATH": path,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ENDPOINT_URL_AUTO_SCALING": self.auto_scaling.url,
            "AWS_MAX_ATTEMPTS": "1",
        }

    def stop(self):
        self.auto_scaling.stop()
        self.moto.stop()


class Process:
    """A child whose output is read as it comes, and that does not outlive its test."""

    def __init__(self, test, command, environment=None):
        self.lines = []
        self.child = subprocess.Popen(
            command,
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        # Also reaps it, so that `stop` of an agent sees its end.
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        test.addCleanup(self.end)

    def read(self):
        for line in self.child.stdout:
            self.lines.append(line)
        self.child.wait()

    def said(self, text):
        return next((line for line in list(self.lines) if text in line), None)

    def wait_for(self, text):
        return eventually(f"{self.child.args[0]} says {text}", lambda: self.said(text))

    def is_ended(self):
        return not self.reader.is_alive()

    def code(self):
        eventually(f"{self.child.args} ends", self.is_ended)
        return self.child.returncode

    def end(self):
        if not self.is_ended():
            self.child.kill()
        self.reader.join(DEADLINE_S)
        self.child.stdout.close()
