"""Keys over HTTP: stored, listed without themselves, replaced, removed; and everything that is no key."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agent_orchestrator.resources import Resources
from shared.store import audit, model_keys
from tests.agent_orchestrator.http_server import run_server

KEY = "sk-own-0123456789abcdef-WXYZ"
OTHER = "sk-own-9876543210fedcba-ABCD"


async def test_a_key_from_its_making_to_its_end(resources: Resources) -> None:
    async with run_server(resources) as running, running.client() as client:
        made = await client.post("/model-keys", json={"provider": "openai", "key": f"  {KEY}\n", "name": "mine"})
        listed = await client.get("/model-keys")
        one = await client.get("/model-keys/openai")
        again = await client.post("/model-keys", json={"provider": "openai", "key": OTHER})
        replaced = await client.put("/model-keys/openai", json={"key": OTHER})
        new = await client.put("/model-keys/anthropic", json={"key": OTHER, "name": "second"})
        gone = await client.delete("/model-keys/openai")
        answers = [made, listed, one, again, replaced, new, gone, await client.get("/model-keys/openai")]
        removed_twice = await client.delete("/model-keys/openai")
        left = (await client.get("/model-keys")).json()["items"]
    assert [answer.status_code for answer in answers] == [201, 200, 200, 409, 200, 200, 204, 404]
    assert (again.json()["code"], removed_twice.json()["code"]) == ("model_key_exists", "model_key_not_found")
    assert set(made.json()) == {"provider", "name", "last_four", "created_at", "updated_at"}
    assert (made.json()["provider"], made.json()["name"], made.json()["last_four"]) == ("openai", "mine", "WXYZ")
    assert listed.json()["items"] == [one.json()] == [made.json()]
    assert (replaced.json()["last_four"], replaced.json()["created_at"]) == ("ABCD", made.json()["created_at"])
    assert replaced.json()["updated_at"] > made.json()["updated_at"]
    assert [key["provider"] for key in left] == ["anthropic"]
    told = "".join(answer.text for answer in answers)
    assert KEY not in told
    assert OTHER not in told


async def test_the_audit_log_knows_who_and_what_for_but_no_key(resources: Resources) -> None:
    async with run_server(resources) as running, running.client() as client:
        await client.put("/model-keys/openai", json={"key": KEY, "name": "mine"})
        await client.delete("/model-keys/openai")
    async with resources.database.connection() as connection:
        last = await audit.last(connection)
        assert (await audit.verify(connection)).ok
        everything = str((await connection.exec_driver_sql("SELECT * FROM audit_log")).all())
    assert last is not None
    assert (last.actor, last.action, last.subject) == ("local", "model_key.removed", "openai")
    assert KEY not in everything
    assert KEY[-4:] not in everything


async def test_what_is_stored_is_not_the_key(resources: Resources) -> None:
    async with run_server(resources) as running, running.client() as client:
        await client.put("/model-keys/openai", json={"key": KEY})
        async with resources.database.connection() as connection:
            row = await model_keys.get(connection, "local", "openai")
    assert row is not None
    assert KEY.encode() not in row.sealed
    assert KEY not in repr(row)
    own = await resources.keys_of("local")
    held = own.held("openai")
    assert held is not None
    assert held.get_secret_value() == KEY
    assert KEY not in repr(own)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        "sk-own-0123456789abcdef",
        {"provider": "openai"},
        {"key": KEY},
        {"provider": "openai", "key": None},
        {"provider": "openai", "key": ""},
        {"provider": "openai", "key": "short"},
        {"provider": "openai", "key": 10**30},
        {"provider": "openai", "key": [KEY]},
        {"provider": "openai", "key": {"$ne": 1}},
        {"provider": "openai", "key": "k" * 1025},
        {"provider": "openai", "key": "sk-own 0123456789abcdef"},
        {"provider": "openai", "key": "sk-own-0123456789\r\nX-Evil: 1"},
        {"provider": "openai", "key": "sk-own-0123456789\x00abcdef"},
        {"provider": "openai", "key": "sk-öwn-0123456789abcdef"},
        {"provider": "openai", "key": "sk-own-0123456789\ud800ab"},
        {"provider": "", "key": KEY},
        {"provider": "OPENAI", "key": KEY},
        {"provider": "openai' OR 1=1 --", "key": KEY},
        {"provider": "groq", "key": KEY},
        {"provider": "openai", "key": KEY, "name": "n" * 101},
        {"provider": "openai", "key": KEY, "user_id": "bob"},
        {"provider": "openai", "key": KEY, "base_url": "http://169.254.169.254/"},
    ],
)
async def test_what_is_no_key_is_refused_and_not_repeated(body: Any, resources: Resources) -> None:
    async with run_server(resources) as running, running.client() as client:
        refused = await client.post("/model-keys", content=json.dumps(body), headers={"Content-Type": "application/json"})
        stored = (await client.get("/model-keys")).json()["items"]
    assert (refused.status_code, stored) == (422, [])
    assert "0123456789" not in refused.text


async def test_malformed_and_huge_bodies(resources: Resources) -> None:
    async with run_server(resources) as running, running.client() as client:
        as_json = {"Content-Type": "application/json"}
        broken = await client.post("/model-keys", content=b'{"provider": "openai", "key": "' + KEY.encode(), headers=as_json)
        text = await client.post("/model-keys", content=KEY.encode(), headers={"Content-Type": "text/plain"})
        huge = await client.put("/model-keys/openai", content=b'{"key": "' + b"k" * (2 * 1024 * 1024) + b'"}', headers=as_json)
        nowhere = [await client.get(f"/model-keys/{name}") for name in ("groq", "%00", "..%2f..%2fme", "x" * 3000)]
        nameless = await client.put("/model-keys/openai", json={"key": KEY, "name": "\x00\u202e<b>"})
        anonymous = await client.get("/model-keys", headers={"Authorization": ""})
    assert [broken.status_code, text.status_code, huge.status_code] == [400, 415, 413]
    assert KEY not in broken.text + text.text
    assert {answer.status_code for answer in nowhere} <= {404, 422}
    assert nameless.json()["name"] == "\ufffd\u202e<b>"
    assert anonymous.status_code == 401


async def test_many_at_once_store_one(resources: Resources) -> None:
    async with run_server(resources) as running, running.client() as client:
        made = await asyncio.gather(
            *(client.post("/model-keys", json={"provider": "openai", "key": f"{KEY}{number:04}"}) for number in range(12))
        )
        put = await asyncio.gather(*(client.put("/model-keys/openai", json={"key": f"{OTHER}{number:04}"}) for number in range(12)))
        stored = (await client.get("/model-keys")).json()["items"]
        gone = await asyncio.gather(*(client.delete("/model-keys/openai") for _ in range(12)))
    assert sorted(answer.status_code for answer in made) == [201] + [409] * 11
    assert {answer.status_code for answer in put} == {200}
    assert [key["last_four"] in {f"{number:04}" for number in range(12)} for key in stored] == [True]
    assert sorted(answer.status_code for answer in gone) == [204] + [404] * 11


async def test_a_repeated_request_gets_the_first_answer_and_its_stored_answer_has_no_key(resources: Resources) -> None:
    once = {"Idempotency-Key": "one"}
    async with run_server(resources) as running, running.client() as client:
        first = await client.post("/model-keys", json={"provider": "openai", "key": KEY}, headers=once)
        again = await client.post("/model-keys", json={"provider": "openai", "key": KEY}, headers=once)
        other = await client.post("/model-keys", json={"provider": "openai", "key": OTHER}, headers=once)
    async with resources.database.connection() as connection:
        kept = str((await connection.exec_driver_sql("SELECT * FROM idempotency_keys")).all())
    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert first.json() == again.json()
    assert KEY not in kept


async def test_another_persons_key_is_neither_listed_nor_usable(resources: Resources) -> None:
    async with run_server(resources) as running, running.client() as client:
        await client.put("/model-keys/openai", json={"key": KEY})
        async with resources.database.transaction() as tx:
            await tx.exec_driver_sql("UPDATE model_keys SET user_id = 'bob'")
        listed = (await client.get("/model-keys")).json()["items"]
        gone = await client.delete("/model-keys/openai")
        async with resources.database.transaction() as tx:
            await tx.exec_driver_sql("UPDATE model_keys SET user_id = 'local', provider = 'anthropic'")
        models = (await client.get("/models")).json()
    assert (listed, gone.status_code) == ([], 404)
    moved = [one for one in models["unusable"] if one["provider"] == "anthropic"]
    assert moved, "a row that was moved to another provider cannot be opened"
    assert "cannot be read" in moved[0]["reason"]
    assert models["items"] == []


async def test_nothing_is_made_or_opened_for_who_has_no_keys(resources: Resources) -> None:
    (resources.settings.data_dir / "secret.key").write_text("unusable")
    async with run_server(resources) as running, running.client() as client:
        models = await client.get("/models")
        refused = await client.put("/model-keys/openai", json={"key": KEY})
    own = await resources.keys_of("local")
    assert (models.status_code, own.held("openai")) == (200, None)
    assert (refused.status_code, "secret.key" in refused.json()["detail"]) == (500, True)
