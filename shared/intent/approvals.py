"""Answers to a request for approval. Deny by default: only a whole message of plain assent is an approval.

Anything conditional, negated in part, questioned or simply longer than assent has no decision, and the person is asked again.
"""

from __future__ import annotations

import re
from typing import Literal

from shared.intent.dialogue import Expectation
from shared.intent.entities import APPROVAL_REFERENCE, TASK_REFERENCE
from shared.intent.text import Text, word_set

Decision = Literal["approve", "reject"]

_YES = word_set(
    """
    yes y yep yeah yup yea approve approved lgtm proceed agreed accept accepted confirm confirmed ✅ ✔ 👍 👌 +1 ja oui si sí
    sim はい 是 是的 好 好的 同意 批准 承認 承認します 可以 да 네 예 tak genehmigt genehmigen
    einverstanden approuvé approuver d'accord aprobado
    aprobar apruebo aprovado aprovo approvato approvo одобряю
    """
)
_WEAK_YES = word_set(
    """
    ok okay sure fine absolutely definitely certainly affirmative perfect vale
    """
)
_NO = word_set(
    """
    no n nope nah reject rejected decline declined deny denied disapprove disapproved refuse ❌ 🚫 👎 -1 negative nein non não
    拒绝 不 不行 不要 いいえ 却下 нет 아니요 nie rechazar rechazado rechazo ablehnen abgelehnt refuser refusé rejeitar rejeitado rifiuto
    отклонить
    """
)
_FILLER = word_set(
    """
    please pls thanks i we it this that that's thats a go ahead with s'il te plaît plait vous por favor bitte gracias danke merci
    to me from sounds looks good great for of course
    """
)
_ASKING = word_set("is are was were do does did can could should would will who what when where why how which has have am may")
_YES_PHRASE = re.compile(
    r"(?:(?:ok|okay|yes|sure|yep|yeah|great|please)[, ]+)?(?:go ahead|go for it|do it|please do|ship it|merge it|apply it"
    r"|run it|sounds (?:good|great)"
    r"|looks (?:good|great)(?: to me)?|of course|make it so|all good|you have my approval|i(?:'m| am) (?:fine|ok"
    r"|okay) with (?:it|that|this))"
    r"(?:[, ]+(?:please|thanks|thank you|then))?[.! ]*"
)
_YES_NOUN = re.compile(
    r"(?:(?:ok|okay|yes|please|i)[, ]+)?(?:approved?|accept|confirm|go ahead with|proceed with) (?:the|this|these|that) "
    r"(?:plan|diff|changes?|merge|request|pr|pull request|change request|command)(?:[, ]+(?:please|thanks|thank you))?[.! ]*"
    r"|(?:yes|ok|okay|sure|approved?)[,.! ]+(?:thanks|thank you)(?: very much| a lot)?[.! ]*"
)
_NO_PHRASE = re.compile(
    r"(?:no way|i(?:'d| would) (?:rather|prefer) not(?: to)?|i(?:'ll| will|ll) pass|absolutely not|definitely not"
    r"|certainly not|never|not approved"
    r"|(?:please )?(?:don't|do not|dont)(?: do (?:it|that|this)| merge(?: it)?| proceed| go ahead)?|that(?:'s| is|s) a (?:no"
    r"|negative)|i am saying no)\b"
)
_CONDITION = re.compile(
    r"\b(but|if|unless|until|till|before|after|first|except|only|wait|later|yet|however|although|though|provided|assuming"
    r"|once|when|instead|"
    r"maybe|perhaps|partly|aber|wenn|mais|pero|not sure|without|then)\b"
)
_NEGATION = re.compile(r"\b(not|no|never|don't|dont|doesn't|isn't|can't|cannot|won't|neither|nor|nicht|nein|pas|non)\b|n't\b")
_REMARK = re.compile(
    r"\b(true|correct|right|accurate|facts?|fake|false|invalid|wrong|valid|factual|negative|affirmative|incorrect|not it"
    r"|not yet|not now|hold o(?:n|ff))\b"
)
_NAMED = re.compile(
    rf"(?:(?:please|pls|ok|okay|yes|no|i|we|hereby|can you|could you)[, ]+)*(?P<verb>approve|reject|decline|deny|confirm"
    rf"|genehmige|ablehnen|approuve|aprobar)d? "
    rf"(?:the )?(?:(?:plan|diff|change|changes|approval|request|task|job|command|pr|pull request|change request"
    rf"|merge)s? )?(?:(?:of|for|with|in) )?"
    rf"(?:(?:task|job|approval) )?(?P<name>{APPROVAL_REFERENCE}|{TASK_REFERENCE}|\d+)(?P<rest>.*)"
)
_BARE = re.compile(
    r"(?:(?:please|ok|okay|yes|i) )?(?P<verb>approve|approved|reject|rejected|lgtm)"
    r"(?: (?:it|this|that|the (?:plan|diff|change|changes|pr|command|request)))?(?: please)?[.! ]*"
)
_COURTESY = re.compile(r"(?:[ ,.!]|please|thanks|thank you|now)*")
_POSITIVE = ("approve", "approved", "confirm", "genehmige", "approuve", "aprobar", "lgtm")


def read_named(text: Text, expected: Expectation) -> tuple[Decision | None, bool]:
    """`(decision, is_one)` of a message that itself names what it decides, or is nothing but the verb."""
    if text.is_question:
        return None, False
    if named := _NAMED.fullmatch(text.low):
        plain = bool(_COURTESY.fullmatch(named["rest"])) and not text.low.startswith("no")
        if plain:
            return _decision_of(named["verb"]), True
        return None, len(text.words) <= 15
    if expected is not Expectation.ANSWER and (bare := _BARE.fullmatch(text.low)):
        return _decision_of(bare["verb"]), True
    return None, False


def read_answer(text: Text) -> tuple[Decision | None, bool]:
    """`(decision, is_one)` of a message that follows a request for approval."""
    if text.is_question or not text.words or len(text.words) > 25:
        return None, False
    conditional = bool(_CONDITION.search(text.low))
    if is_plain_assent(text):
        return "approve", True
    if text.first in _NO or _NO_PHRASE.match(text.low):
        return (None if conditional else "reject"), True
    if text.first in _YES or text.first in _WEAK_YES or _YES_PHRASE.match(text.low):
        return None, True
    short = len(text.words) <= 8
    return None, short and bool(_REMARK.search(text.low))


def is_plain_assent(text: Text) -> bool:
    """Whether the whole message is assent and nothing else."""
    if text.is_question or len(text.words) > 8 or _CONDITION.search(text.low) or _NEGATION.search(text.low):
        return False
    if text.first in _ASKING:
        return False
    if _YES_PHRASE.fullmatch(text.low) or _YES_NOUN.fullmatch(text.low):
        return True
    assents = sum(word in _YES or word in _WEAK_YES for word in text.words)
    others = [word for word in text.words if word not in _YES and word not in _WEAK_YES and word not in _FILLER]
    return assents > 0 and not others and _only_words(text)


def is_explicit(text: Text) -> bool:
    """Whether the decision is said with a word that means nothing else ("approve", "yes", "reject", "no"), not with "ok" or "fine"."""
    return any(word in _YES or word in _NO for word in text.words) or bool(_NO_PHRASE.match(text.low))


def _only_words(text: Text) -> bool:
    """No symbols that the words do not account for: `yes; rm -rf`, `y = 1`."""
    return re.search(r"[^\w\s.,!'✅✔👍👌+-]", text.low) is None


def _decision_of(verb: str) -> Decision:
    return "approve" if verb in _POSITIVE else "reject"
