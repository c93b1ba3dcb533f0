"""Workbooks (.xlsx): the rows of the first sheet, one at a time."""

import warnings
import zlib
from collections.abc import Iterator
from typing import BinaryIO
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

# What a file that is no workbook, or only the beginning of one, makes the library raise.
_BROKEN = (
    BadZipFile,
    InvalidFileException,
    ParseError,
    zlib.error,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
)

warnings.filterwarnings("ignore", module="openpyxl")  # about styles, which nobody here reads


class NotAWorkbook(Exception):
    """It is broken, cut off, or something else in a ZIP file."""


def rows(file: BinaryIO) -> Iterator[tuple[object, ...]]:
    """The values of every row, None where a cell is empty. Only the workbook's distinct texts are kept in memory."""
    try:
        book = load_workbook(file, read_only=True, data_only=True)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # exporters write wrong ones
        yield from sheet.iter_rows(values_only=True)
    except _BROKEN:
        raise NotAWorkbook from None
