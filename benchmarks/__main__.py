"""The command of the benchmarks: measure, print the table, write the JSON files.

python -m benchmarks [--only NAME ...] [--peers FOLDER]
python -m benchmarks peers FOLDER
python -m benchmarks --write-docs [RESULTS]
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from dataclasses import fields
from pathlib import Path

from benchmarks import documents
from benchmarks.measuring import Options
from benchmarks.peers import venvs
from benchmarks.report import RESULTS, Row, collect_scale, save, table

# Name, module and function. Slow benchmarks come last.
BENCHMARKS = {
    "log": ("log_calls", "measure"),
    "log-wide": ("log_calls", "measure_wide"),
    "log-network": ("log_calls", "measure_network"),
    "cpu": ("cpu", "measure"),
    "startup": ("start_up", "measure"),
    "lightning": ("lightning_calls", "measure"),
    "disk": ("disk", "measure"),
    "writers": ("many_writers", "measure"),
    "read": ("read_metric", "measure"),
    "runs-query": ("runs_query", "measure"),
    "run-lines": ("many_runs", "measure_lines"),
    "grouped-curve": ("many_runs", "measure_curve"),
    "run-pages": ("run_pages", "measure"),
    "server": ("server_costs", "measure"),
    "server-load": ("server_under_load", "measure"),
    "apply": ("applying", "measure"),
    "send": ("sending", "measure"),
    "watch": ("watching", "measure"),
    "names": ("many_names", "measure"),
    "artifact": ("artifact_files", "measure"),
    "many-files": ("many_files", "measure"),
    "archive": ("archives", "measure"),
    "http-download": ("http_download", "measure"),
    "export": ("export_rows", "measure"),
    "wandb": ("wandb_door", "measure"),
    "import-wandb": ("imports", "measure_wandb"),
    "import-tensorboard": ("imports", "measure_tensorboard"),
    "chart": ("long_run", "measure"),
    "dashboard": ("dashboard", "measure"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 1 if a target was missed or a benchmark failed."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["peers"]:
        return _make_peers(arguments[1:])
    if arguments[:1] == ["--write-docs"]:
        documents.write(RESULTS if len(arguments) == 1 else Path(arguments[1]))
        return 0
    chosen, options, results = _parse(arguments)
    rows: list[Row] = []
    failed = []
    for name in chosen:
        print(f"{name} ...", file=sys.stderr, flush=True)
        module, function = BENCHMARKS[name]
        try:
            result = getattr(importlib.import_module(f"benchmarks.{module}"), function)(options)
        except Exception as error:  # continue with the other benchmarks
            print(f"{name} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            failed.append(name)
            continue
        save(name, result, results)
        print(table(result.rows), file=sys.stderr, flush=True)
        rows += result.rows
    collect_scale(results)
    print(table(rows))
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed or any(row.met is False for row in rows) else 0


def _make_peers(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks peers", description=venvs.__doc__)
    parser.add_argument(
        "folder", type=Path, help="folder for the virtual environments; existing ones are kept"
    )
    return 0 if venvs.make(parser.parse_args(arguments).folder) else 1


def _parse(arguments: list[str]) -> tuple[list[str], Options, Path]:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), metavar="NAME",
                        help=f"only these: {', '.join(BENCHMARKS)}")  # fmt: skip
    parser.add_argument("--peers", type=Path, help="folder made by `python -m benchmarks peers`")
    parser.add_argument("--work", type=Path, help="folder for stores and files (default: a temporary folder)")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help=f"folder for the JSON files (default: {RESULTS})"
    )
    for each in fields(Options):
        if isinstance(each.default, int):
            parser.add_argument(f"--{each.name.replace('_', '-')}", type=int, default=each.default,
                                help=f"default: {each.default}")  # fmt: skip
    found = vars(parser.parse_args(arguments))
    chosen, results = found.pop("only"), found.pop("results")
    return list(chosen), Options(**found), results


if __name__ == "__main__":
    sys.exit(main())
