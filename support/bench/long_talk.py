"""A chat turn late in a long conversation beside an early one: turn 500 and turn 10, milliseconds (medians of the 20 around them)."""

from __future__ import annotations

import asyncio
import time

from measure import data_folder, percentile, tell

from agent_orchestrator.approvals.service import ApprovalService
from agent_orchestrator.conversation.service import ChatTurn, Conversation
from agent_orchestrator.resources import open_resources
from agent_orchestrator.tasks.service import TaskService
from config.settings import Settings
from shared.types import new_id

TURNS, AROUND = 510, 10


async def main() -> None:
    with data_folder() as data:
        async with open_resources(Settings(data_dir=data), worker=False) as resources:
            conversation = Conversation(resources, TaskService(resources), ApprovalService(resources))
            for session in (new_id("session"), new_id("session")):
                taken = []
                for number in range(TURNS):
                    began = time.perf_counter()
                    await conversation.turn(ChatTurn(message=f"what can you do? ({number})", user_id="local", session_id=session))
                    taken.append((time.perf_counter() - began) * 1000)
    early, late = (percentile(taken[turn - AROUND : turn + AROUND], 0.5) for turn in (10, 500))
    tell("long_talk", turn_10_ms=round(early, 2), turn_500_ms=round(late, 2), ratio=round(late / early, 2))


if __name__ == "__main__":
    asyncio.run(main())
