"""Bits that the codes of a file would take at variable length: Shannon's bound and a Huffman code."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


def shannon_entropy(counts: Counts) -> float:
    """Bits a symbol, -sum p log2 p, from the count of each symbol; 0 without any.

    >>> shannon_entropy(np.array([4, 2, 1, 1]))
    1.75
    """
    counts = counts[counts > 0]
    p = counts / max(counts.sum(), 1)
    return float(-(p * np.log2(p)).sum()) if len(counts) > 1 else 0.0


def huffman_lengths(counts: Counts) -> NDArray[np.int64]:
    """Length of the code word of each symbol, int64 [n], in a Huffman code for these counts.

    A symbol that does not occur has none (0); a single one takes a bit.

    >>> huffman_lengths(np.array([4, 2, 1, 1, 0]))
    array([1, 2, 3, 3, 0])
    """
    lengths = np.zeros(len(counts), np.int64)
    occurring = np.flatnonzero(counts)
    if len(occurring) == 1:
        lengths[occurring] = 1
        return lengths
    heap = [(int(counts[symbol]), int(symbol), [int(symbol)]) for symbol in occurring]
    heapq.heapify(heap)
    while len(heap) > 1:
        (rare, tie, left), (more, _, right) = heapq.heappop(heap), heapq.heappop(heap)
        lengths[left + right] += 1
        heapq.heappush(heap, (rare + more, tie, left + right))
    return lengths


def huffman_rate(counts: Counts) -> float:
    """Mean bits a symbol of that code.

    >>> huffman_rate(np.array([4, 2, 1, 1]))
    1.75
    """
    return float((counts * huffman_lengths(counts)).sum() / max(int(counts.sum()), 1))
