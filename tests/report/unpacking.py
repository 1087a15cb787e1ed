"""The page's packed cells back to masks, written from the format's description alone."""

import base64

import numpy as np

MOVES = ((0, 1), (1, 0), (0, -1), (-1, 0))


def numbers_of(content):
    """Give the varints of bytes one by one, with the place behind each."""
    value = shift = 0
    for place, byte in enumerate(content):
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield value, place + 1
            value = shift = 0


def unpack_numbers(text):
    return [value for value, _ in numbers_of(base64.b64decode(text))]


def unpack_cells(text, shape):
    """Give a dense (N, H, W) bool stack."""
    content = base64.b64decode(text)
    numbers = numbers_of(content)
    number = lambda: next(numbers)  # noqa: E731
    n_cells, end = number()
    loops, y, x = [], 0, 0
    for cell in range(n_cells):
        n_loops, end = number()
        for _ in range(n_loops):
            (dy, _), (dx, _), (n_steps, end) = number(), number(), number()
            y, x = y + unzigzag(dy), x + unzigzag(dx)
            loops.append((cell, y, x, n_steps))
    steps = [byte >> shift & 3 for byte in content[end:] for shift in (0, 2, 4, 6)]
    stack = np.zeros((n_cells, *shape), bool)
    for cell, y, x, n_steps in loops:
        for step in steps[:n_steps]:
            # Every vertical edge turns the row to its right inside out.
            if step % 2:
                stack[cell, y if step == 1 else y - 1, x:] ^= True
            y, x = y + MOVES[step][0], x + MOVES[step][1]
        del steps[:n_steps]
    return stack


def unzigzag(number):
    return -(number + 1) // 2 if number % 2 else number // 2
