"""The two cores have the same public names, but for the differences written down here, each with its reason."""

from __future__ import annotations

import pytest
from names import kotlin_names, swift_names

# Names of one core only, by area. A name that is new on one side fails until it is on both, or here.
KOTLIN_ONLY = {
    "app": "Assets Caller Callers Codes DeviceRecord DeviceState EmbeddedModels Found Launch Measured OpenEngine "
    "PanopticPipeline Pen Pipeline Placement PosePipeline Protocol ReadyModel Runtime Scene SegmentationPipeline "
    "Settings SettingsError SettingsField TokenizerDemo Way copyTo drawPose endpoint filesDigest fits fitted "
    "inOrder measure pipelineOf profileJson quantile randomInputs relaid waysOf",
    # ^ what Android's screens can be tested without a phone; on iOS it is in EdgeApp, and profile.json in benchmark
    "backend": "CrashLog Device",  # Core ML runs in a process of its own; of a device only its free memory counts
    "client": "Clock ContractError Cut",  # Clock is Swift's; the manifest's error serves; Cut is a kind of ServeError
    "files": "Cancel Download Exchange Failure Installation Installer UrlConnectionHttp isWhole sha256",
    # ^ tasks are cancelled, errors are thrown; a bundle holds whole artifacts, so that nothing is installed in parts
    "image": "PlaneLayout Source Turn YuvFrame rgbOfYuv",  # AVFoundation hands over upright BGRA, no planes
    "json": "JsonArray JsonBoolean JsonNull JsonNumber JsonString required write",  # cases and members of Json
    "manifest": "Colour FallbackPolicy InvalidManifest Mode NewerSchema Resize SCHEMA number numbers",
    # ^ nested types, members and kinds; the policy's Mode serves the manifest too
    "oip": "AnswerError Busy DeadlinePassed Forbidden PictureRegion RequestError TooLarge TooManyRequests "
    "Unauthenticated UnknownModel UnsupportedEncoding",  # kinds of ServeError; Region serves the wire too
    "policy": "Decided State",  # a tuple; State is SwiftUI's
}
SWIFT_ONLY = {
    "benchmark": "BenchmarkSettings LaunchRecord ProfiledDevice measureLaunch profileJson quantile",  # Kotlin: app
    "client": "EndpointError HttpRequest MonotonicClock Reply Transport UrlSessionTransport Wire nowMs",
    # ^ URLSession behind a protocol, as a test needs it; Kotlin's transport is of sockets and internal
    "decode": "Box Point Point3",  # Kotlin has arrays of doubles, which it fills again
    "files": "Digest DownloadError HttpHead HttpStream UrlSessionHttp digest isComplete",
    "image": "Locked PixelLayout Pixels",
    "json": "JsonMembers",
    "manifest": "ParityMode",  # Mode is the policy's, in one module
    "policy": "CallError PolicyState",
}
AREAS = sorted({*kotlin_names(), *swift_names()})


@pytest.mark.parametrize("area", AREAS)
def test_names_agree(area: str) -> None:
    kotlin, swift = kotlin_names().get(area, set()), swift_names().get(area, set())
    assert kotlin - swift - set(KOTLIN_ONLY.get(area, "").split()) == set(), "on Android only"
    assert swift - kotlin - set(SWIFT_ONLY.get(area, "").split()) == set(), "on iOS only"


@pytest.mark.parametrize(("listed", "found"), [(KOTLIN_ONLY, kotlin_names()), (SWIFT_ONLY, swift_names())])
def test_every_listed_difference_is_one(listed: dict[str, str], found: dict[str, set[str]]) -> None:
    for area, words in listed.items():
        assert set(words.split()) <= found[area], area


def test_the_cores_share_most_names() -> None:
    shared = sum(len(names & swift_names().get(area, set())) for area, names in kotlin_names().items())
    assert shared > 90
