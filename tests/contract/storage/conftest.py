"""An S3 server in this process."""

import pytest
from support.moto_s3 import moto_s3


@pytest.fixture(scope="module")
def moto():
    with moto_s3() as (_, settings):
        yield settings
