"""Number formats: what a precision means for each runtime."""
