"""Run the benchmarks and write `benchmarks/RESULTS.md`: machine, versions, commit, tables.

    make bench
    python benchmarks/everything.py benchmarks/RESULTS-amx.md network training

All of them take about twenty minutes on two CPU cores; nothing else should run meanwhile. The
benchmark "network" needs the model that `make demo` writes to `runs/demo`.
"""

import datetime
import subprocess
import sys
from pathlib import Path

from cellflow.atomic import write_text
from cellflow.doctor import machine_report

HERE = Path(__file__).parent
DEMO_MODEL = Path("runs/demo/model/config.json")
SCRIPTS = ("targets", "dynamics", "rle", "read_kaggle", "score", "network", "large", "training")


def main() -> None:
    """Run the scripts one after another, each in a new process."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "RESULTS.md"
    scripts = sys.argv[2:] or SCRIPTS
    if unknown := set(scripts) - set(SCRIPTS):
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(SCRIPTS)}")
    if "network" in scripts and not DEMO_MODEL.exists():
        sys.exit(f"{DEMO_MODEL} is missing; run `make demo` first")
    report = machine_report()
    facts = {key: report[key] for key in report if not key.startswith(("weights", "kernel"))}
    facts["python"] = facts["python"].split()[0]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    lines = [
        "# Benchmark results",
        "",
        f"{datetime.date.today()}, commit {commit}. Written by `make bench`.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in facts.items()),
    ]
    for name in scripts:
        print(name, file=sys.stderr)
        done = subprocess.run(
            [sys.executable, HERE / f"{name}.py"], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            sys.exit(f"{name}.py failed:\n{done.stderr}")
        block = done.stdout.rstrip()
        tabular = block if "\n| " in block else f"```\n{block}\n```"
        lines += ["", f"## {name}", "", tabular]
        write_text(target, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
