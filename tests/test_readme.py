"""What README tells a user to type."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()
COMMANDS = sorted(set(re.findall(r"python -m ([a-z_.]+\w)", TEXT)))


def test_readme_has_commands():
    assert {"experiments.run", "train.pretrain", "data.preview", "kernels.gla.bench"} <= {*COMMANDS}


def test_what_readme_imports_and_calls_is_there():
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    said = {}
    exec(block, said)
    assert said["o"].shape == (2, 64, 4, 32) and said["logits"].shape == (2, 64, said["cfg"].W)
    assert sorted(said["seen"]) == ["blocks/0/residual", "blocks/1/residual"]


@pytest.mark.slow
@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_explains_itself(module):
    child = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert child.returncode == 0, child.stderr[-2000:]
    assert len(child.stdout) > 60 and "Traceback" not in child.stderr, child.stdout
