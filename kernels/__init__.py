"""Sequence kernels in JAX: one folder an op, one file an implementation.

gla         S_t = diag(exp g_t) S_{t-1} + k_t v_t^T: GLA, RetNet, Mamba-2, linear attention
attention   causal softmax attention inside documents, whole or in a sliding window
scan        h_t = exp(dt_t a) h_{t-1} + dt_t x_t b_t: Mamba's selective scan
"""
