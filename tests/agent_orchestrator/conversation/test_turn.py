from __future__ import annotations

import pytest

from agent_orchestrator.conversation.draft import Draft
from agent_orchestrator.conversation.turn import check_session_id, read_message
from shared.errors import InvalidRequestError
from shared.recipes.port import MissingSlot


def test_control_characters_are_left_out() -> None:
    assert read_message(" rename\x00 a\tto b\x1b[31m\n") == "rename a\tto b[31m"


@pytest.mark.parametrize("session_id", ["", " ", "a" * 201, "a\nb", "\x00"])
def test_bad_session_ids_are_refused(session_id: str) -> None:
    with pytest.raises(InvalidRequestError):
        check_session_id(session_id)


def test_a_draft_survives_its_row() -> None:
    draft = Draft("deploy", "infrastructure", "run_command", {"command": "deploy"}, (MissingSlot("target", "Which?", ("api",)),))
    assert Draft.from_json(draft.to_json()) == draft
    assert draft.to_json()["asked"] == "target"
    assert Draft.from_json(None) is None
