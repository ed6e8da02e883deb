"""Tasks that take a cancellation for an outage are ended all the same."""

from __future__ import annotations

import asyncio

from shared.background import end_task


async def test_a_task_that_swallows_its_first_cancellation_ends() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 2:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end_task(task)
    assert (task.cancelled(), swallowed) == (True, 2)


async def test_an_ended_task_and_its_error_are_left_in_peace() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    await end_task(task)
    assert isinstance(task.exception(), ZeroDivisionError)


async def test_the_task_has_ended_when_the_caller_is_cancelled_at_every_step() -> None:
    async def slow_to_end() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)

    task = asyncio.create_task(slow_to_end())
    await asyncio.sleep(0)
    ending = asyncio.create_task(end_task(task))
    await asyncio.sleep(0)
    while not ending.done():
        ending.cancel()
        await asyncio.sleep(0)
    assert ending.cancelled()
    assert task.done()
