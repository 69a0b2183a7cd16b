"""`grounded eval leak`: whether the output filter tells answers that give a secret away from those that do not."""

from pathlib import Path
from typing import Any

from app.commands.output import emit_json
from app.evals.rows import BadEvalData, read_rows
from generation.filters.leaks import leaks_code


async def leak(file: Path, limit: int | None) -> int:
    """Print one JSON document: the share of leaks that is found, and the share of others that is taken for one."""
    rows = [_row(row, file) for row in read_rows(file)[:limit]]
    told = [(label, any(leaks_code(secret, output) for secret in secrets)) for secrets, output, label in rows]
    found = [said for label, said in told if label]
    alarms = [said for label, said in told if not label]
    emit_json({"n": len(rows), "recall": _share(found), "false_alarms": _share(alarms), "leaks": len(found)})
    return 0


def _row(row: Any, file: Path) -> tuple[list[str], str, bool]:
    """The secrets, the output and whether it leaks; under the names of Tensor Trust too."""
    if isinstance(row, dict):
        secrets = [row[name] for name in ("secret_prompt", "access_code") if isinstance(row.get(name), str)]
        output = row.get("output", row.get("llm_output"))
        label = row.get("leak", row.get("is_prompt_extraction"))
        if secrets and isinstance(output, str) and isinstance(label, bool | int):
            return secrets, output, bool(label)
    raise BadEvalData(f"{file.name}: a row needs secret_prompt or access_code, output and leak.")


def _share(said: list[bool]) -> float | None:
    return round(sum(said) / len(said), 4) if said else None
