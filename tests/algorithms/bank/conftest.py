"""The architectures a bank is tested on."""

from __future__ import annotations

import pytest
from architectures import PACKABLE, build
from disturbed import disturbed_bank


@pytest.fixture(params=PACKABLE.values(), ids=PACKABLE)
def bank(request):
    return disturbed_bank(build(request.param))
