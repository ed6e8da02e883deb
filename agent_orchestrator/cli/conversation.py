"""The conversation in the terminal: send a message, answer what is asked, follow the task it makes."""

from __future__ import annotations

from dataclasses import dataclass

from agent_orchestrator.cli.client import Client
from agent_orchestrator.cli.commands import FAILED, OK
from agent_orchestrator.cli.deciders import Decider
from agent_orchestrator.cli.follow import follow_task
from agent_orchestrator.cli.prompt import read_line
from agent_orchestrator.cli.views import View
from shared.types import Json

FOLLOWED = ("task_created", "task_updated", "approval_action")
GOODBYE = ("exit", "quit", "bye")


@dataclass
class Talk:
    """`ask` is true when a person can answer at the prompt."""

    client: Client
    view: View
    decider: Decider
    context: Json
    session_id: str | None
    ask: bool

    async def once(self, message: str) -> int:
        """One request to its end: questions are answered in the same session."""
        while True:
            answer = await self._send(message)
            if answer["intent"] != "clarification":
                return await self._after(answer)
            if not self.ask:
                self.view.note(f'Answer it with: persevere chat --session {self.session_id} "…"')
                self.view.result(None)
                return FAILED
            reply = await read_line("> ")
            if reply is None or not reply.strip():
                return FAILED
            message = reply

    async def loop(self) -> int:
        """Messages until the end of input; the exit code of the last one."""
        code = OK
        while (line := await read_line("you> " if self.ask else "")) is not None:
            if line.strip().lower() in GOODBYE:
                break
            if line.strip():
                code = await self._after(await self._send(line))
        return code

    async def _send(self, message: str) -> Json:
        body: Json = {"message": message, "context": self.context}
        if self.session_id:
            body["session_id"] = self.session_id
        answer: Json = await self.client.post("/chat", body)
        self.session_id = answer["session_id"]
        self.view.answer(answer)
        return answer

    async def _after(self, answer: Json) -> int:
        task_id = answer.get("task_id")
        if not task_id or answer["intent"] not in FOLLOWED:
            self.view.result(None)
            return FAILED if answer["intent"] in ("error", "clarification") else OK
        if answer["intent"] != "task_created":
            task = await self.client.get(f"/tasks/{task_id}")
            if task["status"] in ("completed", "failed", "cancelled"):
                self.view.result(task)
                return OK
        seen = 0 if answer["intent"] == "task_created" else await last_seq(self.client, task_id)
        return await follow_task(self.client, self.view, self.decider, task_id, quiet_until=seen)


async def last_seq(client: Client, task_id: str) -> int:
    """The number of the last stored event of a task; 0 when it has none."""
    page = await client.get(f"/tasks/{task_id}/events")
    events = page["items"] if isinstance(page, dict) else page
    return max((int(event["seq"]) for event in events), default=0)


async def unfinished(client: Client) -> list[Json]:
    """The caller's tasks that have not ended, newest first."""
    page = await client.get("/tasks", limit=100)
    return [task for task in page["items"] if task["status"] not in ("completed", "failed", "cancelled")]
