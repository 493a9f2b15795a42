"""Identity, checkpoints and their damage."""

import dataclasses
import errno
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from orbax.checkpoint import v1 as ocp

from experiments import flagship
from model.gla import GLA
from model.lm import LM
from train.damage import differences
from train.recipe import Recipe
from train.store import (
    Store,
    describe,
    how,
    identity,
    load_params,
    save_params,
)


@dataclasses.dataclass(frozen=True)
class Spec:
    model: LM
    names: tuple[str, ...] = ("a", "b")
    folder: str = how("here")


SPEC = Spec(LM(W=9, D=16, layers=1, mixer=GLA(heads=2)))


def leaves(spec, path=()):
    """Every field of a nested spec: (owner's path, field)."""
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        yield path, field
        if dataclasses.is_dataclass(value):
            yield from leaves(value, (*path, field.name))


def changed(spec, path, name):
    """The spec with one field set to something else."""
    if path:
        inner = changed(getattr(spec, path[0]), path[1:], name)
        return _unchecked(spec, path[0], inner)
    return _unchecked(spec, name, "something else")


def _unchecked(spec, name, value):
    copy = object.__new__(type(spec))
    copy.__dict__.update(spec.__dict__ | {name: value})
    return copy


def test_identity_is_twelve_hex_digits_and_stable():
    assert identity(SPEC) == identity(dataclasses.replace(SPEC))
    assert len(identity(SPEC)) == 12 and int(identity(SPEC), 16) >= 0


@pytest.mark.parametrize("spec", [SPEC, flagship.pretrain_spec()], ids=["small", "flagship"])
def test_identity_covers_every_field_but_those_of_how(spec):
    fields = list(leaves(spec))
    assert len(fields) > 10
    for path, field in fields:
        same = identity(changed(spec, path, field.name)) == identity(spec)
        assert same == (not field.metadata.get("identity", True)), (path, field.name)


def test_identity_tells_classes_of_equal_fields_apart():
    Other = dataclasses.make_dataclass("Other", ["steps"], frozen=True)
    Same = dataclasses.make_dataclass("Same", ["steps"], frozen=True)
    assert identity(Other(3)) != identity(Same(3))


def test_what_cannot_be_described_is_refused():
    with pytest.raises(ValueError, match="array"):
        describe(dataclasses.replace(SPEC, names=np.zeros(3)))


def test_differences_name_the_field():
    other = dataclasses.replace(SPEC, model=dataclasses.replace(SPEC.model, mixer=GLA(heads=4)))
    assert differences(describe(SPEC), describe(other)) == ["model.mixer.heads: 2, not 4"]
    assert differences({"stages": [0] * 90}, {"stages": [0] * 150}) == ["stages: 90 items, not 150"]


# Large and random enough to lie in a data file of its own, as real parameters do.
TREE = {"w": jax.random.normal(jax.random.key(0), (30, 100)), "step": jnp.arange(2)}


def shifted(n):
    return jax.tree.map(lambda leaf: leaf + n, TREE)


def stored(folder, steps=(2, 4)):
    store = Store(folder, every=2)
    for step in steps:
        store.log([{"step": step - 1}, {"step": step}])
        store.save(step, shifted(step), loss=1 / step)
    store.wait()
    store.close()
    return Store(folder, every=2)


def test_the_newest_state_comes_back_and_two_are_kept(tmp_path):
    store = stored(tmp_path, (2, 4, 6))
    jax.tree.map(np.testing.assert_array_equal, store.restore(TREE), shifted(6))
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["4", "6"]
    store.close()


def test_the_state_of_the_lowest_loss_stays_beside_the_two_newest(tmp_path):
    kept = lambda: sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir())
    store = Store(tmp_path, every=2)
    for step, loss in ((2, 3.0), (4, 1.0), (6, 2.0), (8, 2.5)):
        store.save(step, shifted(step), loss=loss)
    store.wait()
    store.close()
    assert kept() == [4, 6, 8]
    again = Store(tmp_path, every=2)
    jax.tree.map(np.testing.assert_array_equal, again.restore(TREE), shifted(8))
    again.save(10, shifted(10), loss=1.5)
    again.save(12, shifted(12))  # as before there were losses
    again.wait()
    again.close()
    assert kept() == [4, 10, 12], "what was the best before is found again"
    read = ocp.training.Checkpointer(tmp_path / "checkpoints")
    best = min((c for c in read.checkpoints if c.metrics), key=lambda c: c.metrics["loss"])
    found = read.load_checkpointables(best.step, {"state": TREE})["state"]
    jax.tree.map(np.testing.assert_array_equal, found, shifted(4))
    read.close()


def test_nothing_stored_is_none(tmp_path):
    assert Store(tmp_path).restore(TREE) is None


def files(folder):
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size]


