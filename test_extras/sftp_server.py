"""A small SFTP server on a folder, by paramiko: for tests, with any name and password."""

import contextlib
import os
import socket
import threading
from pathlib import Path

import paramiko


class _Anyone(paramiko.ServerInterface):
    def check_auth_password(self, username, password):
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED


class _File(paramiko.SFTPHandle):
    def stat(self):
        return paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))


def _answer(function, *arguments):
    """What a function returns, or that it succeeded, or the number of its OSError."""
    try:
        result = function(*arguments)
    except OSError as error:
        return paramiko.SFTPServer.convert_errno(error.errno)
    return paramiko.SFTP_OK if result is None else result


def _attributes(path):
    return paramiko.SFTPAttributes.from_stat(os.stat(path))


def _listed(path):
    return [paramiko.SFTPAttributes.from_stat(entry.stat(), entry.name) for entry in os.scandir(path)]


def _opened(path, flags):
    handle = _File(flags)
    mode = "wb" if flags & os.O_WRONLY else "r+b" if flags & os.O_RDWR else "rb"
    handle.readfile = handle.writefile = os.fdopen(os.open(path, flags, 0o644), mode)
    return handle


def folder_server(root: Path) -> type:
    """What answers requests about the files of a folder."""

    class Folder(paramiko.SFTPServerInterface):
        def _at(self, path):
            return os.path.join(root, self.canonicalize(path).lstrip("/"))

        def list_folder(self, path):
            return _answer(_listed, self._at(path))

        def stat(self, path):
            return _answer(_attributes, self._at(path))

        lstat = stat

        def open(self, path, flags, attr):
            return _answer(_opened, self._at(path), flags)

        def remove(self, path):
            return _answer(os.remove, self._at(path))

        def rename(self, old, new):
            return _answer(os.rename, self._at(old), self._at(new))

        posix_rename = rename

        def mkdir(self, path, attr):
            return _answer(os.mkdir, self._at(path))

        def rmdir(self, path):
            return _answer(os.rmdir, self._at(path))

    return Folder


@contextlib.contextmanager
def serve(root: Path):
    """The port at which the folder is served, to any number of clients one after the other or at once."""
    key, ended, open_ones = paramiko.RSAKey.generate(2048), threading.Event(), []
    listening = socket.create_server(("127.0.0.1", 0))

    def accept():
        while not ended.is_set():
            try:
                client, _ = listening.accept()
            except OSError:
                return
            transport = paramiko.Transport(client)
            transport.add_server_key(key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, folder_server(root))
            transport.start_server(server=_Anyone())
            open_ones.append(transport)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        ended.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for one in open_ones:
            one.close()
