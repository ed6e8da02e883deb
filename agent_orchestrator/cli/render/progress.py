"""What a task is doing: a live line with elapsed time on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from agent_orchestrator.cli.render.approval import evidence_lines, review_line, stats_line
from agent_orchestrator.cli.render.cost import cost_words
from agent_orchestrator.cli.render.text import clean, seconds, shorten
from shared.types import Json

STAGE_WORDS = {
    "queue": "waiting for a worker",
    "cloning": "reading the repository",
    "dependencies": "installing what the tests need",
    "planning": "planning",
    "coding": "working on the code",
    "testing": "running the tests",
    "review": "waiting for a decision",
    "pr_creation": "opening the pull request",
    "report": "finishing",
}


class Progress:
    """Shows the events of one task. `log` shows every log line too. Elapsed times in seconds since a stage began."""

    def __init__(self, console: Console, *, log: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._log = log
        self._clock = clock
        self._live: Live | None = None
        self._stage = ""
        self._detail = ""
        self._since = clock()
        self._plan: Text | None = None
        self._decided = self._reviews = False
        self._own: set[str] = set()
        self._cost = ""
        self._told_cost = ""

    def event(self, event: Json) -> None:
        stage = str(event.get("stage", ""))
        if stage != self._stage:
            self._enter(stage, reviews=stage == "review" and event.get("type") == "log")
        shown = self._describe(event)
        if shown is not None:
            self._console.print(shown)
        self._refresh()

    def decided(self, approval: Json, told: str | None) -> None:
        """A decision that was made here: its event need not be told again. It may wait for a second person."""
        self._own.add(str(approval.get("approval_id") or approval.get("id")))
        self._decided, self._since = approval.get("status") != "pending", self._clock()
        if told:
            self._console.print(Text("✓ ", style="green").append(told, style="default"))

    def start(self) -> None:
        """Begin to show the live line, where there is a terminal."""
        if self._live is None and self._console.is_terminal:
            self._live = Live(self._line(), console=self._console, transient=True, refresh_per_second=8)
            self._live.start()

    def stop(self) -> None:
        """Take the live line away, so that something else can be printed or asked."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _enter(self, stage: str, *, reviews: bool) -> None:
        """A plan that is asked about next is shown there, otherwise it is told in one line. `reviews`: a model's review begins."""
        if self._plan is not None:
            self._console.print(self._row("✓", "planned", "green") if stage == "review" and not reviews else self._plan)
        self._plan, self._decided = None, False
        if self._cost != self._told_cost:
            self._console.print(Text("· ", style="dim").append(f"so far {self._cost}", style="dim"))
            self._told_cost = self._cost
        self._stage, self._detail, self._since, self._reviews = stage, "", self._clock(), reviews
        if not self._console.is_terminal and (reviews or (stage in STAGE_WORDS and stage not in ("review", "report"))):
            self._console.print(Text(f"[{stage}] {self._words()}"), soft_wrap=True)

    def _words(self) -> str:
        if self._reviews:
            return "a model reads the change"
        return STAGE_WORDS.get(self._stage, clean(self._stage, lines=False) or "starting")

    def _describe(self, event: Json) -> Text | None:
        kind = event.get("type")
        if kind == "log":
            self._detail = shorten(event.get("message", ""), 80)
            warns = event.get("level") in ("warning", "error")
            if self._log or warns:
                return self._row("!" if warns else "·", clean(event.get("message", "")), "yellow" if warns else "dim")
            return None
        if kind == "approval_required":
            self._reviews = False
            return None
        if kind == "usage":
            self._cost = cost_words(event.get("total"))
            return None
        if kind == "plan_ready":
            self._plan = self._row("✓", "plan: " + shorten((event.get("plan") or {}).get("summary", "")), "green")
            return None
        if kind == "diff_ready":
            return self._row("✓", "change: " + stats_line(event.get("stats") or {}).plain, "green")
        if kind == "test_results":
            results = event.get("results") or {}
            good = results.get("verdict") == "passed"
            return self._row("✓" if good else "!", next(evidence_lines(results)).plain, "green" if good else "yellow")
        if kind == "review_ready":
            review = event.get("review") or {}
            good = review.get("verdict") == "looks_good"
            return self._row("✓" if good else "!", review_line(review).plain, "green" if good else "yellow")
        if kind == "approval_decided":
            self._decided = True
            if event.get("approval_id") in self._own:
                return None
            decision = {"approve": "approved", "reject": "rejected", "edit": "edited", "respond": "answered", "take_over": "taken over"}
            word = decision.get(str(event.get("decision")), shorten(event.get("decision", "decided"), 30))
            return Text("✓ ", style="green").append(f"{word} by {shorten(event.get('by', ''), 60)}", style="default")
        if kind == "pr_created":
            return self._row("✓", f"pull request: {shorten(event.get('pr_url', ''), 200)}", "green")
        return None

    def _row(self, mark: str, text: str, style: str) -> Text:
        return Text(f"{mark} ", style=style).append(text, style="default").append(f"  {seconds(self._clock() - self._since)}", style="dim")

    def _line(self) -> Spinner:
        return Spinner("dots", text=_LiveText(self))

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.update(self._line())

    def current(self) -> Text:
        """The live line: the stage, its elapsed time and the last thing that was said."""
        words = "going on" if self._decided else self._words()
        line = Text(f"{words}  ", style="bold", no_wrap=True, overflow="ellipsis").append(
            seconds(self._clock() - self._since), style="cyan"
        )
        if self._cost:
            line.append(f"  {self._cost}", style="dim")
        return line.append(f"  {self._detail}", style="dim") if self._detail else line


class _LiveText:
    """Asks for the current line each time it is drawn, so that the time moves."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __rich__(self) -> Text:
        return self._progress.current()
