"""The one exception that a user can cause and mend, and what others say in one line."""


class OnnxqError(Exception):
    """Bad input. The message says in one line what is wrong, where, and what to do."""


class NoImagesError(OnnxqError):
    """There was not one image."""


def first_line(error: BaseException) -> str:
    """What an error says, on one line; what it is, where it says nothing."""
    return (str(error).strip() or repr(error)).splitlines()[0]
