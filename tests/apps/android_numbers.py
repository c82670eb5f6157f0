"""Plain types in Android's Python stubs: `int` and `float` are long and double where the API says so."""

from __future__ import annotations

import re

PRIMITIVES = {
    "jint": "I", "jlong": "J", "jfloat": "F", "jdouble": "D",
    "jboolean": "Z", "jshort": "S", "jchar": "C", "jbyte": "B",
}  # fmt: skip
WORDS = {"int": "I", "float": "F", "bool": "Z", "None": "V"}
_LONG = re.compile(r"(Timestamp|Millis|Nanos|Realtime|NanoTime|Bytes)$|^(get|opt|read)(\w*)Long(Extra|Property)?$")
_DOUBLE = re.compile(r"^(get|opt|read)Double(Extra)?$|^get(Latitude|Longitude|Altitude)$")
# What no rule tells: results and fields that are long.
LONGS = frozenset({
    "android.app.ActivityManager.MemoryInfo.availMem", "android.app.ActivityManager.MemoryInfo.threshold",
    "android.app.ActivityManager.MemoryInfo.totalMem", "android.content.res.AssetFileDescriptor.getDeclaredLength",
    "android.content.res.AssetFileDescriptor.getLength", "android.content.res.AssetFileDescriptor.getStartOffset",
    "android.os.BatteryManager.computeChargeTimeRemaining", "android.os.Debug.getNativeHeapAllocatedSize",
    "android.os.Debug.getNativeHeapSize", "android.os.Debug.getPss", "android.os.ParcelFileDescriptor.getStatSize",
    "android.os.Process.getElapsedCpuTime", "android.view.MotionEvent.getDownTime",
    "android.view.MotionEvent.getEventTime", "android.view.View.getDrawingTime",
})  # fmt: skip
# What a rule takes for long and is int.
INTS = frozenset({"android.graphics.Bitmap.getRowBytes"})


def widened(plain: str, place: str) -> str:
    """Return long for an int and double for a float where the method or field is of that type."""
    name = place.rpartition(".")[2]
    if plain == "I" and place not in INTS and (place in LONGS or _LONG.search(name)):
        return "J"
    return "D" if plain == "F" and _DOUBLE.search(name) else plain
