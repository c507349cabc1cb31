"""What a study's cell logged, without what depends on the machine and on the arms beside."""

import json

TIMED = ("seconds", "tokens_per_second", "peak_memory_bytes", "arms")


def metrics(folder, study):
    """Return the lines of the one ``metrics.jsonl`` below ``folder / study``."""
    (file,) = (folder / study).rglob("metrics.jsonl")
    return metrics_of(file)


def metrics_of(file):
    """Return the lines of a ``metrics.jsonl``."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [{name: value for name, value in line.items() if not name.startswith(TIMED)} for line in lines]
