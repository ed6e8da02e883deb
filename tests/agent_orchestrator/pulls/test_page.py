"""Nothing that a repository or a person wrote becomes markup."""

from __future__ import annotations

from agent_orchestrator.pulls.page import POLICY, render
from agent_orchestrator.pulls.schemas import PullView
from shared.types import utcnow

EVIL = "</title></pre><script>alert(1)</script><img src=x onerror='a()'>\"&"


def test_hostile_words_stay_words() -> None:
    pull = PullView(
        pull_id="p",
        number=1,
        repo=EVIL,
        branch=EVIL,
        base_branch=EVIL,
        base_commit="0" * 40,
        head_commit="1" * 40,
        title=EVIL,
        body=EVIL,
        draft=False,
        state="open",
        task_id=EVIL,
        created_at=utcnow(),
        diff_text=f"--- {EVIL}\n+{EVIL}\n-{EVIL}\n {EVIL}\n",
    )
    page = render(pull)
    assert page.count("<script") == page.count("<img") == 0
    assert (page.count("</title>"), page.count("</pre>")) == (1, 2)
    assert "script-src" not in POLICY
    assert POLICY.startswith("default-src 'none'")
