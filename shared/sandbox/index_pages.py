"""Rewriting the links of package index pages, so that a sandbox asks the proxy for files and sees no other address."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urldefrag, urljoin

Mapper = Callable[[str], str | None]
"""From an absolute URL without fragment to the proxy's address for it, or None where it is refused."""

_LINK = re.compile(r"(<a\b[^>]*?\bhref\s*=\s*)(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
_BASE = re.compile(r"<base\b[^>]*?\bhref\s*=\s*[\"']([^\"']*)[\"'][^>]*>", re.IGNORECASE)
_DISTRIBUTIONS = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz", ".egg")


def rewrite_html(text: str, url: str, mapper: Mapper) -> str:
    """A simple index page in HTML; links that are refused lead nowhere. The page's own `base` is applied and removed."""
    base = _BASE.search(text)
    if base:
        url = urljoin(url, html.unescape(base[1]))
        text = _BASE.sub("", text)

    def replace(match: re.Match[str]) -> str:
        target, fragment = urldefrag(urljoin(url, html.unescape(match[2] if match[2] is not None else match[3])))
        mapped = mapper(target) or "#refused"
        return f'{match[1]}"{html.escape(mapped + ("#" + fragment if fragment else ""))}"'

    return _LINK.sub(replace, text)


def rewrite_json(text: str, url: str, mapper: Mapper) -> str:
    """A simple index page in JSON (PEP 691): files whose address is refused are left out. ValueError for anything else."""
    page = json.loads(text)
    if not isinstance(page, dict):
        raise ValueError("not an index page")
    files = []
    for entry in page.get("files", []):
        mapped = mapper(urldefrag(urljoin(url, entry["url"]))[0])
        if mapped is not None:
            files.append({**entry, "url": mapped})
    return json.dumps({**page, "files": files} if "files" in page else page)


def rewrite_npm(text: str, url: str, mapper: Mapper) -> str:
    """A package document of an npm registry, whole or abbreviated. ValueError for anything else."""
    page = json.loads(text)
    if not isinstance(page, dict):
        raise ValueError("not a package document")
    versions = page.get("versions")
    for version in [page, *(versions.values() if isinstance(versions, dict) else ())]:
        dist = version.get("dist") if isinstance(version, dict) else None
        if isinstance(dist, dict) and isinstance(dist.get("tarball"), str):
            dist["tarball"] = mapper(urljoin(url, dist["tarball"])) or "about:refused"
    return json.dumps(page)


def list_folder(folder: Path) -> str:
    """A page of links to the distributions in a folder."""
    names = sorted(path.name for path in folder.iterdir() if path.name.endswith(_DISTRIBUTIONS))
    return "".join(f'<a href="{html.escape(quote(name))}">{html.escape(name)}</a><br>\n' for name in names)
