"""Ways to damage bytes, numbers and text. Called by the kinds of inputs."""

from __future__ import annotations

import random

NUMBERS = (0, 1, -1, 2, 3, 7, 8, 127, 128, 255, 256, 2**15, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, -(2**63))
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e-38, 1e38, 3.4e38, float("inf"), float("-inf"), float("nan"), 0.5)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """With bits flipped, pieces cut, doubled or overwritten."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        if not data:
            break
        place = chance.randrange(len(data))
        match chance.randrange(6):
            case 0 | 1:
                data[place] ^= 1 << chance.randrange(8)
            case 2:
                data[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 3:
                del data[place : place + chance.choice((1, 2, 8, 100, len(data)))]
            case 4:
                data[place:place] = data[place : place + chance.choice((1, 4, 64))]
            case _:
                number = chance.choice(NUMBERS)
                data[place : place + 8] = (number & (2**64 - 1)).to_bytes(8, "little")
    return bytes(data)
