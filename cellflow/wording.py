"""Counts in sentences."""


def counted(number: int, noun: str) -> str:
    """Give a count with its noun in the right number.

    Parameters
    ----------
    number : int
    noun : str
        In the singular, of those whose plural ends in s; words before it may stand in front.

    Examples
    --------
    >>> counted(1, "image"), counted(3, "truth image")
    ('1 image', '3 truth images')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
