"""A crystal structure from the text of a CIF."""

import math

import gemmi
import numpy as np

from strainscope.crystal.structure import Crystal, Site


def crystal_from_cif(text: str, *, name: str) -> Crystal:
    """The crystal that a CIF text describes, with its atoms expanded by the space group.

    Ionic type symbols (O2-, Gd3+) are read as the element. An atom without B or U counts as B = 0 and is
    named in `without_b_iso`. Anisotropic parameters without an isotropic one are averaged.

    Raises:
        ValueError: no readable CIF with one structure, or cell, space group, atoms or elements missing.
    """
    structure = _read_structure(text, name)
    if not structure.sites:
        raise ValueError(f"CIF of {name}: no atoms; it must hold an _atom_site_ loop with fract_x, y, z.")
    if structure.spacegroup is None:
        raise ValueError(f"CIF of {name}: no known space group; give _space_group_name_H-M_alt.")
    for site in structure.sites:
        atom = f"CIF of {name}: atom {site.label}"
        if not 1 <= site.element.atomic_number <= 92:
            raise ValueError(f"{atom} has type {site.type_symbol!r}; it must be an element from H to U.")
        if not 0.0 < site.occ <= 1.0:
            raise ValueError(f"{atom} has occupancy {site.occ:g}; it must be > 0 and at most 1.")
        if not all(map(math.isfinite, site.fract.tolist())):
            raise ValueError(f"{atom} has no complete position; give fract_x, fract_y and fract_z.")
    cell = structure.cell
    sites = tuple(
        Site(
            element=gemmi.Element(site.element.atomic_number).name,  # D becomes H
            position=(site.fract.x, site.fract.y, site.fract.z),
            occupancy=site.occ,
            b_iso=8.0 * math.pi**2 * _u_iso(site, cell),
        )
        for site in structure.get_all_unit_cell_sites()
    )
    edges = {key: getattr(cell, key) for key in ("a", "b", "c", "alpha", "beta", "gamma")}
    missing = dict.fromkeys(site.label for site in structure.sites if _u_iso(site, cell) == 0.0)
    return Crystal(name=name, **edges, sites=sites, without_b_iso=tuple(missing))


def _read_structure(text: str, name: str) -> gemmi.SmallStructure:
    """The one block of a CIF text that has a cell, as gemmi's small structure."""
    try:
        document = gemmi.cif.read_string(text)
    except ValueError as error:
        raise ValueError(f"CIF of {name}: not readable ({error}).") from None
    blocks = [block for block in document if block.find_value("_cell_length_a")]
    if len(blocks) != 1:
        raise ValueError(f"CIF of {name}: {len(blocks)} blocks with a cell; it must hold exactly one.")
    structure = gemmi.make_small_structure_from_block(blocks[0])
    tags = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    values = [gemmi.cif.as_number(blocks[0].find_value(f"_cell_{tag}") or "?") for tag in tags]
    if not all(value > 0.0 for value in values) or not structure.cell.volume > 0.0:
        raise ValueError(f"CIF of {name}: no complete cell; give _cell_length_a, b, c, _cell_angle_alpha, ….")
    return structure


def _u_iso(site: gemmi.SmallStructure.Site, cell: gemmi.UnitCell) -> float:
    """Isotropic displacement U [Å²]; where the CIF has only a tensor, Σ U_ij a*_i a*_j a_i·a_j / 3."""
    if site.u_iso != 0.0 or not site.aniso.nonzero():
        return float(site.u_iso)
    vectors = np.array(cell.orth.mat.tolist()).T
    lengths = np.linalg.norm(np.linalg.inv(vectors), axis=0)
    tensor = np.array(site.aniso.as_mat33().tolist())
    return float(np.sum(tensor * np.outer(lengths, lengths) * (vectors @ vectors.T)) / 3.0)
