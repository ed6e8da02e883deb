"""What the command line shows: for a person, or one JSON object a line."""

from __future__ import annotations

import json
import sys
from typing import Protocol

from shared.types import Json


class View(Protocol):
    def answer(self, answer: Json) -> None: ...

    def event(self, event: Json) -> None: ...

    def approval(self, approval: Json) -> None: ...

    def note(self, text: str) -> None: ...

    def decided(self, approval: Json, told: str | None) -> None:
        """A decision was made here, so the approval is now this one; `told` where nobody typed it."""

    def pause(self) -> None:
        """Nothing moves on the screen until the next event."""

    def waiting(self, task: Json, approval: Json) -> None: ...

    def result(self, task: Json | None, ending: Json | None = None) -> None: ...


class JsonView:
    """One event a line, last `{type: "result", …}`. ASCII only, so that no text can drive a terminal."""

    def answer(self, answer: Json) -> None:
        self._print({"type": "message", **answer})

    def event(self, event: Json) -> None:
        self._print(event)

    def approval(self, approval: Json) -> None:
        """Already told by its event."""

    def note(self, text: str) -> None:
        sys.stderr.write(text.encode("ascii", "backslashreplace").decode() + "\n")

    def decided(self, approval: Json, told: str | None) -> None:
        if told:
            self.note(told)

    def pause(self) -> None: ...

    def waiting(self, task: Json, approval: Json) -> None:
        self._print({**_result(task, None), "approval_id": approval.get("approval_id")})

    def result(self, task: Json | None, ending: Json | None = None) -> None:
        self._print(_result(task or {}, ending))

    def _print(self, value: Json) -> None:
        sys.stdout.write(json.dumps(value, default=str) + "\n")
        sys.stdout.flush()


class HumanView:
    def __init__(self, *, log: bool = False) -> None:
        from agent_orchestrator.cli.render.console import open_console
        from agent_orchestrator.cli.render.progress import Progress

        self.console = open_console()
        self._progress = Progress(self.console, log=log)

    def answer(self, answer: Json) -> None:
        from rich.text import Text

        from agent_orchestrator.cli.render.text import clean

        self.console.print(Text(clean(answer.get("message", ""))))
        for suggestion in answer.get("suggestions") or [] if answer.get("intent") != "task_created" else []:
            self.console.print(Text("  - " + clean(suggestion, lines=False), style="cyan"))

    def event(self, event: Json) -> None:
        """A question is shown at once, so nothing moves for it."""
        if event.get("type") == "approval_required":
            self.pause()
        else:
            self._progress.start()
        self._progress.event(event)

    def approval(self, approval: Json) -> None:
        from agent_orchestrator.cli.render.approval import approval_panel

        self.pause()
        self.console.print(approval_panel(approval))

    def note(self, text: str) -> None:
        from rich.text import Text

        from agent_orchestrator.cli.render.text import clean

        self.pause()
        self.console.print(Text(clean(text), style="yellow"))

    def decided(self, approval: Json, told: str | None) -> None:
        self._progress.decided(approval, told)
        self._progress.start()

    def pause(self) -> None:
        self._progress.stop()

    def waiting(self, task: Json, approval: Json) -> None:
        from agent_orchestrator.cli.render.report import waiting_lines

        self.pause()
        for line in waiting_lines(approval):
            self.console.print(line, soft_wrap=True)

    def result(self, task: Json | None, ending: Json | None = None) -> None:
        from agent_orchestrator.cli.render.report import look_line, report_panel

        self.pause()
        if task is None:
            return
        self.console.print(report_panel(task, ending))
        look = look_line(task, ending)
        if look is not None:
            self.console.print(look, soft_wrap=True)


def _result(task: Json, ending: Json | None) -> Json:
    branch = (ending or {}).get("branch") or (task.get("branch") if task.get("pr_url") else None)
    kept = {key: task.get(key) for key in ("task_id", "status", "pr_url", "outcome", "error", "cost")}
    return {"type": "result", **kept, "branch": branch}


def view_for(*, as_json: bool, log: bool = False) -> View:
    return JsonView() if as_json else HumanView(log=log)
