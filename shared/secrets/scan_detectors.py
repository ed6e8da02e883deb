"""The detectors: formed secrets (a provider's own format) anywhere, values that look random or like a password where a name says so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from detect_secrets.plugins.artifactory import ArtifactoryDetector
from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
from detect_secrets.plugins.base import RegexBasedDetector
from detect_secrets.plugins.basic_auth import BasicAuthDetector
from detect_secrets.plugins.cloudant import CloudantDetector
from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.high_entropy_strings import Base64HighEntropyString, HexHighEntropyString
from detect_secrets.plugins.ibm_cloud_iam import IbmCloudIamDetector
from detect_secrets.plugins.ibm_cos_hmac import IbmCosHmacDetector
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.keyword import REGEX_BY_FILETYPE, KeywordDetector
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.npm import NpmDetector
from detect_secrets.plugins.openai import OpenAIDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.softlayer import SoftlayerDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector
from detect_secrets.util.filetype import determine_file_type

from shared.secrets import scan_values as values
from shared.secrets.scan_patch import AddedLine

_QUOTED = re.compile(r"""["'][A-Za-z0-9+/\-_=]{32,}["']""")
_SIGNED = re.compile(r"[\w\-=]+\.[\w\-=]+\.[\w\-]{10,}")
_SPACES = re.compile(r"\s{9,}")


class ProviderKeyDetector(RegexBasedDetector):
    """Formats younger than the library's own list."""

    secret_type = "Provider Key"
    denylist = (
        re.compile(r"github_pat_[A-Za-z0-9_]{40,}"),
        re.compile(r"sk-(?:ant|proj|svcacct|admin|or)-[A-Za-z0-9_\-]{24,}"),
        re.compile(r"AIza[0-9A-Za-z_\-]{35}"),
        re.compile(r"GOCSPX-[0-9A-Za-z_\-]{28}"),
        re.compile(r"xapp-\d-[A-Z0-9]+-\d+-[a-f0-9]{32,}"),
        re.compile(r"xoxe(?:\.xox[bp])?-\d-[A-Za-z0-9]{40,}"),
        re.compile(r"e2b_[0-9a-f]{40}"),
        re.compile(r"hf_[A-Za-z]{34}"),
        re.compile(r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"),
        re.compile(r"npm_[A-Za-z0-9]{36}"),
        re.compile(r"do[opr]_v1_[a-f0-9]{64}"),
        re.compile(r"whsec_[A-Za-z0-9+/=]{32,}"),
        re.compile(r"rk_test_[0-9a-zA-Z]{24,}|sk_test_[0-9a-zA-Z]{24,}"),
    )


FORMED: tuple[tuple[type[Any], tuple[str, ...]], ...] = (
    (AWSKeyDetector, ("akia", "asia", "abia", "acca", "a3t", "aws")),
    (GitHubTokenDetector, ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
    (GitLabTokenDetector, ("gl", "gr1348941", "_token")),
    (SlackDetector, ("xox", "hooks.slack.com")),
    (StripeDetector, ("k_live_",)),
    (OpenAIDetector, ("t3blbkfj",)),
    (
        ProviderKeyDetector,
        ("github_pat_", "sk-", "aiza", "gocspx-", "xapp-", "xoxe", "e2b_", "hf_", "lsv2_", "npm_", "_v1_", "whsec_", "k_test_"),
    ),
    (JwtTokenDetector, ("eyj",)),
    (BasicAuthDetector, ("://",)),
    (AzureStorageKeyDetector, ("accountkey",)),
    (NpmDetector, ("_authtoken",)),
    (PypiTokenDetector, ("pypi-",)),
    (SendGridDetector, ("sg.",)),
    (SquareOAuthDetector, ("sq0csp",)),
    (TelegramBotTokenDetector, (":",)),
    (TwilioKeyDetector, ("ac", "sk")),
    (MailchimpDetector, ("-us",)),
    (DiscordBotTokenDetector, (".",)),
    (ArtifactoryDetector, ("akc", "ap")),
    (CloudantDetector, ("cloudant", "cl_")),
    (IbmCloudIamDetector, ("ibm", "bx", "iam")),
    (IbmCosHmacDetector, ("cos", "hmac", "s3", "ibm")),
    (SoftlayerDetector, ("softlayer", "sl_", "sl-", "sl")),
)
"""Each detector with what a line must hold, in small letters, to be worth its time. Private keys are `scan_keys`'s."""
_SHORT = frozenset({"gl", "ac", "sk", ":", ".", "ap", "sl", "cos", "s3", "aws", "://", "_token", "iam", "bx", "ibm"})
"""Of these, too common to be a trace; `_SHAPES` are looked for instead."""
_SHAPES = tuple(
    map(
        re.compile,
        (
            r"gl[a-z]{2,5}-",
            r"(?<![a-z0-9])ac[a-z0-9]{32}",
            r"(?<![a-z0-9])sk[a-z0-9]{32}",
            r"\d{8,10}:[\w-]{35}",
            r"[mno][\w-]{23,25}\.[\w-]{6}\.[\w-]{27}",
            r"(?<![a-z])ap[\dabcdef][a-z0-9]{8}",
            r"://[^\s/]{0,100}:[^\s/]{1,200}@",
            r"aws.{0,20}(?:key|pw|pass|token)",
            r"(?<![a-z])(?:sl|cos|s3|iam|bx|ibm)[^\n]{0,20}(?:key|pwd|pass|token)",
            r"""["'][a-z0-9+/\-_=]{32,}["']""",
        ),
    )
)


class Detectors:
    """One scan's own objects: the library's are not made to be shared."""

    def __init__(self) -> None:
        self._formed = [(kind(), triggers) for kind, triggers in FORMED]
        self._keyword = KeywordDetector()
        self._entropy = (Base64HighEntropyString(limit=4.0), HexHighEntropyString(limit=3.0))

    def worth_a_look(self, lines: list[AddedLine]) -> Iterator[AddedLine]:
        """The lines that hold at least a trace: all together are asked first, since most of them hold none."""
        block = "\n".join(line.text for line in lines).lower()
        words = [word for word in _literals() if word in block]
        shapes = [shape for shape in _SHAPES if shape.search(block)]
        if not words and not shapes:
            return
        for line in lines:
            low = line.text.lower()
            if any(word in low for word in words) or any(shape.search(low) for shape in shapes):
                yield line

    def find(self, path: str, line: AddedLine, *, formed_only: bool = False) -> Iterator[tuple[str, str]]:
        """(kind, value) of what the line seems to hold, the surest first."""
        # Many patterns of the library let two or three repetitions of spaces follow one another: their time grows with the cube.
        text = _SPACES.sub(" " * 8, line.text)
        low = text.lower()
        for detector, triggers in self._formed:
            if any(trigger in low for trigger in triggers):
                for value in detector.analyze_string(text):
                    for whole in _wholes(value, text):
                        if _is_formed(detector, whole, text):
                            yield detector.secret_type, whole
        if not formed_only and not values.is_of_machines(path):
            yield from self._named(path, text, low)

    def _named(self, path: str, text: str, low: str) -> Iterator[tuple[str, str]]:
        """Values given to a name that says secret; long random ones given to another."""
        sample = values.is_sample(path)
        if any(word in low for word in values.WORDS):
            kinds = REGEX_BY_FILETYPE.get(determine_file_type(path))
            for value in self._keyword.analyze_string(text, denylist_regex_to_group=kinds):
                if values.is_password(value, text, sample=sample):
                    yield self._keyword.secret_type, value
            for value in values.assigned(path, text):
                if values.is_password(value, text, sample=sample):
                    yield self._keyword.secret_type, value
        if not sample and _QUOTED.search(text):
            for detector in self._entropy:
                for value in detector.analyze_string(text):
                    if detector.calculate_shannon_entropy(value) > detector.entropy_limit and values.is_random(value, text):
                        yield detector.secret_type, value


@lru_cache(maxsize=1)
def _literals() -> tuple[str, ...]:
    words = {word for _, triggers in FORMED for word in triggers} - _SHORT
    return tuple(sorted(words | set(values.WORDS)))


def _wholes(value: str, text: str) -> list[str]:
    """Some of the library's patterns answer only a token's beginning: all that begin so, the longest first."""
    if len(value) >= 8:
        return [value]
    return sorted(set(re.findall(re.escape(value) + r"[\w\-.+/=]*", text)), key=lambda whole: (-len(whole), whole)) or [value]


def _is_formed(detector: Any, value: str, text: str) -> bool:
    if isinstance(detector, JwtTokenDetector):
        return _SIGNED.match(text, text.find(value)) is not None
    if isinstance(detector, BasicAuthDetector):
        return values.is_url_password(value, text)
    if isinstance(detector, ArtifactoryDetector):
        return any(char.isdigit() for char in value) and any(char.islower() for char in value)
    return len(set(value)) > 4
