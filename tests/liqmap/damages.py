"""What a disk may make of a file."""

from __future__ import annotations

KINDS = ("flip", "cut", "gone", "zero", "foreign")


def damaged(content: bytes, kind: str, at: int, *, mask: int, length: int, noise: bytes) -> bytes:
    """Return `content` with a byte flipped, cut short, or with a stretch gone, zeroed or foreign."""
    match kind:
        case "flip":
            return content[:at] + bytes([content[at] ^ mask]) + content[at + 1 :]
        case "cut":
            return content[:at]
        case "gone":
            return content[:at] + content[at + length :]
        case "zero":
            return (content[:at] + bytes(length) + content[at + length :])[: len(content)]
        case _:
            return content[:at] + noise + content[at + len(noise) :]
