"""Requests for work: whether a message is one, and whether it says enough to start."""

from __future__ import annotations

import re

from shared.intent.entities import names_code
from shared.intent.text import Text, word_set

_VERBS = word_set(
    """
    add allow align apply assert attach audit avoid behebe agrega ajoute añade bump break bring build change check clean
    cleanup combine configure consolidate convert correct cover create debug dedupe delete deploy derive describe develop
    disable document downgrade drop enable ensure evaluate exclude expand export expose extend extract find fix format
    figure fuzz generate guard handle implement improve include increase init inline inspect install integrate introduce
    investigate lint list look lower make merge migrate mock modernise modernize move optimise optimize patch pin port
    preserve process profile provide provision publish pull push raise read record reduce refactor register release reload
    remove rename reorganise reorganize repair replace report restore restrict restructure return review revert rewrite run
    scan secure set setup simplify sort speed split standardise standardize strip support switch take test tidy tighten
    trace translate turn unblock uncomment unify unskip update upgrade use validate wire wrap write accept ignore
    implementiere füge korrigiere erstelle schreibe entferne aktualisiere benenne corrige crea elimina escribe actualiza
    ajouter corriger supprime écris crée mets renomme redo
    """
)
_TECH = re.compile(
    r"\b(?:api|apis|app|apps|backend|branch|bug|bugs|build|builds|cache|class|cli|client|code|codebase|column|columns|commit"
    r"|config|configuration|coverage|crash\w*|css|csv|database|db|default|dep|deps|dependenc\w+|deploy\w*|"
    r"docs?|documentation|dropdown|endpoint|endpoints|env|error|errors|exception|exceptions|field|fields|file|files|flag"
    r"|form|frontend|function|functions|handler|handlers|header|headers|headings|hook|html|http|import|imports|"
    r"index|interface|issue|java|javascript|job|jobs|json|kubernetes|latency|library|lint|linter|lock|log|logger|logging"
    r"|login|logs|memory|method|methods|middleware|migration|migrations|module|modules|mutex|node|null|"
    r"package|packages|page|pages|parameter|parser|password|pagination|performance|pipeline|plugin|pr|prod|production"
    r"|program|property|python|query|queries|queue|react|readme|refactor\w*|regex|repo|repository|request|"
    r"requests|response|retry|route|router|rule|rules|scheduler|schema|script|scripts|search|server|service|services|session"
    r"|sessions|shop|sql|staging|state|status|struct|table|tables|test|tests|thread|threads|timeout|token|tokens|"
    r"tmpdir|type|types|typescript|ui|unit|upload|uploads|url|user|users|utf-8|validation|variable|version|versions|view"
    r"|webhook|websocket|worker|workflow|workflows|xml|yaml|fixtures?|callers?|reports?|strateg\w+|listeners?|typo|fehler|"
    r"compiler|editor|ssl|tls|auth\w*|oauth|jwt|redis|postgres\w*|mysql|docker\w*|terraform|nginx|linux|git|github|gitlab"
    r"|npm|pip|dashboard|settings?|notifications?|csv-import|emails?|mail|payment\w*|checkout|cart|carts)\b"
)
_SHAPED = re.compile(r"[a-z][A-Z]|\w_\w|\w\.\w{1,5}\b|#\d+|\b[A-Z]{2,}[-_]?\d+|`|::|\(\)|\w/\w|[a-z]\w+-[a-z]\w+|'[\w-]+'")
_POLITE = re.compile(
    r"^(?:(?:please|pls|plz|can you|could you|would you|will you|can we|i need you to|i want you to|i'd like you to|i need"
    r"|i want|i'd like|i would like|we need to|we need|we should|you should|let's|let us|hey|hi|hello|ok|okay|"
    r"now|just|then|also|and|so|bitte|kannst du|por favor|you must|help me(?: to)?|try to|maybe|go)[, ]+)+"
)
_PREFIX = re.compile(r"^[\w./-]+(?: \w+)?: ")
_QUESTION = word_set(
    """
    how why what where which who when does do is are can could should would any whats what's wo wie warum was pourquoi
    """
)
_NEED = re.compile(
    r"\b(?:needs? (?:an?|to|more|some)|should (?:be|have|not)|must (?:be|have)|is missing|are missing|misses|doesn't"
    r"|does not|i'd like|we want|has grown|please fix|fix (?:it|this|now|asap)|figure out|find out)\b"
)

_NOT_CONTENT = word_set(
    """
    a an the this that these those it its them they there there's something anything everything some any all more new please
    pls asap now up to in on of for with is are was be been do does did can could would you u me my i we us our i'd like
    want need needs should just and or so what how why which where missing wrong code stuff things thing bit little better
    good function file class method bug bugs error errors issue issues problem problems test tests documentation docs doc
    feature features review changes change production prod everywhere asap quickly again here when not work works working
    broken app application project repository repo program system service it's also too properly
    """
)
_SINGLE_ENOUGH = word_set(
    """
    rename bump upgrade update downgrade pin format lint run deploy modernize modernise remove uninstall
    """
)
_SCOPE = re.compile(
    r"\b(?:in|into|of|for|from|to|on|at|by|as|through|between|when|after|before|until|via|under|over)\b\s+(?:the |a |an "
    r"|our |my )?(?!this\b|it\b|that\b|me\b|production\b|prod\b|everything\b|here\b)[\w./-]+"
)


def strip_courtesy(low: str) -> str:
    return _PREFIX.sub("", _POLITE.sub("", low))


def leads_with_verb(text: Text) -> bool:
    """Whether the request, without courtesies, begins with a verb of work."""
    head = strip_courtesy(text.low).split(" ", 1)[0].strip(",.:!")
    return head in _VERBS


def is_about_code(text: Text) -> bool:
    return bool(_TECH.search(text.low) or _SHAPED.search(text.raw))


def is_question_form(text: Text) -> bool:
    return text.first in _QUESTION or text.is_question


def states_a_need(text: Text) -> bool:
    return bool(_NEED.search(text.low))


def is_vague(text: Text) -> bool:
    """Whether a request names nothing that work could begin with: no place, no name, at most one thing."""
    if names_code(text) or "`" in text.raw or '"' in text.raw:
        return False
    body = strip_courtesy(text.low)
    words = [word.strip(",.!?:;'\"") for word in body.split()]
    content = [word for word in words if word and word not in _NOT_CONTENT and word not in _VERBS]
    if any(_SHAPED.search(word) or any(c.isdigit() for c in word) for word in content):
        return False
    if len(content) >= 3:
        return False
    if len(content) == 2:
        return not (_SCOPE.search(body) or leads_with_verb(text) or is_question_form(text))
    return not (content and words[0] in _SINGLE_ENOUGH)
