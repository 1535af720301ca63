"""Files replaced whole, what killed runs left beside them, and locks that end with the process that holds them.

A new content is written beside a file, in ``.<name>.<16 hexadecimal digits>.tmp``, which its writer holds a lock on:
what nobody holds was left by a run that was killed, and the next one removes it. Who goes on writing a file for long
holds ``.<name>.lock``. Locks are those of the system (``flock``; ``msvcrt`` on Windows): a process that is killed
holds none. Where a file system has none, nothing is refused and nothing is removed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from io import BufferedReader
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_LONGEST_STEM = 150  # bytes of the name that the names beside it begin with: file systems allow 255 in all
_OLD_S = 60.0  # Windows: files beside are taken for left behind from this age on
_held: set[str] = set()  # files whose lock this process holds
_swept: set[str] = set()


def real_path(path: str | os.PathLike[str]) -> str:
    """Return where a file really is, links followed."""
    return os.path.realpath(os.fsdecode(path))


def check_regular(path: str | os.PathLike[str]) -> None:
    """Raise OSError for what is there and is no regular file: a FIFO would block, a device be replaced."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "is a folder, not a file", os.fspath(path))
        if not stat.S_ISREG(mode):
            kind = "a FIFO" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
            raise OSError(errno.EINVAL, f"is {kind}, not a regular file", os.fspath(path))


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a regular file for reading; OSError for anything else, at once."""
    check_regular(path)
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0)))


# -- replacing -------------------------------------------------------------------------------------


@contextlib.contextmanager
def replacing(path: str, verify: Callable[[str], None] | None = None) -> Iterator[BinaryIO]:
    """Open a new file beside ``path`` that takes its place when everything is on the disk.

    ``verify`` is called with its name before; what it raises leaves the old file where it is.
    """
    check_regular(path)
    if path not in _swept:
        _swept.add(path)
        sweep(path)
    folder = os.path.dirname(path)
    beside, descriptor = _new_beside(path)
    try:
        with open(descriptor, "wb") as file:
            with contextlib.suppress(FileNotFoundError):
                os.chmod(beside, stat.S_IMODE(os.stat(path).st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
            if verify is not None:
                verify(beside)
            if os.name != "nt":  # while it is locked, nobody takes it for left behind
                os.replace(beside, path)
        if os.name == "nt":
            os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    _sync_folder(folder)


def _new_beside(path: str) -> tuple[str, int]:
    # Created by hand, not by tempfile: a new file gets the permissions that the umask leaves.
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        beside = _beside(path, f".{secrets.token_hex(8)}.tmp")
        descriptor = os.open(beside, flags, 0o666)
        if os.name == "nt":  # what is open cannot be removed there
            return beside, descriptor
        if _lock(descriptor) is not False and _is_at(descriptor, beside):
            return beside, descriptor
        os.close(descriptor)  # someone has swept it away before it was locked


def _beside(path: str, suffix: str) -> str:
    folder, name = os.path.split(path)
    stem = os.fsdecode(os.fsencode(name)[:_LONGEST_STEM])
    return os.path.join(folder, f".{stem}{suffix}")


def _sync_folder(folder: str) -> None:
    """Put the new name itself on the disk, where the system can."""
    with contextlib.suppress(OSError):  # not every system opens folders; the file is whole in any case
        descriptor = os.open(folder or ".", os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sweep(path: str) -> None:
    """Remove what killed runs left beside a file; never what a live one is writing."""
    pattern = re.compile(re.escape(os.path.basename(_beside(path, ""))) + r"\.[0-9a-f]{16}\.tmp")
    with contextlib.suppress(OSError), os.scandir(os.path.dirname(path) or ".") as entries:
        for entry in entries:
            if pattern.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    _remove_unless_held(entry)


def _remove_unless_held(entry: os.DirEntry[str]) -> None:
    if os.name == "nt":
        if time.time() - entry.stat().st_mtime > _OLD_S:
            os.unlink(entry.path)
        return
    descriptor = os.open(entry.path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if _lock(descriptor):
            os.unlink(entry.path)
    finally:
        os.close(descriptor)


# -- locks -----------------------------------------------------------------------------------------


def _lock(descriptor: int, shared: bool = False) -> bool | None:
    """Lock an open file: True; False where another holds it; None where the file system has no locks."""
    if fcntl is None:
        return _lock_on_windows(descriptor)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


def _lock_on_windows(descriptor: int) -> bool:
    import msvcrt

    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


class FileLock:
    """The right to write a file for as long as this is held.

    Parameters
    ----------
    path : str or os.PathLike
        The file, which need not be there; its folder must be.

    Attributes
    ----------
    certain : bool
        False where the file system has no locks: others are not kept out.

    Raises
    ------
    BlockingIOError
        Another process, or another object of this one, holds it.
    OSError
        The file beside it cannot be made.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = real_path(path)
        self._name = _beside(self._path, ".lock")
        while True:
            descriptor = os.open(self._name, os.O_RDWR | os.O_CREAT, 0o666)
            found = _lock(descriptor)
            if found is False:
                os.close(descriptor)
                raise _is_held(path)
            if found is None or os.name == "nt" or _is_at(descriptor, self._name):
                break
            os.close(descriptor)  # the one before has just removed it
        self.certain = found is True
        self._descriptor: int | None = descriptor
        _held.add(self._path)

    def release(self) -> None:
        """Let others write the file; more than once does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        _held.discard(self._path)
        with contextlib.suppress(OSError):  # Windows removes no open file; it lies there, and is in nobody's way
            os.unlink(self._name)
        os.close(descriptor)

    def leave_to_parent(self) -> None:
        """In a forked child: the lock is the parent's, which keeps it when this copy is closed."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            _held.discard(self._path)
            os.close(descriptor)

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class TemporaryFolder:
    """A folder that is removed at the end; those of processes that were killed are removed by the next one.

    Attributes
    ----------
    name : str
    """

    _PREFIX, _OWNER = "imondrian-", "owner"

    def __init__(self) -> None:
        self._sweep()
        self._folder = tempfile.TemporaryDirectory(prefix=self._PREFIX)
        self.name = self._folder.name
        self._lock = FileLock(os.path.join(self.name, self._OWNER))

    def leave_to_parent(self) -> None:
        """In a forked child: let the folder be, which the child's end would remove."""
        self._folder._finalizer.detach()  # type: ignore[attr-defined]
        self._lock.leave_to_parent()

    def cleanup(self) -> None:
        """Remove the folder; more than once does nothing."""
        self._lock.release()
        self._folder.cleanup()

    @classmethod
    def _sweep(cls) -> None:
        with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
            for entry in entries:
                owner = _beside(os.path.join(entry.path, cls._OWNER), ".lock")
                if entry.name.startswith(cls._PREFIX) and os.path.isfile(owner):
                    with contextlib.suppress(OSError), FileLock(os.path.join(entry.path, cls._OWNER)) as lock:
                        if lock.certain:
                            shutil.rmtree(entry.path, ignore_errors=True)


def check_not_held(path: str) -> None:
    """Raise BlockingIOError where another process holds a file's lock."""
    if path in _held:
        return
    try:
        descriptor = os.open(_beside(path, ".lock"), os.O_RDWR)
    except OSError:
        return
    try:
        if _lock(descriptor, shared=True) is False:
            raise _is_held(path)
    finally:
        os.close(descriptor)


def _is_held(path: str | os.PathLike[str]) -> BlockingIOError:
    return BlockingIOError(errno.EAGAIN, "another process is learning into this file", os.fsdecode(path))
