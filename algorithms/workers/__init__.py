"""Adapters to verl's actor/rollout workers. Nothing outside this package imports verl."""
