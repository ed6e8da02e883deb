"""The audit log: a chain of hashes that nobody can change unnoticed. The table refuses UPDATE, DELETE and TRUNCATE by trigger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy import insert as insert_into
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.store.records import AuditEntry
from shared.store.rows import clean, columns, to_record, to_records, to_row
from shared.store.tables import audit_log
from shared.types import Json, canonical_json, sha256_hex, utcnow

_COLUMNS = columns(AuditEntry, audit_log)
_GENESIS = "0" * 64
_PAGE = 1000
_HOLD = select(func.pg_advisory_xact_lock(func.hashtextextended("audit_log", 0)))
_LAST = select(*_COLUMNS).order_by(audit_log.c.seq.desc()).limit(1)
_HEAD = select(audit_log.c.seq, audit_log.c.hash).order_by(audit_log.c.seq.desc()).limit(1)
_INSERT = insert_into(audit_log)


@dataclass(frozen=True)
class AuditReport:
    """`first_bad_seq` is where the chain breaks: an entry that was changed, or the first one after a gap."""

    entries: int
    ok: bool
    first_bad_seq: int | None = None


def entry_hash(
    *, previous_hash: str, seq: int, at: datetime, actor: str, action: str, task_id: str | None, subject: str, data: Json
) -> str:
    """SHA-256 of the previous hash followed by the entry's canonical JSON; times in UTC with microseconds."""
    entry = {
        "seq": seq,
        "at": at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": actor,
        "action": action,
        "task_id": task_id,
        "subject": subject,
        "data": data,
    }
    return sha256_hex(previous_hash.encode() + canonical_json(entry))


async def append(
    tx: AsyncConnection, *, actor: str, action: str, task_id: str | None = None, subject: str = "", data: Json | None = None
) -> AuditEntry:
    """Add an entry. Holds the log until the end of the transaction: do it last."""
    await tx.execute(_HOLD)
    newest = (await tx.execute(_HEAD)).first()
    seq, previous = (newest.seq + 1, newest.hash) if newest else (1, _GENESIS)
    actor, action, subject, content = clean(actor), clean(action), clean(subject), clean(data or {})
    at = utcnow()
    digest = entry_hash(previous_hash=previous, seq=seq, at=at, actor=actor, action=action, task_id=task_id, subject=subject, data=content)
    entry = AuditEntry(
        seq=seq, at=at, actor=actor, action=action, task_id=task_id, subject=subject, data=content, previous_hash=previous, hash=digest
    )
    await tx.execute(_INSERT, to_row(entry))
    return entry


async def for_task(tx: AsyncConnection, task_id: str) -> list[AuditEntry]:
    """A task's entries, oldest first."""
    return to_records(AuditEntry, await tx.execute(select(*_COLUMNS).where(audit_log.c.task_id == task_id).order_by(audit_log.c.seq)))


async def last(tx: AsyncConnection) -> AuditEntry | None:
    """The newest entry: its hash, kept elsewhere, proves that nothing was cut off the end."""
    return to_record(AuditEntry, (await tx.execute(_LAST)).first())


async def verify(tx: AsyncConnection) -> AuditReport:
    """Recompute the whole chain, a thousand entries at a time; stops at the first that does not fit."""
    previous, expected = _GENESIS, 1
    while True:
        query = select(*_COLUMNS).where(audit_log.c.seq >= expected).order_by(audit_log.c.seq).limit(_PAGE)
        entries = to_records(AuditEntry, await tx.execute(query))
        for entry in entries:
            digest = entry_hash(previous_hash=previous, **entry.model_dump(exclude={"previous_hash", "hash"}))
            if entry.seq != expected or entry.previous_hash != previous or entry.hash != digest:
                return AuditReport(entries=expected - 1, ok=False, first_bad_seq=entry.seq)
            previous, expected = entry.hash, expected + 1
        if len(entries) < _PAGE:
            return AuditReport(entries=expected - 1, ok=True)
