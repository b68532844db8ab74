"""What tests of several folders need."""

import os
import socket
import subprocess
import time
import urllib.request

import pytest


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    """Starts an S3 server on loopback with a bucket `curves` and gives what the environment must say of it.

    MOTO_SERVER is the path of moto's `moto_server` (tried with 5.2.5). It asks for a
    python-dateutil that constraints.txt does not have, so it is installed in an environment of its own.
    """
    program = os.environ.get("MOTO_SERVER")
    if not program:
        pytest.skip("MOTO_SERVER names no S3 server; see s3_server in tests/conftest.py")
    begun = {}

    def start(**environment):
        with socket.socket() as own:
            own.bind(("127.0.0.1", 0))
            port = own.getsockname()[1]
        log = (tmp_path_factory.mktemp("s3") / "log").open("w")
        # The packages of this Python are not those of the server's.
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
        arguments = [program, "-H", "127.0.0.1", "-p", str(port)]
        address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
        begun[address] = subprocess.Popen(arguments, env=clean, stdout=log, stderr=log), log
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
            except OSError:
                assert time.monotonic() < deadline, f"{program} does not answer; its log is {log.name}"
                time.sleep(0.1)
        with urllib.request.urlopen(urllib.request.Request(f"{address}/curves", method="PUT")):
            pass
        return {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def stop(address):
        process, log = begun.pop(address)
        process.kill()
        process.wait()
        log.close()

    start.stop = stop
    yield start
    for address in list(begun):
        stop(address)


@pytest.fixture(scope="session")
def s3(s3_server):
    """Environment for a store on loopback with the bucket `curves`."""
    return s3_server()
