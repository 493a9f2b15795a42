"""What README tells a user to type."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
COMMANDS = sorted(set(re.findall(r"python -m ([a-z_.]+\w)", (ROOT / "README.md").read_text())))


def test_readme_has_commands():
    assert {"experiments.run", "train.pretrain", "data.preview", "kernels.gla.bench"} <= {*COMMANDS}


@pytest.mark.slow
@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_explains_itself(module):
    child = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert child.returncode == 0, child.stderr[-2000:]
    assert len(child.stdout) > 60 and "Traceback" not in child.stderr, child.stdout
