"""An S3 server in this process, with a bucket."""

from contextlib import contextmanager

import boto3
from moto.server import ThreadedMotoServer


@contextmanager
def moto_s3():
    """Its host and port, and the settings of a store in `bucket`."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        settings = {
            "endpoint_url": f"http://{host}:{port}",
            "aws_access_key_id": "key",
            "aws_secret_access_key": "secret",
            "region_name": "us-east-1",
        }
        boto3.client("s3", **settings).create_bucket(Bucket="bucket")
        yield (host, port), settings
    finally:
        server.stop()
