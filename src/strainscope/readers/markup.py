"""XML of files that anybody may have written: no entities, no definitions, nothing from elsewhere."""

from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from strainscope.readers.numbers import number_of


def root_of(content: bytes, *, what: str) -> Element:
    """The document's root.

    Raises:
        ValueError: it is no XML, or defines entities.
    """
    try:
        found: Element = fromstring(content, forbid_dtd=True)
    except ParseError as error:
        raise ValueError(f"{what} is no whole XML ({error}); export it again.") from None
    except DefusedXmlException:
        raise ValueError(
            f"{what} defines a document type or entities, which no instrument does; export it again."
        ) from None
    except (LookupError, ValueError) as error:
        raise ValueError(f"{what} is no readable XML ({error}); export it again.") from None
    return found


def local(element: Element) -> str:
    """The element's name without namespace."""
    # Comments and instructions have functions for names.
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def children(element: Element, name: str) -> Iterator[Element]:
    """Children of a name, whatever their namespace."""
    return (child for child in element if local(child) == name)


def inside(element: Element, name: str) -> Iterator[Element]:
    """Elements of a name at any depth, in the file's order."""
    return (found for found in element.iter() if local(found) == name)


def at(element: Element, *path: str) -> Element | None:
    """The first element at a path of names; None where there is none."""
    found: Element | None = element
    for name in path:
        found = None if found is None else next(children(found, name), None)
    return found


def text_at(element: Element, *path: str) -> str:
    """The text at a path, without white space around it; empty where there is none."""
    found = at(element, *path)
    return "" if found is None or found.text is None else found.text.strip()


def number_at(element: Element, *path: str) -> float | None:
    """The number at a path; None where there is none."""
    text = text_at(element, *path)
    return number_of(text, what=path[-1]) if text else None
