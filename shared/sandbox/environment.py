"""What every sandbox is built from: an environment from nothing, and the parts of the system that programs need to read."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from shared.sandbox.port import System

SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SYSTEM_FILES = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/ca-certificates",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/mime.types",
    "/etc/os-release",
    "/etc/debian_version",
    "/etc/redhat-release",
    "/etc/protocols",
    "/etc/services",
    "/etc/terminfo",
    "/etc/java-11-openjdk",
    "/etc/java-17-openjdk",
)


def build_environment(home: str, temporary: str, added: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a command; nothing of ours is inherited."""
    return {
        "PATH": "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin",
        "HOME": home,
        "TMPDIR": temporary,
        "USER": "persevere",
        "LOGNAME": "persevere",
        "SHELL": "/bin/sh",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "NPM_CONFIG_USERCONFIG": os.devnull,
        "NPM_CONFIG_GLOBALCONFIG": f"{temporary}/no-npmrc",
        "NPM_CONFIG_UPDATE_NOTIFIER": "false",
        "GIT_CONFIG_NOSYSTEM": "1",
        **added,
    }


NO_REGISTRIES = {"PIP_NO_INDEX": "1", "PIP_RETRIES": "0", "UV_OFFLINE": "1", "NPM_CONFIG_OFFLINE": "true", "NPM_CONFIG_FETCH_RETRIES": "0"}
"""Makes the installers of a command that may not reach the registries fail at once, not after retries."""


@lru_cache(maxsize=1)
def host_system() -> System:
    """This machine's own programs: test environments are made with the interpreter below our own virtual environment."""
    base = str(getattr(sys, "_base_executable", None) or sys.executable)
    identity = f"{sys.version} {platform.platform()}"
    return System(identity, base, (sys.version_info.major, sys.version_info.minor), sys.executable, host=True)


def interpreter_folders() -> list[Path]:
    """Where our own Python's standard library lives: needed inside by the tools and helpers that it runs."""
    return [Path(folder) for folder in dict.fromkeys([sys.base_prefix, sys.base_exec_prefix]) if not folder.startswith("/usr")]
