"""Sequence kernels in JAX: one folder an op, one file an implementation."""
