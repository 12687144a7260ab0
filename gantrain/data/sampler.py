"""The order of images: a pure function of (seed, position), so a run can resume anywhere.

Only the raw bits of Philox are used, whose stream numpy guarantees; its shuffles and integers may
change between versions of numpy, and a resumed run must not.
"""

from typing import Literal

import numpy as np

Pairing = Literal["shuffle", "replacement", "serial"]

ORDER_A, ORDER_B, AUGMENT_A, AUGMENT_B = range(4)  # the streams; never renumber
_WORD = 2**64 - 1


def counter_random(seed: int, stream: int, index: int, count: int) -> np.ndarray:
    """Return random words, uint64 [count], as a pure function of the arguments.

    Args:
        seed: of the run.
        stream: independent streams have different numbers.
        index: independent draws of a stream have different numbers.
        count: number of words.
    """
    counter = [0, 0, index & _WORD, 0]  # the low words count within this draw
    key = [seed & _WORD, stream]
    return np.random.Philox(key=key, counter=counter).random_raw(count)


def permutation(seed: int, stream: int, number: int, count: int) -> np.ndarray:
    """Return permutation `number` of 0 ... count - 1, as a pure function of the arguments.

    Args:
        seed: of the order.
        stream: one independent stream for each purpose, such as `ORDER_A`.
        number: which permutation of the stream: the epoch.
        count: length of the permutation.
    """
    return np.argsort(counter_random(seed, stream, number, count), kind="stable")


class UnpairedSampler:
    """Maps a position (images since the start) to the indices (index_a, index_b) of its images.

    Args:
        seed: of the order.
        count_a: images of domain a.
        count_b: images of domain b.
        pairing: "shuffle": new permutations of each domain, one after another. "replacement": as in
            the CycleGAN reference, index_a from a permutation of max(count_a, count_b) modulo
            count_a, index_b drawn uniformly with replacement. "serial": the position modulo the
            count in both domains.
    """

    def __init__(self, seed: int, count_a: int, count_b: int, pairing: Pairing = "shuffle") -> None:
        self.seed, self.counts, self.pairing = seed, (count_a, count_b), pairing
        self._last: dict[int, tuple[int, np.ndarray]] = {}  # stream to (epoch, permutation)

    def __call__(self, position: int) -> tuple[int, int]:
        """Return (index_a, index_b) for a position from 0 on."""
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
        epoch, offset = divmod(position, count)
        if stream not in self._last or self._last[stream][0] != epoch:
            self._last[stream] = (epoch, permutation(self.seed, stream, epoch, count))
        return int(self._last[stream][1][offset])
