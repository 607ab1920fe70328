"""Number formats, in pure numpy."""
