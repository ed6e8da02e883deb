"""Control of an existing task: cancel, pause, retry, change its scope."""

from __future__ import annotations

import re

from shared.intent.dialogue import Expectation
from shared.intent.entities import TASK_REFERENCE
from shared.intent.text import Text

_IT = (
    r"(?:it|this|that|them|everything|all(?: of (?:it|them|that))?|(?:the|my|that|this|your|last|current|all"
    r"|both)(?: \w+){0,2} (?:job|task|run|work|request|build|thing|jobs|tasks|runs))"
)
_VERB = (
    r"(?:cancel|stop|abort|pause|resume|retry|restart|re-?run|kill|halt|scrap|drop|undo|revert|roll ?back|unpause|continue"
    r"|suspend|terminate|discard|hold|postpone|delay|reopen|redo|repeat|annuler|abbrechen|cancela|cancelar|annule|stopp)"
)
_LEAD = (
    r"(?:(?:please|pls|ok|okay|hey|hey ai|no|actually|can you|could you|just|then|now|i need you to|i want you to|wait"
    r"|you can|yes|bitte|oh|and|we can|you should)[, ]+)*"
)
_CONTROL = re.compile(
    rf"^{_LEAD}{_VERB}(?: (?:on|up))?(?: (?:{_IT}|(?:the )?(?:job |task |run )?{TASK_REFERENCE}))?(?:[, ]+(?:please|now|again"
    rf"|asap|immediately|for now|for a moment|right away|bitte))*[.! ]*$"
    rf"|^{_LEAD}{_VERB} (?:(?:the )?(?:job |task |run )?{TASK_REFERENCE}|{_IT})\b"
    rf"|^{_LEAD}(?:stop|quit) (?:talking|working|it|that|doing|everything|what|now)\b|^{_LEAD}roll (?:it|that|this|them|everything) back\b"
    r"|^(?:please |ok )?(?:never ?mind|forget (?:it|that|about it|about that|this)|scratch that|leave it)\b"
    r"|\bdrop (?:whatever|what|everything)\b"
    r"|^(?:please )?(?:try|run|do|start) (?:it |that )?(?:again|over|once more)\b|\blet'?s (?:cancel|stop|abort|pause|retry|drop)\b"
    rf"|\b(?:put|take|move|set|change|make|lower|raise|extend|increase|limit|prioriti[sz]e|reassign|assign|give|let|tell|mark"
    rf"|start|skip|add|archive|close|delete|remove)\b[^?]{{0,60}}\b(?:job|task|run|ticket)s? #?\d+\b"
    rf"|\b(?:put|set|pause|hold|cancel|stop)\b[^?]{{0,60}}\btask_[0-9a-z]{{4,}}|^(?:brich|stoppe|annule|cancela|arrête)\b|^取消|^停止"
)
_MODIFY = re.compile(
    r"\binstead\b|^(?:please |and |oh |oh and |actually[, ]+)*(?:also|too|additionally|include|exclude|leave out|leave|skip"
    r"|only|don't|do not|limit|not the|without|use|make (?:it|that|them|sure)|change (?:it|that)|keep|do (?:it|that)|wait"
    r"|and )\b"
    r"|^actually\b|\b(?:as well|too)[.! ]*$|\b(?:rather than|on second thought|change of plans?|while you(?:'re| are) at it)\b"
    r"|^(?:add|put|switch|move|rename|limit|restrict|extend) (?:it|that|them|the scope)\b"
)


def is_control(text: Text, expected: Expectation) -> bool:
    if text.low.startswith(("how do", "how can", "how to", "what happens")):
        return False
    if _CONTROL.search(text.low):
        return True
    return expected is Expectation.WORK and not text.is_question and bool(_MODIFY.search(text.low))
