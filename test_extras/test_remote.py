"""The whole command from and to real servers on this machine: bags from a web server, and over SFTP there and back."""

import functools
import http.server
import os
import re
import threading

import pytest
from episode_support import Demonstration, files

from fourdhands_core import cli
from fourdhands_core.remote import Remote, place


@pytest.fixture
def bags(tmp_path, monkeypatch):
    monkeypatch.setenv("FOURDHANDS_CACHE", str(tmp_path / "cache"))
    for number in range(2):
        Demonstration(seconds=1.5, jitter=0.003, seed=number).write(tmp_path / "served" / "bags" / f"bag {number}")
    return tmp_path / "served" / "bags"


@pytest.fixture
def alone(bags, tmp_path):
    """The dataset of the bags, without a server."""
    assert export(bags, tmp_path / "alone") == 0
    return files(tmp_path / "alone")


def export(bags, out, *more):
    return cli.main(["episodes", "export", str(bags), "--out", str(out), "--quiet", "--jobs", "1", *more])


def test_bags_of_a_web_server(bags, alone, tmp_path, capsys):
    pytest.importorskip("aiohttp", reason="fsspec needs it for http")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    handler.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/bags"
        assert export(url, tmp_path / "out") == 0
        assert files(tmp_path / "out") == alone
        (file,) = (bags / "bag 0").glob("*.mcap")
        capsys.readouterr()
        assert cli.main(["bag", "info", f"{url}/bag%200/{file.name.replace(' ', '%20')}"]) == 0
        assert "/cam" in capsys.readouterr().out
        assert export(url, f"{url}/cups") == 2
        assert "nothing can be written by http" in capsys.readouterr().err
        assert export(f"{url}/none", tmp_path / "other") == 2
        assert "does not exist, or does not answer" in capsys.readouterr().err
    finally:
        server.shutdown()
        server.server_close()


def test_over_sftp_there_and_back(bags, alone, tmp_path, capsys):
    sftp_server = pytest.importorskip("sftp_server", reason="paramiko is not installed")
    with sftp_server.serve(tmp_path / "served") as port:
        base = f"sftp://me:secret@127.0.0.1:{port}"
        assert export(f"{base}/bags", f"{base}/cups") == 0
        assert files(tmp_path / "served" / "cups") == alone
        said = capsys.readouterr().out
        assert "secret" not in said and "me:***@" in said
        assert export(f"{base}/bags", f"{base}/cups") == 0
        assert "nothing was done" in capsys.readouterr().out
        assert sorted(os.listdir(tmp_path / "served")) == ["bags", "cups"]


def test_a_bucket(bags, alone, tmp_path, capsys, monkeypatch):
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server = pytest.importorskip("moto.server", reason="moto is not installed").ThreadedMotoServer(port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in (
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_SECRET_ACCESS_KEY", "b"),
            ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
        ):
            monkeypatch.setenv(name, value)
        import s3fs

        system = s3fs.S3FileSystem()
        system.mkdir("lab")
        system.put(str(bags), "lab/bags", recursive=True)
        assert export("s3://lab/bags", "s3://lab/cups") == 0
        found = Remote("s3://lab/cups")
        found.fetch_all(tmp_path / "back")
        assert files(tmp_path / "back") == alone
        assert export("s3://lab/bags", "s3://lab/cups") == 0
        assert "nothing was done" in capsys.readouterr().out
        assert not [file for file in place("s3://lab").find(re.compile("uploading|partial")) if file.name]
    finally:
        server.stop()