# Orbax leaves the failed read's tasks to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_any_truncated_or_flipped_file_is_named_and_passed_over_or_harmless(tmp_path, capsys):
    """Orbax alone reads a flipped bit of the values without a word."""
    template = tmp_path / "template"
    stored(template).close()
    names = [path.relative_to(template) for path in files(template / "checkpoints" / "4")]
    caught = 0
    for i, name in enumerate(names):
        for damage in ("cut", "flip"):
            folder = tmp_path / f"{damage}-{i}"
            stored(folder).close()
            # Orbax names data files at random: take the one in the same place.
            path = files(folder / "checkpoints" / "4")[names.index(name)]
            content = bytearray(path.read_bytes())
            if damage == "cut":
                content = content[: len(content) // 2]
            else:
                content[len(content) // 2] ^= 4
            path.write_bytes(content)
            store = Store(folder, every=2)
            found = store.restore(TREE)
            said = capsys.readouterr().err
            expected = 2 if said else 4
            jax.tree.map(np.testing.assert_array_equal, found, shifted(expected))
            if said:
                caught += 1
                assert "checkpoint 4" in said and said.count("\n") == 1, said
                assert (folder / "damaged-4").is_dir(), "nothing is thrown away"
                assert [row["step"] for row in store.metrics()] == [1, 2]
                store.save(4, shifted(4))
                store.wait()
                jax.tree.map(np.testing.assert_array_equal, store.restore(TREE), shifted(4))
            store.close()
    assert caught >= 8, "most files matter"


def test_a_checkpoint_of_another_shape_is_an_error_and_stays(tmp_path):
    store = stored(tmp_path)
    with pytest.raises(ValueError, match=r"w: .float32\[30, 100\]., not .float32\[5\]"):
        store.restore({"w": jnp.zeros(5), "step": jnp.arange(2)})
    jax.tree.map(np.testing.assert_array_equal, store.restore(TREE), shifted(4))
    store.close()


def laid(spec):
    """TREE as it should lie on eight devices."""
    place = NamedSharding(jax.make_mesh((8,), ("data",)), spec)
    lay = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place)
    return {"w": lay(TREE["w"]), "step": TREE["step"]}


def test_what_is_no_damage_is_not_set_aside(tmp_path, monkeypatch, capsys):
    """A layout that does not fit and a limit of the machine raise what damage raises."""
    store = stored(tmp_path)
    with pytest.raises(ValueError, match="evenly divide"):
        store.restore(laid(PartitionSpec("data")))
    load = store._checkpoints.load_checkpointables

    def unlucky(step, target):
        if not all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(target)):
            raise ValueError("no such device")
        return load(step, target)

    monkeypatch.setattr(store._checkpoints, "load_checkpointables", unlucky)
    found = store.restore(laid(PartitionSpec(None)))
    jax.tree.map(np.testing.assert_array_equal, found, shifted(4))
    assert len(found["w"].sharding.device_set) == 8

    def full(step, target):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(store._checkpoints, "load_checkpointables", full)
    with pytest.raises(ValueError, match="cannot be read: Too many open files; mend that"):
        store.restore(TREE)
    assert not list(tmp_path.glob("damaged-*")) and not capsys.readouterr().err
    store.close()


def test_notes_that_could_not_be_opened_set_nothing_aside(tmp_path, monkeypatch):
    """A machine out of file descriptors says nothing of any checkpoint."""
    stored(tmp_path).close()

    def full(*_, **__):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(ocp, "checkpointables_metadata", full)

    def broken(_):
        raise KeyError("metrics")

    for opened in (full, broken):
        monkeypatch.setattr(Store, "_opened", opened)
        with pytest.raises(ValueError, match="cannot be read: Too many open files; mend that"):
            Store(tmp_path).restore(TREE)
    assert not list(tmp_path.glob("damaged-*"))


def test_several_processes_are_told_which_checkpoint_to_move(tmp_path, monkeypatch):
    store = stored(tmp_path)
    broken = lambda *_: {"state": shifted(9)}
    monkeypatch.setattr(store._checkpoints, "load_checkpointables", broken)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match=r"checkpoint 4 in \S+ is damaged .*; move it to damage"):
        store.restore(TREE)
    store.close()


def test_metrics_after_the_checkpoint_and_half_lines_are_dropped(tmp_path):
    store = stored(tmp_path)
    store.log([{"step": 5}, {"step": 6}])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "lo')
    store.restore(TREE)
    assert [row["step"] for row in store.metrics()] == [1, 2, 3, 4]
    store.log([{"step": 5}])
    assert [row["step"] for row in store.metrics()] == [1, 2, 3, 4, 5]
    store.close()


def test_metrics_that_are_damaged_are_named(tmp_path):
    store = Store(tmp_path)
    store.log([{"step": 1}])
    (tmp_path / "metrics.jsonl").write_text('{"step: 1}\n{"step": 2}\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl is damaged .*; mend or remove the line"):
        store.metrics()


def test_parameters_round_trip(tmp_path):
    save_params(tmp_path, TREE)
    save_params(tmp_path, shifted(1))
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), TREE)
    jax.tree.map(np.testing.assert_array_equal, load_params(tmp_path, like), shifted(1))


def test_missing_misshapen_and_damaged_parameters_are_errors(tmp_path):
    with pytest.raises(ValueError, match="no finished parameters"):
        load_params(tmp_path, TREE)
    save_params(tmp_path, TREE)
    with pytest.raises(ValueError, match="other shapes"):
        load_params(tmp_path, TREE | {"more": jnp.zeros(1)})
    largest = max(files(tmp_path / "params"), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    with pytest.raises(ValueError, match="damaged"):
        load_params(tmp_path, TREE)


def test_a_store_without_an_interval_is_refused(tmp_path):
    with pytest.raises(ValueError, match="every=0"):
        Store(tmp_path, every=0)


def test_a_recipe_is_described_in_full():
    assert set(describe(Recipe(steps=200, batch=2))) == {
        "is",
        *(f.name for f in dataclasses.fields(Recipe)),
    }
