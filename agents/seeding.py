"""Seeds by name: the same words give the same seed on every machine, in every process."""

import hashlib


def seed_of(*words: object) -> int:
    """Return a 63-bit seed for what ``words`` name, e.g. ``seed_of("rollout", study_seed, step, group, sample)``."""
    digest = hashlib.blake2b("\x1f".join(str(word) for word in words).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
