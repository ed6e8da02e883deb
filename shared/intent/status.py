"""Questions about one's own tasks."""

from __future__ import annotations

import re

from shared.intent.dialogue import Expectation
from shared.intent.entities import APPROVAL_REFERENCE, TASK_REFERENCE
from shared.intent.text import Text

_PLAIN = re.compile(
    r"\b(what(?:'s| is|s)|tell me|show(?: me)?|give me|check|get)? ?(?:the |my )?(?:current )?(?:status|progress"
    r"|state)\b(?: (?:of|on|for|report|update)\b|[?.! ]*$)"
    r"|^(?:(?:any|an|some) (?:progress|updates?|news|eta|status)\b[^,]{0,40}|(?:progress|updates?|news|eta|status))[?.! ]*$"
    r"|\b(?:progress|status) (?:report|update)\b|\bhow far (?:are|is|along|have)\b|\bhow(?:'s| is| are) (?:it|that|things|my"
    r"|the (?:task|job|run|build|migration|pr))\b"
    r"|\b(?:anything|something|what(?:'s| is)?|approvals?|who) (?:is |are )?(?:waiting|pending|blocked|stuck|queued|running|left)\b"
    r"|\bwaiting (?:on|for) (?:me|my)\b|\bdid (?:anything|something|it|that|they|the (?:job|task|run|build|deploy\w*|tests?"
    r"|migration|merge)) (?:break|fail|finish|pass|work|succeed|go through|complete|crash)"
    r"|\b(?:give me|what(?:'s| is)|any) (?:the )?latest\b|\bwhat are you (?:doing|working on|up to)\b|\bhow much longer\b"
    r"|\bwhen will (?:it|that|this|you) be\b"
    r"|\b(?:list|show)(?: me)?(?: all)?(?: of)?(?: my| the| open| running| recent| failed| pending| finished)* (?:jobs|tasks"
    r"|runs|approvals|builds)\b"
    r"|\bwhich (?:jobs|tasks|runs|approvals|prs|of my)\b|\b(?:my|the|your) (?:last|latest|recent|current|previous) (?:job|task|run)s?\b"
    r"|\bhow (?:many|long) (?:jobs|tasks|runs|will it|has it|does it still)\b"
    r"|^(?:is|are|was|were|has|have|did) (?:it|that|they|the (?:merge|deploy(?:ment)?|migration|job|task|run|build|pr"
    r"|pull request|tests?|plan|rollback))\b[^,]{0,60}"
    r"\b(?:done|ready|through|finished|merged|complete[d]?|over|running|passing|passed|green|started|deployed|live|failed"
    r"|approved|open|stuck|going|up)\b"
    r"|\b(?:ist|wie weit|stand)\b[^?]{0,40}\b(?:fertig|job|auftrag|bist du|aufgabe)\b|\best-ce que\b[^?]{0,60}\b(?:terminé|fini|prêt)"
    r"|\bestado (?:de|del)\b|\b(?:está|esta) (?:listo|terminad\w)|\bwie ist der stand\b|\boù en est\b|\bcómo va\b|状态|进度|進捗|статус"
)
_ABOUT = re.compile(rf"\b(?:{TASK_REFERENCE}|{APPROVAL_REFERENCE})")
_ASKS = re.compile(
    r"^(?:and |so |hey |ok |r |u )*(?:what|where|when|why|who|how|is|are|was|were|has|have|had|did|does|do|can i see"
    r"|could i see|show|give|tell|any|r|which|whats|"
    r"status|check|list|display|log|logs|output|est-ce|ist|hat|está)\b"
)
_AFTER_WORK = re.compile(
    r"^(?:is it |all |are you |you )?(?:done|finished|ready|complete|merged|over)(?: yet| now)?\s*\?+$|^(?:what|when|why|how"
    r"|who|where|did|has|is|was|are|were|have|any|which)\b"
    r"[^,]*\b(?:wrong|fail\w*|happen\w*|merged?|done|stop\w*|error|finish\w*|ready|far|long|take|taking|time|output|logs?"
    r"|changed|pass\w*|break|going|started|it|that|run|job|task|through|left|there)\b"
    r"|\b(?:see|show|view)\b.*\b(?:output|logs?|diff|plan|result|results|errors?|changes|run|job)\b|^(?:why|how long|eta"
    r"|when|what happened|well|still)\s*(?:not|running|going|on it)?\s*\?*$|^and\s*(?:now)?\?$"
)


def is_status_query(text: Text, expected: Expectation) -> bool:
    if _PLAIN.search(text.low):
        return True
    if _ABOUT.search(text.low) and (_ASKS.match(text.low) or text.is_question):
        return not text.low.startswith(("how do i", "how can i", "how to"))
    return expected is Expectation.WORK and bool(_AFTER_WORK.search(text.low))
