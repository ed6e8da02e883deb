"""The recogniser by rules: microseconds, no model, no state.

The order is the policy: what could do harm is looked at first and needs the plainest words; a pending question takes what is left.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.intent.approvals import read_answer, read_named
from shared.intent.control import is_control
from shared.intent.dialogue import Expectation, expectation
from shared.intent.entities import find_entities
from shared.intent.general import is_about_the_assistant, is_about_the_world, is_injection, is_small_talk
from shared.intent.port import Intent, Recognition, Turn
from shared.intent.requests import is_about_code, is_question_form, is_vague, leads_with_verb, states_a_need
from shared.intent.status import is_status_query
from shared.intent.task_types import choose_task_type
from shared.intent.text import Text, read_text

QUESTIONS = {
    "bug_fix": "What goes wrong, and where (file, command or page)?",
    "code_review": "What shall I review (a branch, a file or a pull request)?",
    "dependency_update": "Which dependency, and to which version?",
    "documentation": "What shall be documented, and in which file?",
    "test": "Which part of the code shall the tests cover?",
    "refactor": "Which file or function do you mean, and what should change about it?",
    "infrastructure": "What exactly, and for which service or environment?",
    "investigation": "Which file or function do you mean?",
    "feature_dev": "What should it do, and where in the code does it belong?",
}


class RulesRecogniser:
    """`Recogniser` by hand-written rules for English, with short answers in other languages."""

    async def recognise(self, message: str, history: Sequence[Turn] = ()) -> Recognition:
        return recognise(message, history)


def recognise(message: str, history: Sequence[Turn] = ()) -> Recognition:
    text = read_text(message)
    expected = expectation(history)
    entities = find_entities(text) or None
    if not text.words:
        emoji_answer = expected is Expectation.ANSWER and bool(text.low)
        return Recognition(Intent.CLARIFICATION if emoji_answer else Intent.GENERAL_QUERY, 0.6, entities=entities)
    if is_injection(text):
        return Recognition(Intent.GENERAL_QUERY, 0.9, entities=entities)
    decision, named = read_named(text, expected)
    if not named and expected is Expectation.APPROVAL:
        decision, named = read_answer(text)
    if named:
        return Recognition(Intent.APPROVAL_ACTION, 0.95 if decision else 0.7, decision=decision, entities=entities)
    intent, confidence = _classify(text, expected)
    if intent is not Intent.TASK_SUBMISSION:
        return Recognition(intent, confidence, entities=entities)
    task_type, clearness = choose_task_type(text)
    vague = is_vague(text)
    question = QUESTIONS[task_type] if vague else None
    return Recognition(
        intent,
        round(confidence * (0.7 + 0.3 * clearness), 3),
        task_type=task_type,
        needs_clarification=vague,
        question=question,
        entities=entities,
    )


def _classify(text: Text, expected: Expectation) -> tuple[Intent, float]:
    if is_control(text, expected):
        return Intent.CANCEL_MODIFY, 0.9
    if expected is Expectation.ANSWER and _answers(text):
        return Intent.CLARIFICATION, 0.85
    if is_status_query(text, expected):
        return Intent.STATUS_QUERY, 0.9
    if is_about_the_assistant(text) or is_small_talk(text):
        return Intent.GENERAL_QUERY, 0.9
    if is_about_the_world(text) and not leads_with_verb(text):
        return Intent.GENERAL_QUERY, 0.75
    if leads_with_verb(text):
        return Intent.TASK_SUBMISSION, 0.9
    if is_about_code(text):
        return Intent.TASK_SUBMISSION, 0.75 if is_question_form(text) else 0.8
    if states_a_need(text) or (not is_question_form(text) and _is_long(text)):
        return Intent.TASK_SUBMISSION, 0.5
    return Intent.GENERAL_QUERY, 0.5


def _answers(text: Text) -> bool:
    """Whether a message that follows a question answers it, rather than beginning something else."""
    if len(text.words) > 30:
        return False
    if is_question_form(text):
        return text.is_question and len(text.words) <= 3 and not is_status_query(text, Expectation.NOTHING)
    return not (leads_with_verb(text) and len(text.words) >= 5 and is_about_code(text))


def _is_long(text: Text) -> bool:
    return len(text.words) >= 9
