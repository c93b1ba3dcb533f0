"""What became of every line of an import, for the operator to read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Row

LISTED = 100  # line numbers per reason, and moves, that the report names; --rejects has every one


class Imported(Protocol):
    """What an import tells when it is over."""

    @property
    def taken(self) -> int: ...
    def text(self) -> str: ...


@dataclass(slots=True)
class Summary:
    """read = inserted + updated + unchanged + merged + rejected. moved and adopted are among the updated."""

    dry_run: bool = False
    klpds: int = 0
    klpds_inserted: int = 0
    klpds_updated: int = 0
    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    merged: int = 0  # further lines of a satker that was counted
    rejected: int = 0
    moved: int = 0  # to another K/L/P/D, under the same kd_satker
    adopted: int = 0  # known by code before, now by kd_satker
    hidden: int = 0  # not active in the source
    deactivated: int = 0  # shown before, no longer in the source
    short_codes: int = 0
    first_short_code: int = 0
    reasons: dict[str, list[int]] = field(default_factory=dict)  # the first lines of each
    reason_counts: dict[str, int] = field(default_factory=dict)
    moves: list[str] = field(default_factory=list)

    @property
    def satkers(self) -> int:
        """How many satkers of the catalog the file speaks of."""
        return self.inserted + self.updated + self.unchanged

    @property
    def taken(self) -> int:
        """How many lines were not rejected."""
        return self.read - self.rejected

    def reject(self, line: int, reason: str) -> None:
        self.rejected += 1
        self.reason_counts[reason] = self.reason_counts.get(reason, 0) + 1
        lines = self.reasons.setdefault(reason, [])
        if len(lines) < LISTED:
            lines.append(line)

    def note_change(self, row: Row[Any], values: Mapping[str, Any]) -> None:
        self.adopted += row.kd_satker != values["kd_satker"]
        if row.klpd_code != values["klpd_code"]:
            self.moved += 1
            if len(self.moves) < LISTED:
                self.moves.append(
                    f"kd_satker {values['kd_satker']} from {row.klpd_code} to {values['klpd_code']}"
                )

    def text(self) -> str:
        """The lines to print."""
        counts = ("read", "inserted", "updated", "unchanged", "merged", "rejected")
        further = ("moved", "adopted", "hidden", "deactivated")
        lines = [
            "Dry run: nothing was changed." if self.dry_run else "",
            f"K/L/P/D: {self.klpds} ({self.klpds_inserted} inserted, {self.klpds_updated} updated)",
            f"satkers: {self.satkers}",
            ", ".join(f"{name} {getattr(self, name)}" for name in counts),
            ", ".join(f"{name} {getattr(self, name)}" for name in further if getattr(self, name)),
            *(_rejection(self, reason, lines) for reason, lines in self.reasons.items()),
            *(f"moved: {move}" for move in self.moves),
            _more("moved", self.moved - len(self.moves)),
            _short_codes(self),
        ]
        return "\n".join(line for line in lines if line)


def _rejection(summary: Summary, reason: str, lines: list[int]) -> str:
    count = summary.reason_counts[reason]
    numbers = ", ".join(map(str, lines))
    more = f" and {count - len(lines)} more" if count > len(lines) else ""
    return f"rejected {count}, {reason}: line{'s' if count > 1 else ''} {numbers}{more}"


def _more(what: str, count: int) -> str:
    return f"{what}: and {count} more" if count else ""


def _short_codes(summary: Summary) -> str:
    if not summary.short_codes:
        return ""
    return (
        f"warning: {summary.short_codes} codes have fewer than 6 digits, the first in line {summary.first_short_code}: "
        "did a spreadsheet drop their leading zeros?"
    )
