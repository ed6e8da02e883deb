"""A model without a memory: the same conversation gets the same answer in every life of the process."""

from __future__ import annotations

from langchain_core.messages import AIMessage, BaseMessage

from tests.agents.scripted_model import ScriptedModel, call, plan, review, say

REQUEST = "Add handling of white space around the path to load_conf"


def model() -> ScriptedModel:
    return ScriptedModel(_answer)


def _answer(messages: list[BaseMessage], tools: list[str]) -> AIMessage:
    answered = sum(message.type == "ai" for message in messages)
    if "DraftPlan" in tools:
        return [call("search", pattern="load_conf"), plan("Strip white space from the path", "app.py")][answered]
    if "DraftReview" in tools:
        return [call("show_change", path="app.py"), review("looks_good")][answered]
    asked = str(next(message.content for message in messages if message.type == "human"))
    if "the tests are red" in asked:
        return [_edit("path.strip()", "path.strip().upper()"), say("It is upper case again.")][answered]
    return [call("read_file", path="app.py"), _edit("path.upper()", "path.strip()"), say("The path is stripped.")][answered]


def _edit(old: str, new: str) -> AIMessage:
    return call("edit_file", path="app.py", old=old, new=new)
