"""`python -m bench`: the command line.

Comes in: which rows, how many rounds, how large. Leaves: a table, or JSON; with `--save` also the results in
`bench/results/latest.json` and the table in the README. Exit code 1 where a run failed: a wrong digest, an answer that
is no success, a blob that was not durable. A goal that is missed fails nothing. Next: `runner`, then `report`.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from bench import report, runner, terminal
from bench.failure import Failed
from bench.places import ROOT
from bench.plan import CHOICES, FULL, QUICK


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.save and options.only:
        print("--save keeps whole runs alone: leave --only out", file=sys.stderr)
        return 2
    try:
        with _folder(options.folder) as folder:
            results = runner.run(
                folder, QUICK if options.quick else FULL, only=options.only or CHOICES, rounds=options.rounds
            )
    except Failed as failure:
        print(f"the run failed: {failure}", file=sys.stderr)
        return 1
    if options.save:
        report.save(results)
    if options.json:
        print(json.dumps(results, indent=1))
    else:
        terminal.show(results, Console())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the portal beside its peers.")
    parser.add_argument("--only", nargs="+", choices=CHOICES, metavar="ROW", help=f"of {', '.join(CHOICES)}")
    parser.add_argument("--rounds", type=int, help="how often each operation is measured")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, and measures nothing")
    parser.add_argument("--folder", type=Path, help="where everything is kept while it runs: the disk that is measured")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--save", action="store_true", help="keep the results and write the README's table")
    return parser


@contextmanager
def _folder(parent: Path | None) -> Iterator[Path]:
    """A fresh folder that is gone afterwards; on the checkout's own disk where nothing else is said."""
    chosen = ROOT / ".bench" if parent is None else parent
    chosen.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=chosen.resolve(), prefix="run-") as made:
        yield Path(made)


if __name__ == "__main__":
    sys.exit(main())
