"""A cell through verl's own trainer on Ray: ranks, servers, agent loops and the rows between them."""

import os

os.environ.setdefault("TQ_LOGGING_LEVEL", "ERROR")  # verl's queue reads it at import
