"""Many policies on one frozen base: what they share is computed once. See ``policies``."""

from algorithms.bank.policies import BASE, Hidden, PolicyBank

__all__ = ["BASE", "Hidden", "PolicyBank"]
