"""A cell through verl's own trainer on Ray: ranks, servers, agent loops and the rows between them."""

import os

os.environ.setdefault("TQ_LOGGING_LEVEL", "ERROR")  # verl's queue reads it at import
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # a late call must not begin a Ray of its own
