"""What a run found, told: tables for the README, and the file that is kept. `terminal` tells it to who ran it.

Comes in: results, as `runner` makes them and as `bench/results/latest.json` keeps them. Leaves: words. The README says
nothing that is not in that file; a test holds it to that.
"""

import json
from collections.abc import Sequence
from typing import Any

from bench.goals import GOALS, Goal
from bench.peers import PEERS
from bench.places import LATEST, README
from bench.plan import ROWS

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
QUICK = "**A quick run: tiny sizes, to show that it runs. These figures say nothing about speed.**"
_OTHERWISE = "portal, otherwise"
Cells = list[list[str]]


def figures(results: dict[str, Any]) -> Cells:
    """A heading, and a line for each row that was measured: medians and ranges of `n` measurements."""
    peers = _peers(results)
    lines = [["row", "what", "unit", "n", *peers, _OTHERWISE]]
    for row in (row for row in ROWS if row in results["rows"]):
        found = results["rows"][row]
        others = [f"{name}: {_cell(figure)}" for name, figure in found["figures"].items() if name not in PEERS]
        cells = [_peer_cell(results, row, name) for name in peers]
        times = str(max(figure["n"] for figure in found["figures"].values()))
        lines.append([row, found["what"], found["unit"], times, *cells, ", ".join(others)])
    return lines


def goals(results: dict[str, Any]) -> Cells:
    """A heading, and a line for each goal whose row was measured."""
    lines = [["row", "what", "measured", "goal", "reached"]]
    for goal in (goal for goal in GOALS if goal.row in results["rows"]):
        found = results["rows"][goal.row]
        medians = {name: figure["median"] for name, figure in found["figures"].items()}
        unit = f" {found['unit']}" if goal.over is None else f" of {goal.over}'s"
        lines.append([goal.row, found["what"], *_judged(goal, goal.measured(medians), unit)])
    return lines


def notes(results: dict[str, Any]) -> list[str]:
    """On what, with what, and what the peers do not do."""
    machine, versions, skipped = results["machine"], results["versions"], results["skipped"]
    lines = [f"{results['date']}, {', '.join(f'{name} {value}' for name, value in machine.items())}."]
    lines.append(f"Python {versions['Python']}, cryptography {versions['cryptography']}, portal {versions['portal']}.")
    lines += [f"{size}: {_counted(calls)} an upload." for size, calls in results["system_calls"].items()]
    for name in _peers(results):
        if name in skipped:
            lines.append(f"{name} was skipped: {skipped[name]}.")
        elif lacks := PEERS[name].lacks:
            lines.append(f"{name} ({versions[name]}) {lacks}.")
    return lines + [f"{name} was skipped: {why}." for name, why in skipped.items() if name not in PEERS]


def markdown(results: dict[str, Any]) -> str:
    """What stands in the README between the marks."""
    parts = [QUICK] if results["quick"] else []
    parts += [_markdown_table(goals(results)), _markdown_table(figures(results))]
    parts.append("\n".join(f"- {note}" for note in notes(results)))
    return "\n\n".join(parts)


def with_table(readme: str, results: dict[str, Any]) -> str:
    """The README's text with these results between its marks, which have to be there once."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, behind = rest.partition(END)
    assert begin
    assert end
    return f"{before}{BEGIN}\n{markdown(results)}\n{END}{behind}"


def save(results: dict[str, Any]) -> None:
    LATEST.parent.mkdir(exist_ok=True)
    LATEST.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    README.write_text(with_table(README.read_text(), results))


def number(value: float) -> str:
    """Three digits that count, or all in front of the point."""
    places = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{places}f}"


def _peers(results: dict[str, Any]) -> list[str]:
    """Who was there, or could have been: results that were kept do not know a peer that came later."""
    return [name for name in PEERS if name in results["versions"] or name in results["skipped"]]


def _judged(goal: Goal, measured: float | None, unit: str) -> list[str]:
    better = "" if goal.reach is None else f", better {number(goal.reach)}"
    wanted = f"{goal.bound.value} {number(goal.value)}{better}"
    if measured is None:
        return [f"no {goal.over}", wanted, ""]
    verdict = "better" if goal.exceeded(measured) else "yes" if goal.met(measured) else "no"
    return [number(measured) + unit, wanted, verdict]


def _peer_cell(results: dict[str, Any], row: str, peer: str) -> str:
    found = results["rows"][row]["figures"].get(peer)
    if found is not None:
        return _cell(found)
    return "skipped" if peer in ROWS[row].variants and peer in results["skipped"] else ""


def _cell(found: dict[str, float]) -> str:
    return f"{number(found['median'])} ({number(found['min'])}–{number(found['max'])})"  # noqa: RUF001


def _counted(calls: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(calls.items()))


def _markdown_table(cells: Sequence[Sequence[str]]) -> str:
    heading, *lines = cells
    return "\n".join(f"| {' | '.join(line)} |" for line in (heading, ["---"] * len(heading), *lines))
