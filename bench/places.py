"""Where the files are that the benchmark reads and writes."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
LATEST = ROOT / "bench" / "results" / "latest.json"
