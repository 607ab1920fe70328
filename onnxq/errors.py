"""The one exception that a user can cause and mend."""


class OnnxqError(Exception):
    """Bad input. The message says in one line what is wrong, where, and what to do."""
