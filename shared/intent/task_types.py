"""Which kind of work a request is: weighted signs, the largest sum wins."""

from __future__ import annotations

import re

from shared.intent.port import TASK_TYPES
from shared.intent.text import Text

_LEAD = (
    r"^(?:(?:please|pls|can you|could you|would you|i need you to|i want you to|i'd like you to|we need to|we should|let's"
    r"|let us|hey|ok|now|just|bitte|kannst du)[, ]+)*"
    r"(?:[\w./-]+(?: service| package| module| app)?: )?"
)

_SIGNS: tuple[tuple[str, float, str], ...] = (
    ("bug_fix", 3.0, _LEAD + r"(?:fix|repair|resolve|correct|debug|hotfix|patch|behebe|corrige|korrigiere|répare|arregla|修复|修正)"),
    ("bug_fix", 2.5, r"修复|修正|\bbehebe\b|\bfehler\b"),
    (
        "bug_fix",
        2.0,
        r"\b(?:bugs?|crash\w*|broken|fails?|failing|throws?|exceptions?|traceback|regression|wrong|incorrect\w*|errors? (?:in"
        r"|when|on|at)|leak\w*|race condition|deadlock|twice|hangs?|freez\w+|typeerror|\w+error:?|null ?pointer|not working"
        r"|doesn't work|stopped working|still being|should be \d+|flaky|fehler|instead of|no longer|off by one"
        r"|missing \w+ targets|segfault)\b",
    ),
    (
        "bug_fix",
        1.2,
        r"\b(?:fix|handle|prevent|avoid|ensure|guard|ignore|preserve|properly|undefined|invalid|should|unblock|exclude|defensive"
        r"|correctly|when|allow passing|asap|as soon as|drop unsupported|reload|even if)\b",
    ),
    (
        "documentation",
        3.5,
        r"\b(?:docs?|documentation|documenting|document|readme|docstrings?|changelog|how-to|howto|tutorial|guide|typos?|adrs?"
        r"|wiki|api reference|javadoc|comments? (?:in|to|on)|dokumentation|dokumentiere|documenta|\w+\.(?:md|rst)|faq|handbook"
        r"|runbook|release notes|code examples?|glossary)\b",
    ),
    (
        "documentation",
        2.2,
        r"\b(?:relative links|broken links|headings?|wording|spelling|markdown|retro|user-facing|publish info|entry \("
        r"|triage model|header endpoint|code example|how to run|clarify|describe|explain in|bin name)\b",
    ),
    (
        "test",
        3.2,
        r"\b(?:(?:add|write|more|missing|unit|integration|e2e|regression|end-to-end|refetch|property|type|snapshot|smoke"
        r"|cover\w*)[\w '-]{0,24} tests?|tests? (?:for|coverage|are|cases?|suite|of|are missing)|test coverage|coverage (?:of|to"
        r"|thresholds?)|specs?|fuzz|unskip|flaky tests?|testing for|jest|vitest|pytest|tests)\b",
    ),
    ("test", 1.5, r"\b(?:test|testing|assert|mock|mocks|fixtures?|suite|uncovered|coverage|waitfor)\b"),
    (
        "refactor",
        3.0,
        _LEAD + r"(?:refactor|rename|extract|split|break up|simplify|clean ?up|restructure|reorgani[sz]e|tidy|move|inline|consolidate"
        r"|dedup\w*|de-duplicate|decouple|modularize|pull|format|lint|modernize|modernise|derive|align|unify|merge|umbenennen"
        r"|renomme|renombra|sort|replace|convert|encapsulate|rewrite|重构)\b",
    ),
    (
        "refactor",
        2.0,
        r"\b(?:refactor\w*|duplicat\w+|duplication|into (?:its|their|a|an)? ?own|consistent|snake_case|camelcase|unused"
        r"|dead code|legibility|readability|cleanup|clean-up|naming|static constants|internals|into smaller|spaghetti|god class"
        r"|helper factories|manual|abstract class|interface|phantom|lint findings|unused imports|imports)\b",
    ),
    ("refactor", 0.8, r"\b(?:drop|remove|use|from|comparison|expose|parallel)\b"),
    (
        "code_review",
        3.6,
        _LEAD + r"(?:review|code review|audit|look (?:over|at|through)|check (?:branch|the branch|pr|pull request|this pr|my"
        r"|this (?:branch|diff|change|patch)|the (?:diff|pr|last commit|changes))|critique|second opinion|inspect|go over"
        r"|proofread)",
    ),
    (
        "code_review",
        2.6,
        r"\breview (?:it|this|that|pull request|pr|my|the)\b|\bleave comments\b|\bwrite up your findings\b|\bfeedback on\b"
        r"|\bfor mistakes\b|\b(?:pr|pull request|merge request) #?\d+\b.*\b(?:look|review|check|ok)\b|\bcode review\b"
        r"|\bsecurity review\b|\blgtm\?",
    ),
    (
        "dependency_update",
        3.4,
        r"\b(?:bump|upgrade|upgrading|update|downgrade|pin|renovate|dependabot)\b(?=[^.]{0,60}(?:\bv?\d+(?:\.\d+|\.x|\b)"
        r"|\blatest\b|dependenc|\bdeps?\b|packages?|plugins?|librar|lockfile|group|everything|version|all\b|react|lodash))",
    ),
    (
        "dependency_update",
        2.8,
        r"\b(?:dependenc(?:y|ies)|deps?|lockfile|ghsa-\w+|cve-\d+|security advisory|patched release|package updates|dependabot"
        r"|renovate|outdated|peer-?dep)\b|\bmove \w+ to (?:java|python|node|go|php|ruby|react|vue|angular|django|rails"
        r"|spring) ?\d",
    ),
    ("dependency_update", 2.0, _LEAD + r"(?:bump|upgrade|downgrade|pin|dedupe|uninstall)\b|\b\d+\.\d+\.\d+ upgrade\b|\buse [a-z-]+ v\d"),
    ("dependency_update", 1.3, r"\bv?\d+\.\d+\.\d+\b|\b\d+\.x\b|\^\d|\bv\d+\b"),
    (
        "infrastructure",
        3.2,
        r"\b(?:ci|cd|ci/cd|github actions?|gitlab|travis|jenkins|circleci|docker\w*|kubernetes|k8s|helm|terraform|ansible|pulumi"
        r"|deploy\w*|provision|rollout|pipeline|workflows?|liveness|readiness probe|probe|staging|production|nginx|cron|systemd"
        r"|prometheus|grafana|alerts?|infra\w*|image on|publish|release pipeline|makefile|devcontainer|eslint|prettier|codecov"
        r"|nyc|cspell|nx\w*|pnpm|node \d+|monitoring|load balancer|backups?|secrets? manager|s3 bucket|hitl|approval for"
        r"|approval rule|branch protection)\b",
    ),
    (
        "infrastructure",
        1.5,
        r"\b(?:build|cluster|server|environment|env|node|npm|action|runner|cache|freshness check|verification step"
        r"|changed packages|on every (?:tag|push|commit|merge)|config|configurations?|domain|migrations?|command name"
        r"|codesandbox|typecheck|packages)\b",
    ),
    (
        "investigation",
        3.2,
        r"^(?:how|why|what|where|which|who|when|does|do|is|are|can|could|should|would|any|wo|wie|warum|was|pourquoi|cómo|por qué"
        r"|dónde)\b(?! you (?:please )?(?:add|fix|make|write|create|implement))",
    ),
    (
        "investigation",
        3.6,
        r"\b(?:figure out|find out|investigate|look into|root cause|trace the|trace how|analy[sz]e|diagnose|read only|read-only"
        r"|explain|understand|dig into|find where|profile|track down|explore|report on|list all|count)\b",
    ),
    (
        "feature_dev",
        2.0,
        _LEAD + r"(?:add|implement|create|support|introduce|build|make|enable|allow|provide|develop|integrate|expose|accept|agrega"
        r"|ajoute|añade|füge|implementiere|添加|追加)\b",
    ),
    (
        "feature_dev",
        1.5,
        r"\b(?:i'd like|i want|we need|needs? an?|new|feature|support|option|flag|endpoint|export\w*|dashboard|notifications?"
        r"|page|button|field|users? (?:to|can|should)|digest|pagination|paginación|login|method|rule|strategy|variants?|plugin"
        r"|parameter|custom|share|attach|print|pass|type narrowing)\b",
    ),
)
_COMPILED = tuple((kind, weight, re.compile(pattern)) for kind, weight, pattern in _SIGNS)
_FALLBACK = "feature_dev"


def score_task_types(text: Text) -> dict[str, float]:
    """The sum of signs for each of `TASK_TYPES`, 0 or more."""
    scores = dict.fromkeys(TASK_TYPES, 0.0)
    for kind, weight, pattern in _COMPILED:
        if pattern.search(text.low):
            scores[kind] += weight
    return scores


def choose_task_type(text: Text) -> tuple[str, float]:
    """The best type and how clear it is, from 0 (nothing speaks for any) to 1."""
    scores = score_task_types(text)
    ranked = sorted(scores.items(), key=lambda item: -item[1])
    (best, top), (_, second) = ranked[0], ranked[1]
    if top == 0:
        return _FALLBACK, 0.0
    return best, min(1.0, (top - second) / top * 0.6 + min(top, 4.0) / 10)
