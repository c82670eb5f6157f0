"""What several tests of people share: the body, derived once from the package, and small pictures."""

import pytest

from edge.train.data.body import Body, open_body


@pytest.fixture(scope="session")
def body() -> Body:
    """Return the parametric body; the first time it is downloaded and derived."""
    return open_body()
