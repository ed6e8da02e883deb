"""A pull request as a small page without scripts."""

from __future__ import annotations

from html import escape

from agent_orchestrator.pulls.schemas import PullView

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
MOST_LINES = 20_000

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1f2328;background:#fff}
pre{overflow-x:auto;padding:1rem;border:1px solid #d0d7de;border-radius:6px;font:13px/1.45 ui-monospace,monospace}
.text{white-space:pre-wrap}.add{background:#dafbe1}.del{background:#ffebe9}.hunk{color:#59636e}
@media(prefers-color-scheme:dark){body{color:#f0f6fc;background:#0d1117}pre{border-color:#3d444d}
.add{background:#12261e}.del{background:#301a1f}.hunk{color:#9198a1}}
"""


def render(pull: PullView) -> str:
    """The page. Everything a repository or a person wrote is escaped."""
    state = f"{pull.state}, draft" if pull.draft else pull.state
    base = pull.base_branch or pull.base_commit[:12]
    lines = (pull.diff_text or "").splitlines()
    rest = f"\n… {len(lines) - MOST_LINES} more lines" if len(lines) > MOST_LINES else ""
    diff = "\n".join(_line(line) for line in lines[:MOST_LINES]) + rest
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>#{pull.number} {escape(pull.title)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>#{pull.number} {escape(pull.title)}</h1>"
        f"<p>{escape(state)} · <code>{escape(pull.branch)}</code> into <code>{escape(base)}</code> of <code>{escape(pull.repo)}</code>"
        f" · task <code>{escape(pull.task_id)}</code></p>"
        f'<pre class="text">{escape(pull.body)}</pre><h2>Changes</h2><pre>{diff or "none"}</pre></main></body></html>'
    )


def _line(line: str) -> str:
    kind = ""
    if line.startswith(("+++", "---", "diff ", "index ", "@@")):
        kind = "hunk"
    elif line.startswith("+"):
        kind = "add"
    elif line.startswith("-"):
        kind = "del"
    text = escape(line)
    return f'<span class="{kind}">{text}</span>' if kind else text
