"""What a benchmark found: one row a subject, figures with units in their names, and the ratios that matter."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """Rows of one run, and ratios between them."""

    name: str
    rows: list[dict[str, str | float]]
    ratios: dict[str, float]

    def as_dict(self) -> dict[str, object]:
        """Return it for --json."""
        return asdict(self)

    def table(self) -> str:
        """Return it for people."""
        lines = [self.name]
        for row in self.rows:
            figures = "  ".join(f"{name}={value}" for name, value in row.items() if name != "subject")
            lines.append(f"  {row['subject']:<28} {figures}")
        return "\n".join([*lines, *(f"  ratio {name}: {value}" for name, value in self.ratios.items())])
