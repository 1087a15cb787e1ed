"""Which images are of each cell type."""

from collections.abc import Iterable


def indices_by_type(cell_types: Iterable[str | None]) -> dict[str, list[int]]:
    """Give the indices of the images of each cell type, types in alphabetical order.

    Parameters
    ----------
    cell_types : iterable of str or None
        Of each image. An image without a type (None or an empty text) belongs to none.

    Examples
    --------
    >>> indices_by_type(["cort", "astro", None, "cort"])
    {'astro': [1], 'cort': [0, 3]}
    """
    indices: dict[str, list[int]] = {}
    for index, kind in enumerate(cell_types):
        if kind:
            indices.setdefault(kind, []).append(index)
    return dict(sorted(indices.items()))
