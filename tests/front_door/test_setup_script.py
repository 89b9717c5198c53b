"""``scripts/setup.sh`` on machines that lack something: one sentence that says what, nothing left behind."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A stand-in for an interpreter: it answers what the script asks (`-c <program>`) like the Python in question.
FAKE_PYTHON = """#!/bin/sh
case "$2" in
    *python_version*) echo {version} ;;
    *version_info*) exit {too_old} ;;
    *ensurepip*) exit {no_venv} ;;
    *) echo "unexpected: $*" >&2; exit 99 ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with just what the script reads."""
    folder = tmp_path / "a clone"
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "setup.sh", folder / "scripts")
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def run_setup(checkout: Path, pythons: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the script with exactly these interpreters on the search path, next to the tools of the system."""
    tools = checkout / "bin"
    tools.mkdir()
    for tool in ("sh", "dirname", "basename", "cksum", "cat"):
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    for name, text in pythons.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHON"} | {"PATH": str(tools)}
    return subprocess.run(
        ["sh", "scripts/setup.sh"], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )


def test_a_python_without_venv_leads_to_the_name_of_the_package(checkout: Path) -> None:
    """Debian's python3 comes without ensurepip: the package that brings it is named."""
    result = run_setup(checkout, {"python3": FAKE_PYTHON.format(version="3.11.2", too_old=0, no_venv=1)})
    assert (result.returncode, result.stdout) == (1, "")
    assert "apt-get install python3-venv" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (checkout / ".venv").exists()


def test_the_package_of_another_version_carries_its_version(checkout: Path) -> None:
    """Where python3 is too old but python3.12 is there without venv, python3.12-venv is what to install."""
    pythons = {
        "python3": FAKE_PYTHON.format(version="3.9.2", too_old=1, no_venv=0),
        "python3.12": FAKE_PYTHON.format(version="3.12.1", too_old=0, no_venv=1),
    }
    assert "apt-get install python3.12-venv" in run_setup(checkout, pythons).stderr


def test_a_python_that_is_too_old_is_named_with_what_is_needed(checkout: Path) -> None:
    """The sentence says what was found and what would do."""
    result = run_setup(checkout, {"python3": FAKE_PYTHON.format(version="3.9.2", too_old=1, no_venv=0)})
    assert result.returncode == 1
    assert "Python 3.11 or newer" in result.stderr
    assert "python3 is 3.9.2" in result.stderr


def test_a_machine_without_python_is_told_so(checkout: Path) -> None:
    """No interpreter at all is a sentence too."""
    result = run_setup(checkout, {})
    assert result.returncode == 1
    assert "no Python was found" in result.stderr
