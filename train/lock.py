"""Files that others rely on: one writer a folder, whole or not at all, and disks that are full."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import platform
import secrets
from collections.abc import Iterator

# Containers may share a host name and each have a process of this number: what tells ours apart.
_OWN = secrets.token_hex(4)


class Held(ValueError):
    """Another process writes to the folder."""


class Lock:
    """`folder/lock` is this process's until `release`, or until it is dead.

    The kernel holds the lock and drops it with the process: a lock of the dead is none. The file
    says who has it, and so does Held. A process does not lock itself out.
    """

    def __init__(self, folder: pathlib.Path):
        path = folder / "lock"
        own = {"pid": os.getpid(), "host": platform.node(), "token": _OWN}
        with writing(folder):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = json.loads(path.read_text() or "{}")
            if holder != own:
                os.close(self._file)
                raise Held(
                    f"{folder} is being written by process {holder.get('pid', '?')} on "
                    f"{holder.get('host', '?')}; wait for it, end it, or choose another folder"
                ) from None
        except OSError as error:  # of Lustre without -o flock, and of some NFS
            os.close(self._file)
            raise ValueError(
                f"{folder} cannot be locked: {error.strerror}; choose a folder on another file "
                "system"
            ) from error
        else:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, json.dumps(own).encode(), 0)

    def release(self) -> None:
        os.close(self._file)


@contextlib.contextmanager
def writing(folder: pathlib.Path | str) -> Iterator[None]:
    """A folder that cannot be written to, or not any more, is one line and not a page."""
    try:
        yield
    except (OSError, ValueError) as error:  # tensorstore says ValueError to a full disk
        if os.strerror(errno.ENOSPC) in str(error) or getattr(error, "errno", 0) == errno.EDQUOT:
            raise ValueError(
                f"the disk of {folder} is full; the checkpoints before this one are good: make "
                "room, and the same command goes on"
            ) from error
        if isinstance(error, OSError):
            raise ValueError(
                f"cannot write to {folder}: {error.strerror or error}; choose a folder that is "
                "writable"
            ) from error
        raise


def whole(path: pathlib.Path, text: str) -> None:
    """Replace a file by another at once: a kill between leaves the old one."""
    with writing(path.parent):
        part = path.with_suffix(".part")
        part.write_text(text, encoding="utf-8")
        part.rename(path)
