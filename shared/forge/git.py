"""Runs the git program so that neither the person's settings nor a repository's own can make it do anything else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.errors import RepositoryError, UnavailableError

# Options given on the command line win over every configuration file.
OVERRIDES = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.sshCommand=false",
    "core.gitProxy=",
    "core.pager=cat",
    "core.editor=false",
    "core.askPass=false",
    "core.alternateRefsCommand=true",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.autocrlf=false",
    "core.safecrlf=false",
    "core.symlinks=true",
    "core.fileMode=true",
    "core.ignoreCase=false",
    "core.precomposeUnicode=false",
    "core.quotePath=false",
    "core.splitIndex=false",
    "core.sparseCheckout=false",
    "core.commitGraph=false",
    "credential.helper=",
    "diff.autoRefreshIndex=false",
    "diff.external=",
    "feature.manyFiles=false",
    "fetch.unpackLimit=0",
    "gc.auto=0",
    "index.sparse=false",
    "index.version=2",
    "log.showSignature=false",
    "commit.gpgSign=false",
    "maintenance.auto=false",
    "protocol.allow=never",
    "protocol.ext.allow=never",
    "protocol.file.allow=never",
    "submodule.recurse=false",
    "trace2.normalTarget=0",
)
FIXED_ENVIRONMENT = {
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_ASKPASS": "false",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_EDITOR": "false",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "GIT_SSH_COMMAND": "false",
    "GIT_TERMINAL_PROMPT": "0",
}


class GitError(RepositoryError):
    """git refused. `stderr` is for deciding what it was about, never shown as it is."""

    code = "git_failed"

    def __init__(self, command: str, exit_code: int | None, stderr: str, message: str = "", next_step: str = "") -> None:
        super().__init__(message or f"git {command} did not succeed", next_step or "Run `git fsck` in the repository and try again.")
        self.exit_code = exit_code
        self.stderr = stderr


@dataclass(frozen=True)
class GitResult:
    exit_code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return os.fsdecode(self.stdout).strip()


def _program() -> tuple[str, str]:
    """The git program and a search path of absolute folders only."""
    path = os.pathsep.join(p for p in os.environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(p))
    program = shutil.which("git", path=path)
    if program is None:
        raise UnavailableError("git is not installed or not on the PATH", "Install git (Debian, Ubuntu: apt-get install git).")
    return program, path


async def run_git(
    *args: str | Path,
    git_dir: Path | None = None,
    work_tree: Path | None = None,
    index: Path | None = None,
    cwd: Path | None = None,
    config: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    timeout_s: float = 120.0,
    check: bool = True,
) -> GitResult:
    """Run `git args`. `config` are further `name=value` settings, `timeout_s` seconds.

    Raises `GitError` when it takes too long and, with `check`, when it ends with anything but 0.
    """
    program, path = _program()
    environment = {"PATH": path, **FIXED_ENVIRONMENT, **(env or {})}
    for name, value in (("GIT_DIR", git_dir), ("GIT_WORK_TREE", work_tree), ("GIT_INDEX_FILE", index)):
        if value is not None:
            environment[name] = str(value)
    options = [part for setting in (*OVERRIDES, *config) for part in ("-c", setting)]
    process = await asyncio.create_subprocess_exec(
        program,
        *options,
        *(str(arg) for arg in args),
        cwd=str(cwd or work_tree or "/"),
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    command = str(args[0])
    try:
        stdout, stderr = await asyncio.wait_for(process.communicate(stdin), timeout_s)
    except TimeoutError as exc:
        raise GitError(command, None, "", f"git {command} took longer than {timeout_s:g} s", "Try again; look for a stuck disk.") from exc
    finally:
        await _end(process)
    result = GitResult(process.returncode or 0, stdout, stderr.decode(errors="replace"))
    if check and result.exit_code != 0:
        raise GitError(command, result.exit_code, result.stderr)
    return result


async def _end(process: asyncio.subprocess.Process) -> None:
    """Stop what is left of the process and its children."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
