"""Several machines encode into a server that speaks S3. Needs s3fs and moto[server], which the test extra has not.

The server is an imitation in memory. What Amazon's does was not tried.
"""

from __future__ import annotations

import pytest
from support.shared_bucket import torture

from larpbench.encoders.run.bucket import Bucket
from larpbench.errors import StorageError
from larpbench.testing.torture.shared_work import Scene

pytestmark = pytest.mark.slow


@pytest.fixture
def server(monkeypatch):
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    running = moto.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*running.get_host_and_port()))
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().makedirs("shared", exist_ok=True)
    yield running
    running.stop()
    s3fs.S3FileSystem.clear_instance_cache()


def test_machines_and_kills_lose_nothing_and_change_nothing(server, tmp_path):
    scene = Scene(tmp_path, 24, 4, 0.2)
    found = torture(scene, "s3://shared/embeddings", workers=2, kills=2, alike=False)
    assert "holds no claims" not in scene.printed.read_text()
    assert (found["failed"], found["lost"], found["different"], found["left"]) == (0, 0, 0, 0)
    assert found["recomputed"] <= 5 * found["kills"]


def test_claims_are_proven_and_a_bucket_that_is_not_there_is_not_made(server, capsys):
    assert Bucket("s3://shared/embeddings").refuses_claims is None
    absent = Bucket("s3://sharde/embeddings")
    assert absent.names("toy") == set()
    with pytest.raises(StorageError, match=r"(?s)specified bucket does not exist.*s3://sharde"):
        absent.write("toy/card.json", b"{}")
    server.stop()
    unreachable = Bucket("s3://shared/embeddings")
    with pytest.raises(StorageError, match=r"(?s)cannot read the remote store.*127.0.0.1"):
        unreachable.names("toy")
    assert "trying again" not in capsys.readouterr().err  # it has never answered
