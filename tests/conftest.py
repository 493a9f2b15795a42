"""What every test runs under: strict ranks, exact products, checked shapes, a compile cache."""

import importlib
import os
import pathlib
import shutil
import subprocess

# Before jax is imported: a persistent compilation cache keeps the second run of the suite short.
# The thresholds are zero because toy programs compile fast and are many.
_CACHE = pathlib.Path(__file__).parent.parent / ".cache" / "jax"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")

# It configures logging when it is imported, which closes the handlers there are: that of absl,
# which jax brings, would take pytest's stderr along.
importlib.import_module("submitit")

import hypothesis
import jax
import jaxtyping
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")

# Compilation inside an example makes its first run slow; that is no finding.
hypothesis.settings.register_profile("diglossia", deadline=None, max_examples=50)
hypothesis.settings.load_profile("diglossia")

# Shapes written in signatures are checked while tests run, and only then.
jaxtyping.install_import_hook(["kernels", "model", "train"], "beartype.beartype").__enter__()


@pytest.fixture(scope="session")
def corpora() -> pathlib.Path:
    """The folder of real text; tests that need it skip, with the reason, where it is absent."""
    root = pathlib.Path(__file__).parent.parent
    path = root / os.environ.get("DIGLOSSIA_CORPORA", "../shared/corpora")
    if not path.is_dir():
        pytest.skip(f"no corpora at {path}; set DIGLOSSIA_CORPORA to the folder that holds them")
    return path


@pytest.fixture
def mounted(tmp_path):
    """Mounts a small file system; skips where only root could."""

    def mount(options):
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(tmp_path)], capture_output=True
        )
        if done.returncode:
            pytest.skip(f"cannot mount a tmpfs here: {done.stderr.decode().strip()}")
        return tmp_path

    if not shutil.which("mount"):
        pytest.skip("no mount command")
    yield mount
    subprocess.run(["umount", "-l", str(tmp_path)], capture_output=True)


@pytest.fixture(autouse=True)
def quick_compile(request):
    """Toy programs are compiled without most optimisations, in half the time, but for those of
    tests marked `optimised`: they compare bits with another program or process."""
    quick = not request.node.get_closest_marker("optimised")
    if jax.config.read("jax_disable_most_optimizations") != quick:
        jax.clear_caches()  # a process would go on with what it compiled the other way
        jax.config.update("jax_disable_most_optimizations", quick)
