"""Which images meet at a position: a pure function of (seed, position), so any can be sought.

Only the raw bits of Philox are used, whose stream numpy promises to keep; its shuffles and
integers may change between numpy versions, and a resumed run must not.
"""

from typing import Literal

import numpy as np

Pairing = Literal["shuffle", "replacement", "serial"]

ORDER_A, ORDER_B, AUGMENT_A, AUGMENT_B = range(4)  # the streams; never renumber
_WORD = 2**64 - 1


def counter_random(seed: int, stream: int, index: int, count: int) -> np.ndarray:
    """uint64 [count]: the random words number `index` of `stream`; no state is kept."""
    counter = [0, 0, index & _WORD, 0]  # the low words count within this draw
    key = [seed & _WORD, stream]
    return np.random.Philox(key=key, counter=counter).random_raw(count)


def permutation(seed: int, stream: int, number: int, count: int) -> np.ndarray:
    """Permutation `number` of 0 .. count - 1 in `stream`."""
    return np.argsort(counter_random(seed, stream, number, count), kind="stable")


class UnpairedSampler:
    """Maps a position (images since the start, from 0 without end) to `(index_a, index_b)`.

    shuffle: each domain is an endless sequence of fresh permutations of itself.
    replacement: as the CycleGAN reference: a permutation of max(count_a, count_b) positions,
    a = it modulo count_a, b = drawn uniformly with replacement.
    serial: position modulo the count, in both.
    """

    def __init__(self, seed: int, count_a: int, count_b: int, pairing: Pairing = "shuffle") -> None:
        self.seed, self.counts, self.pairing = seed, (count_a, count_b), pairing
        self._last: dict[int, tuple[int, np.ndarray]] = {}  # stream -> (pass, its permutation)

    def __call__(self, position: int) -> tuple[int, int]:
        count_a, count_b = self.counts
        if self.pairing == "serial":
            return position % count_a, position % count_b
        if self.pairing == "replacement":
            a = self._permuted(ORDER_A, position, max(count_a, count_b)) % count_a
            return a, int(counter_random(self.seed, ORDER_B, position, 1)[0]) % count_b
        return (
            self._permuted(ORDER_A, position, count_a),
            self._permuted(ORDER_B, position, count_b),
        )

    def _permuted(self, stream: int, position: int, count: int) -> int:
        number, offset = divmod(position, count)
        if stream not in self._last or self._last[stream][0] != number:
            self._last[stream] = (number, permutation(self.seed, stream, number, count))
        return int(self._last[stream][1][offset])
