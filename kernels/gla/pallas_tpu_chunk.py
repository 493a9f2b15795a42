"""One chunk on the TPU: its decays, its scores A, and the way back through it.

Functions of arrays (C,K) and (C,V) that Mosaic lowers, for the kernels of pallas_tpu.py, in whose
notation they are. A class holds a chunk's q and k for the states (`q`, `k`) and for each other
(`all_q`, `all_k`); takes the state to where `q` reads it (`enter`) and on to the chunk's end
(`leave`), the state's gradient back likewise (`reach`, `back`); gives A (`scores`), and dq, dk, dg
from dA (`pull`, `gate`). `Middle` is fast; `Tree` takes any gate, `Scalar` one decay per head.
"""

import jax.numpy as jnp
from jax import lax

C = 128  # tokens a chunk: the side of the matrix unit
LEVELS = C.bit_length() - 1
LIMIT = 40.0  # of the log decay between a chunk's middle and its ends, for exp to stay accurate
FORGET = -200.0  # stands for g = -inf: its exp is 0 in float32, and sums of it stay finite


class Middle:
    """A chunk measured from its middle token: exp(P_i - P_j) = exp(P_i - P_m) exp(P_m - P_j).

    all_q and all_k meet each other; q and k the states, their rows zero where a restart is between.
    """

    @staticmethod
    def decays(plan, g):
        """P, (C,K); of one decay per head, (C,128) at most."""
        i, j = _iotas()
        if plan.scalar:
            # The matrix unit leaves sums in all lanes, where a column would have to be spread.
            ones = jnp.ones((C, min(plan.K, 128)), bool)
            return _sums_of(jnp.where(j <= i, g, 0.0), ones, plan.terms)
        return _sums(j <= i, g, plan.terms)

    def __init__(self, plan, q, k, P, cut):
        self.plan, self.cut = plan, cut
        middle, last = P[C // 2 - 1 : C // 2], P[C - 1 :]
        # 1 where exp would leave its range; NaN, from g = -inf, is out of range.
        self.strain = jnp.where(jnp.maximum(-middle, middle - last) <= LIMIT, 0.0, 1.0)
        across = lambda x: jnp.concatenate([x] * (plan.K // x.shape[1]), axis=1)
        self.from_start, self.to_end = across(jnp.exp(middle)), across(jnp.exp(last - middle))
        self.after = across(jnp.exp(P - middle) * plan.scale)
        self.before = across(jnp.exp(middle - P))
        self.all_q = (q.astype(jnp.float32) * self.after).astype(q.dtype)
        self.all_k = (k.astype(jnp.float32) * self.before).astype(k.dtype)
        self.q, self.k = cut.start(self.all_q), cut.end(self.all_k)

    def enter(self, S):
        return S * self.from_start

    def leave(self, S, new):
        return (self.cut.through(S) + new) * self.to_end

    def reach(self, dS):
        return dS * self.to_end

    def back(self, dS, new):
        return (self.cut.through(dS) + new) * self.from_start

    def scores(self):
        return jnp.where(self.cut.pairs, dot(self.all_q, self.all_k, 1, 1), 0)

    def pull(self, dA, dq, dk):
        """dq, dk and q dq - k dk from dA and from what the states give to q and k. The last is of
        the operands as rounded for the products: the two sides of a pair then cancel in dg."""
        dA = jnp.where(self.cut.pairs, dA, 0).astype(self.q.dtype)
        dq = dot(dA, self.all_k, 1, 0) + self.cut.start(dq)
        dk = dot(dA, self.all_q, 0, 0) + self.cut.end(dk)
        rest = self.all_q.astype(jnp.float32) * dq - self.all_k.astype(jnp.float32) * dk
        return dq * self.after, dk * self.before, rest

    def gate(self, rest, S, S_end, dS):
        """dg, from dS as `reach` gave it, rounded."""
        i, j = self.cut.i, self.cut.j
        beyond = jnp.sum(S_end * dS.astype(jnp.float32), axis=0, keepdims=True) / self.to_end
        if self.plan.scalar:
            rest = jnp.where(i >= j, jnp.sum(rest, axis=1, keepdims=True), 0.0)
            return jnp.sum(rest, axis=0, keepdims=True) + jnp.sum(beyond, keepdims=True)
        return _sums(j >= i, rest, max(2, self.plan.terms)) + beyond


class Exact:
    """States of a chunk whose q and k themselves carry their decays from its start, to its end."""

    strain = 0.0

    @staticmethod
    def decays(plan, g):
        return jnp.maximum(g.astype(jnp.float32), FORGET)

    def enter(self, S):
        return S

    def leave(self, S, new):
        return self.cut.through(S * self.total) + new

    reach, back = enter, leave

    def passing(self, S, dS):
        """What the state that passes through the chunk gives to every dg of it, (1,K)."""
        through = self.cut.through(S * self.total) * dS.astype(jnp.float32)
        return jnp.sum(through, axis=0, keepdims=True)


class Tree(Exact):
    """Any gate. Tokens i > j part at one level l, the highest bit in which they differ. Measured
    from the boundary there, both exp(P_i) and exp(R_j), with P and R summed within blocks of 2^l
    tokens, are at most 1, and neither is a difference of larger sums. log2(C) products, a diagonal.
    """

    def __init__(self, plan, q, k, g, cut):
        self.plan, self.cut, self.dtype = plan, cut, q.dtype
        self.g = g
        self.all_q, self.all_k = q.astype(jnp.float32) * plan.scale, k.astype(jnp.float32)
        _, q, k, self.from_start, self.to_end = self._level(LEVELS)
        self.q, self.k, self.total = cut.start(q), cut.end(k), self.from_start[C - 1 :]

    def _level(self, l):
        """The pairs of level l, their q and k, and the decays in these."""
        i, j = self.cut.i, self.cut.j
        pairs = (lax.shift_right_logical(i ^ j, l) == 1) & (i > j)
        block = self._block(l)
        after = jnp.exp(_sums(block & (j <= i), self.g, 3))
        before = jnp.exp(_sums(block & (j > i), self.g, 3))
        q, k = (self.all_q * after).astype(self.dtype), (self.all_k * before).astype(self.dtype)
        return pairs, q, k, after, before

    def _block(self, l):
        """Whether two tokens lie in one block of 2^l."""
        return lax.shift_right_logical(self.cut.i, l) == lax.shift_right_logical(self.cut.j, l)

    def scores(self):
        def add(l, A):
            pairs, q, k, _, _ = self._level(l)
            return jnp.where(pairs, dot(q, k, 1, 1), A)

        diagonal = dot(self.all_q.astype(self.dtype), self.all_k.astype(self.dtype), 1, 1)
        return jnp.where(self.cut.pairs, lax.fori_loop(0, LEVELS, add, diagonal), 0)

    def pull(self, dA, dq, dk):
        """dq, dk, and dg but for the state that passes through the chunk. Only pairs of tokens
        around t enter dg_t, and nothing cancels: dg stays exact however strong the decays."""
        i, j = self.cut.i, self.cut.j
        dA = jnp.where(self.cut.pairs, dA, 0)

        def add(l, sums):
            pairs, q, k, after, before = self._level(l)
            dA_ = jnp.where(pairs, dA, 0).astype(self.dtype)
            dq, dk = dot(dA_, k, 1, 0), dot(dA_, q, 0, 0)
            return sums[0] + dq * after, sums[1] + dk * before, sums[2] + around(l, q, k, dq, dk)

        def around(l, q, k, dq, dk):
            block, dP, dR = self._block(l), q.astype(jnp.float32) * dq, k.astype(jnp.float32) * dk
            return _sums(block & (j >= i), dP, 3) + _sums(block & (j < i), dR, 3)

        diagonal = jnp.where(i == j, dA, 0).astype(self.dtype)
        dg = around(LEVELS, self.q, self.k, dq, dk)
        q, k = self.all_q.astype(self.dtype), self.all_k.astype(self.dtype)
        dq = self.cut.start(dq) * self.from_start + dot(diagonal, k, 1, 0)
        dk = self.cut.end(dk) * self.to_end + dot(diagonal, q, 1, 0)
        dq, dk, dg = lax.fori_loop(0, LEVELS, add, (dq, dk, dg))
        return dq * self.plan.scale, dk, dg

    def gate(self, dg, S, S_end, dS):
        return dg + self.passing(S, dS)


class Scalar(Exact):
    """One decay per head and token (Mamba-2, RetNet), g a row (1,C). The decays of the scores are
    one matrix D_ij = exp(g_{j+1} + .. + g_i), each sum taken by itself, so any gate is exact."""

    def __init__(self, plan, q, k, g, cut):
        self.plan, self.cut, self.all_q, self.all_k = plan, cut, q, k
        i, j = cut.i, cut.j
        until, beyond = jnp.where(j <= i, g, 0.0), jnp.where(j > i, g, 0.0)
        D = jnp.exp(_sums_of(until, i > j, 3))
        self.D = jnp.where(cut.pairs, D * plan.scale, 0.0)
        after = jnp.exp(jnp.sum(until, axis=1, keepdims=True))
        before = jnp.exp(jnp.sum(beyond, axis=1, keepdims=True))
        self.total, self.after, self.before = after[C - 1 :], after * plan.scale, before
        self.q = cut.start((q.astype(jnp.float32) * self.after).astype(q.dtype))
        self.k = cut.end((k.astype(jnp.float32) * self.before).astype(k.dtype))

    def scores(self):
        return dot(self.all_q, self.all_k, 1, 1) * self.D

    def pull(self, dA, dq, dk):
        i, j, dA = self.cut.i, self.cut.j, dA * self.D
        dP = jnp.sum(self.q.astype(jnp.float32) * dq, axis=1, keepdims=True)
        dR = jnp.sum(self.k.astype(jnp.float32) * dk, axis=1, keepdims=True)
        # The pairs around t, column t: summed over those before it, then over i >= t.
        pairs = dA * dot(self.all_q, self.all_k, 1, 1)
        pairs = _sums_of(pairs, i < j, 3)
        dg = jnp.sum(jnp.where(i >= j, dP + pairs, dR), axis=0, keepdims=True)
        dA = dA.astype(self.q.dtype)
        dq = dot(dA, self.all_k, 1, 0) + self.cut.start(dq) * self.after
        dk = dot(dA, self.all_q, 0, 0) + self.cut.end(dk) * self.before
        return dq, dk, dg

    def gate(self, dg, S, S_end, dS):
        return dg + jnp.sum(self.passing(S, dS), keepdims=True)


class Cut:
    """What a restart within the chunk keeps apart: pairs of tokens, tokens and states."""

    def __init__(self, restarts, rows):
        self.i, self.j = _iotas()
        self.pairs, self.count = self.i >= self.j, None
        if restarts:
            row = restarts[0][0, :, rows]
            self.count, self.last = _column(row), row[:, C - 1 :]
            self.pairs = self.pairs & (self.count == row)

    def start(self, x):
        """x, zero in the rows of tokens that do not see the state at the chunk's start."""
        return x if self.count is None else jnp.where(self.count == 0, x, jnp.zeros_like(x))

    def end(self, x):
        """x, zero in the rows of tokens that do not reach the state at the chunk's end."""
        return x if self.count is None else jnp.where(self.count == self.last, x, jnp.zeros_like(x))

    def through(self, S):
        """S, zero if the state restarted on its way through the chunk."""
        return S if self.count is None else jnp.where(self.last == 0, S, 0.0)


def _iotas():
    return tuple(lax.broadcasted_iota(jnp.int32, (C, C), axis) for axis in (0, 1))


def _column(row):
    """(1,C) as (C,1), exactly."""
    i, j = _iotas()
    return jnp.sum(jnp.where(i == j, row, 0.0), axis=1, keepdims=True)


def _sums(which, x, terms):
    """which @ x for a 0/1 matrix, exact to so many bfloat16 terms: there is no cumsum on TPU."""
    return sum(dot(which.astype(jnp.bfloat16), term, 1, 0) for term in _split(x, terms))


def _sums_of(x, which, terms):
    """x @ which, likewise."""
    return sum(dot(term, which.astype(jnp.bfloat16), 1, 0) for term in _split(x, terms))


def _split(x, terms):
    """bfloat16 arrays whose sum is x: the matrix unit multiplies no more. 3 hold a float32."""
    if x.dtype == jnp.bfloat16:
        return [x]
    parts = []
    for _ in range(terms - 1):
        parts.append(lax.reduce_precision(x, 8, 7))
        x = x - parts[-1]
    return [part.astype(jnp.bfloat16) for part in [*parts, x]]


def dot(a, b, i, j):
    """Contracts axis i of a with axis j of b; float32 operands in full."""
    precision = lax.Precision.HIGHEST if a.dtype == jnp.float32 else lax.Precision.DEFAULT
    contract = (((i,), (j,)), ((), ()))
    return lax.dot_general(a, b, contract, precision=precision, preferred_element_type=jnp.float32)
