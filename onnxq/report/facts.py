"""What a report says. A part of ``report``: gathered by ``gather``, shown by ``page``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onnxq.inspection.shown import mean_width

Range = tuple[float, float]


@dataclass(frozen=True)
class Histogram:
    """Of the values of a tensor, in bins of one width from ``low`` to ``high``; shares of all values."""

    low: float
    high: float
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Seen:
    """Of a weight or an activation, what is drawn.

    Attributes:
        exact: its values in the float network. quantized: in the file, of weights alone.
        range: smallest and largest value that the file can have. levels: of its middle channel by range, up to 64.
    """

    exact: Histogram | None = None
    quantized: Histogram | None = None
    range: Range | None = None
    levels: tuple[float, ...] = ()


@dataclass(frozen=True)
class ReportedLayer:
    """A row.

    Attributes:
        name, op: of the node. computes: how, or why in float.
        widths: bits of weights -> how many channels have them; empty in float. read_bits: mean of the input's
            channels; None in float.
        alone, accumulated: SQNR of its output in dB, as of ``onnxq.compare``; None where it could not be had.
        reason: of a low one, where it is known.
        values: how many its weight has; of one that layers share, their part. size: share of the file's bytes,
            likewise. work: share of the products of the float network's layers; None where they are not known.
    """

    name: str
    op: str
    computes: str
    widths: Mapping[int, int]
    read_bits: float | None
    alone: float | None
    accumulated: float | None
    reason: str
    values: float
    size: float
    work: float | None
    weight: Seen
    read: Seen

    @property
    def bits(self) -> float | None:
        """Of its weights, the mean over channels."""
        return mean_width(self.widths)


@dataclass(frozen=True)
class Tried:
    """A file that a search tried. value: more is better."""

    name: str
    bytes: int
    value: float


@dataclass(frozen=True)
class Search:
    """What a search tried; heading: of the values. own: of the file that the report is about, measured likewise."""

    heading: str
    tried: tuple[Tried, ...]
    own: Tried | None = None


@dataclass(frozen=True)
class Guess:
    """A class, and how sure a network is of it (its softmax)."""

    name: str
    share: float


@dataclass(frozen=True)
class Flip:
    """An image of which the two networks say different classes.

    Attributes:
        name: of the image. label: its class; '' where it is not known. picture: a small JPEG; empty without one.
    """

    name: str
    label: str
    exact: Guess
    quantized: Guess
    picture: bytes = b""


@dataclass(frozen=True)
class Report:
    """All of it.

    Attributes:
        title: the file's name. images: that it was measured on. facts: a heading and what there is to say, in order.
        layers: in order of execution. notes: about what was left in float, or is likely to go wrong, a sentence each.
        search: None where none was run. recipe: YAML; '' of files of other tools. command: that makes the file again.
        flips: of the most certain first; None where outputs are no classes. flipped: how many there are.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    layers: tuple[ReportedLayer, ...]
    images: int = 0
    notes: tuple[str, ...] = ()
    search: Search | None = None
    recipe: str = ""
    command: str = ""
    flips: tuple[Flip, ...] | None = None
    flipped: int = 0
