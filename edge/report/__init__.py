"""report.json and report.html: what was made, whether it is right, how fast it is, with which versions."""
