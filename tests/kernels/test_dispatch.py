"""Which device an implementation is chosen for."""

import jax

from kernels.dispatch import device


def test_it_is_the_default_device_a_platform_or_the_first():
    assert device() == jax.devices()[0]
    with jax.default_device(jax.devices()[3]):
        assert device() == jax.devices()[3]
    with jax.default_device("cpu"):
        assert device() == jax.devices("cpu")[0]


def test_a_mesh_comes_before_the_default_device():
    chip = jax.sharding.AbstractDevice("TPU v6 lite", None, "tpu")
    mesh = jax.sharding.AbstractMesh((1,), ("x",), abstract_device=chip)
    with jax.default_device(jax.devices()[3]), jax.sharding.use_abstract_mesh(mesh):
        assert device() == chip
