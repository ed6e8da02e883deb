"""Where the embedded server keeps its files: the cluster, the socket, the locks, the password."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from shared.errors import SettingsError
from shared.store.postgres_account import Account, may_reach, server_account

_LONGEST_SOCKET_FOLDER = 80
_SHARED = Path("/var/lib/persevere")


@dataclass(frozen=True)
class Places:
    """`own` is `data_dir/postgres`; `cluster` is in it unless the server's account cannot get there; `sockets` is short and private.

    Every user may enter `shared`; a cluster is made in `workshop` and then moved into its place.
    """

    own: Path
    cluster: Path
    sockets: Path
    shared: Path
    workshop: Path
    digest: str
    account: Account | None

    @property
    def password(self) -> Path:
        return self.own / "password"

    @property
    def log(self) -> Path:
        return self.cluster.with_name(self.cluster.name + ".log")


def find_places(data_dir: Path) -> Places:
    """Make the private folders that are missing. Permissions of folders that are not ours stay as they are."""
    own = data_dir.resolve() / "postgres"
    own.mkdir(parents=True, exist_ok=True)
    account = server_account()
    digest = hashlib.sha256(os.fsencode(own)).hexdigest()[:12]
    if account is None:
        _make_private(own, None)
        return Places(own, own / "cluster", _sockets(digest, None), own, own, digest, None)
    shared = _shared_folder()
    return Places(own, _cluster(own, shared, digest, account), _sockets(digest, account), shared, shared, digest, account)


def _cluster(own: Path, shared: Path, digest: str, account: Account) -> Path:
    """As root: inside the data folder when the account can walk there, else in a folder of its own; written down once."""
    note = own / "location"
    if note.exists():
        home = Path(note.read_text().strip())
    else:
        home = own / "server" if may_reach(account, own) else shared / digest
        unfinished = note.with_suffix(".new")
        unfinished.write_text(f"{home}\n")
        unfinished.rename(note)
    home.mkdir(parents=True, exist_ok=True)
    _make_private(home, account)
    if home.parent == shared:
        (home / "origin").write_bytes(os.fsencode(own))
    return home / "cluster"


def orphans(places: Places) -> list[Path]:
    """Clusters outside whose data folder was temporary and has been removed: nobody can come back for them."""
    if places.account is None:
        return []
    temporary = Path(tempfile.gettempdir()).resolve()
    notes = [(note.parent, Path(os.fsdecode(note.read_bytes()))) for note in places.shared.glob("*/origin")]
    return [home / "cluster" for home, own in notes if own.is_relative_to(temporary) and not own.exists()]


def _shared_folder() -> Path:
    for folder in (_SHARED, Path("/var/tmp/persevere")):
        try:
            folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        except OSError:
            continue
        stat = folder.stat()
        if stat.st_uid == 0 and not folder.is_symlink() and not stat.st_mode & 0o022 and os.access(folder, os.W_OK):
            return folder.resolve()
    raise SettingsError(
        "There is no folder for the embedded database: /var/lib/persevere cannot be written.",
        "Make it writable for root, or set DATABASE_URL.",
    )


def _sockets(digest: str, account: Account | None) -> Path:
    owner = account.uid if account else os.geteuid()
    bases = [Path("/run")] if account else [Path(os.environ.get("XDG_RUNTIME_DIR") or "/nonexistent")]
    for base in (*bases, Path(tempfile.gettempdir()), Path("/tmp")):
        folder = base / f"persevere-{owner}-{digest}"
        usable = base.is_dir() and os.access(base, os.W_OK) and (account is None or may_reach(account, base))
        if usable and len(os.fsencode(folder)) <= _LONGEST_SOCKET_FOLDER:
            folder.mkdir(mode=0o700, exist_ok=True)
            _make_private(folder, account)
            return folder
    raise SettingsError("There is no folder for the embedded database's socket.", "Make /tmp writable, or set DATABASE_URL.")


def _make_private(folder: Path, account: Account | None) -> None:
    """Owned by the server's account (or ourselves), mode 0700; a folder that belongs to somebody else is refused."""
    stat = folder.lstat()
    owner = account.uid if account else os.geteuid()
    if folder.is_symlink() or stat.st_uid not in (owner, os.geteuid()):
        raise SettingsError(f"{folder} belongs to another user.", "Remove it, or choose another data folder with PERSEVERE_DATA_DIR.")
    if stat.st_uid != owner and account is not None:
        os.chown(folder, account.uid, account.gid)
    if stat.st_mode & 0o777 != 0o700:
        folder.chmod(0o700)
