"""Adding a rule to the text of `.persevere.yml`; comments, order and line ends of the rest stay."""

from __future__ import annotations

import json

import yaml

from shared.errors import PersevereError
from shared.recipes.repository_config import FILE_NAME, ApprovalRule, parse_repository_config


class UnwritableError(Exception):
    """The file's layout does not allow a careful edit."""


def with_rule(data: bytes, rule: ApprovalRule) -> bytes:
    """The file's bytes with `rule` at the end of `approvals`. Raises `UnwritableError` when nothing else could be guaranteed."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise UnwritableError(f"`{FILE_NAME}` is not UTF-8.") from exc
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.replace("\r\n", "\n").split("\n")
    edited = newline.join(_edited(lines, rule)).encode()
    try:
        before, after = parse_repository_config(data), parse_repository_config(edited)
    except PersevereError as exc:
        raise UnwritableError(f"`{FILE_NAME}` could not be edited safely.") from exc
    if after != before.model_copy(update={"approvals": [*before.approvals, rule]}):
        raise UnwritableError(f"`{FILE_NAME}` could not be edited safely: its layout is unusual.")
    return edited


def _edited(lines: list[str], rule: ApprovalRule) -> list[str]:
    root = yaml.compose("\n".join(lines), Loader=yaml.SafeLoader)
    if root is None or (isinstance(root, yaml.ScalarNode) and root.value == ""):
        kept = [line for line in lines if line.strip() and line.strip() != "---"]
        return [*kept, "approvals:", *_block(rule, 2), ""]
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        raise UnwritableError(f"`{FILE_NAME}` is not a block mapping.")
    for key, value in root.value:
        if key.value == "approvals":
            return _inserted(lines, key, value, rule)
    body = list(lines)
    while body and not body[-1].strip():
        body.pop()
    closing = [body.pop()] if body and body[-1].strip() == "..." else []
    return [*body, "", "approvals:", *_block(rule, 2), *closing, ""]


def _inserted(lines: list[str], key: yaml.Node, value: yaml.Node, rule: ApprovalRule) -> list[str]:
    line = int(key.start_mark.line)
    if isinstance(value, yaml.SequenceNode) and value.value and not value.flow_style:
        indent = int(value.start_mark.column)
        last = max(int(_last(value).end_mark.line), int(value.value[-1].start_mark.line))
        end = last + 1 if _last(value).end_mark.column else last
        return [*lines[:end], *_block(rule, indent), *lines[end:]]
    if (isinstance(value, yaml.SequenceNode) and not value.value) or (
        isinstance(value, yaml.ScalarNode) and value.value in ("", "null", "~")
    ):
        if value.end_mark.line != line:
            raise UnwritableError(f"`approvals` in `{FILE_NAME}` is laid out unusually.")
        comment = lines[line][value.end_mark.column :].strip()
        return [*lines[:line], f"approvals:{'  ' + comment if comment else ''}", *_block(rule, 2), *lines[line + 1 :]]
    raise UnwritableError(f"`approvals` in `{FILE_NAME}` is written on one line as [...].")


def _last(node: yaml.Node) -> yaml.Node:
    """The last scalar or flow collection below a node: where its text really ends."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        child = node.value[-1]
        node = child[1] if isinstance(child, tuple) else child
    return node


def _block(rule: ApprovalRule, indent: int) -> list[str]:
    space = " " * indent
    lines = [f"{space}- name: {rule.name}"]
    for field in ("paths", "commands"):
        if values := getattr(rule, field):
            lines += [f"{space}  {field}:", *(f"{space}    - {json.dumps(value, ensure_ascii=False)}" for value in values)]
    lines += [f"{space}  gate: {rule.gate.value}", f"{space}  risk: {rule.risk.value}"]
    if rule.approvers:
        lines.append(f"{space}  approvers: {json.dumps(rule.approvers, ensure_ascii=False)}")
    return lines
