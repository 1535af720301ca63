"""Where ``keyed.py`` keeps the models that are not in memory: a SQLite file, of the standard library's own sqlite3.

Everything between two commits is one transaction. Whatever happens to the process or the machine, the file comes back
as the last commit left it, for all keys together.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imondrian._persist.header import check_version
from imondrian._persist.whole_file import check_regular

FILE = "models.sqlite"
_APPLICATION_ID = 0x494D4F4E  # "IMON"
_VERSION = 1
_CACHE_KIB = 8192
_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
}


class KeyStore:
    """Bytes by key, and notes by name, in one file of a folder.

    Parameters
    ----------
    folder : Path
        Made if it is not there; its parent must be.

    Raises
    ------
    BlockingIOError
        Another process, or another object of this one, has the store open.
    OSError
        It cannot be opened or made.
    ValueError
        The file is not such a store, has a newer version, or is damaged.
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(folder))
        folder.mkdir(exist_ok=True)
        self.path = folder / FILE
        check_regular(self.path)
        self._connection: sqlite3.Connection | None = None
        with self._told():
            # No transactions but those that are asked for; no waiting for a lock that its holder never gives back.
            self._connection = sqlite3.connect(self.path, timeout=0.0, isolation_level=None, check_same_thread=False)
        try:
            with self._told():
                self._prepare(self._connection)
        except BaseException:
            self.close()
            raise

    def _prepare(self, connection: sqlite3.Connection) -> None:
        def ask(question: str) -> Any:
            return connection.execute(question).fetchone()[0]

        ask("PRAGMA locking_mode = EXCLUSIVE")  # also spares the file that processes would share
        if ask("SELECT count(*) FROM sqlite_master") == 0 and ask("PRAGMA application_id") == 0:
            connection.execute("PRAGMA page_size = 16384")  # a model is some pages, a young one a part of one
            ask("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("CREATE TABLE models (key TEXT NOT NULL UNIQUE, state BLOB NOT NULL)")
            connection.execute("CREATE TABLE notes (name TEXT NOT NULL UNIQUE, note BLOB NOT NULL)")
            connection.execute("COMMIT")
        if ask("PRAGMA application_id") != _APPLICATION_ID:
            raise ValueError(f"{os.fspath(self.path)!r} is not a store of imondrian")
        check_version(repr(os.fspath(self.path)), ask("PRAGMA user_version"), _VERSION)
        ask("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute("BEGIN IMMEDIATE")

    # -- reading and writing -----------------------------------------------------------------------

    def read(self, key: str) -> bytes | None:
        """Return what is kept for a key."""
        return self._one("SELECT state FROM models WHERE key = ?", key)

    def write(self, key: str, state: bytes) -> None:
        """Keep something for a key, in the place of what was there."""
        self._do("INSERT INTO models VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET state = excluded.state", key, state)

    def delete(self, key: str) -> None:
        """Keep nothing for a key."""
        self._do("DELETE FROM models WHERE key = ?", key)

    def keys(self) -> list[str]:
        """Return all keys."""
        with self._told():
            return [key for (key,) in self._open().execute("SELECT key FROM models")]

    def count(self) -> int:
        """Return how many keys there are."""
        with self._told():
            return int(self._open().execute("SELECT count(*) FROM models").fetchone()[0])

    def read_note(self, name: str) -> bytes | None:
        """Return a note."""
        return self._one("SELECT note FROM notes WHERE name = ?", name)

    def write_note(self, name: str, note: bytes) -> None:
        """Keep a note, in the place of the one of that name."""
        self._do("INSERT INTO notes VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET note = excluded.note", name, note)

    def commit(self) -> None:
        """Put everything since the last commit on the disk."""
        self._do("COMMIT")
        self._do("BEGIN IMMEDIATE")

    def close(self) -> None:
        """Let go of the file, which stays as the last commit left it; more than once does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            connection.close()

    def leave_to_parent(self) -> None:
        """Let go of the file in a forked child: SQLite must not touch there what the parent has open."""
        # Never closed, not even by the end of the process: SQLite would take the child for the last user, and delete
        # the parent's log. So one reference more than there are.
        connection, self._connection = self._connection, None
        if connection is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))

    @property
    def is_open(self) -> bool:
        """Whether it can be read and written."""
        return self._connection is not None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise ValueError(f"{os.fspath(self.path)!r} is closed")
        return self._connection

    def _one(self, question: str, name: str) -> bytes | None:
        with self._told():
            found = self._open().execute(question, (name,)).fetchone()
        return None if found is None else found[0]

    def _do(self, statement: str, *values: Any) -> None:
        connection = self._open()
        try:
            with self._told():
                connection.execute(statement, values)
        except BaseException:
            # SQLite may have taken back the whole transaction, and what was spilled in it is nowhere else.
            self.close()
            raise

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Tell SQLite's errors as those of files."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            path, code = os.fspath(self.path), getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise BlockingIOError(errno.EAGAIN, "another process has it open", path) from error
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise ValueError(f"{path!r} is damaged, or no store of imondrian: {error}") from error
            number = _ERRNO.get(code, errno.EIO)
            raise OSError(number, os.strerror(number) if code in _ERRNO else str(error), path) from error
