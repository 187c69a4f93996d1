"""Molecules."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any, ClassVar

from tracker.data_types.media import BatchableMedia, Media, need, read_text


class Molecule(BatchableMedia):
    """The structure of a molecule, from a file or from RDKit.

    Args:
        data_or_path: The path of a file, or an open file.
        caption: Text shown with the molecule.
        **kwargs: ``file_type``, such as ``"pdb"``. Required for a stream without a name.

    Raises:
        ValueError: The file type is missing or unknown.
        OSError: The file cannot be read.
    """

    SUPPORTED_TYPES: ClassVar[set[str]] = {
        "pdb", "pqr", "mmcif", "mcif", "cif", "sdf", "sd", "gro", "mol2", "mmtf",
    }  # fmt: skip
    SUPPORTED_RDKIT_TYPES: ClassVar[set[str]] = {"mol", "sdf"}
    _log_type = "molecule-file"
    folder = "molecule"

    def __init__(self, data_or_path: Any, caption: str | None = None, **kwargs: str) -> None:
        self._caption = caption
        if hasattr(data_or_path, "read") and isinstance(getattr(data_or_path, "name", None), str):
            data_or_path = data_or_path.name
        if hasattr(data_or_path, "read"):
            extension = kwargs.pop("file_type", None)
            if extension is None:
                raise ValueError("Must pass file_type keyword argument when using io objects.")
            self._check(extension)
            text = read_text(data_or_path)[0]
            self._take(text if isinstance(text, bytes) else text.encode(), f".{extension}")
        elif isinstance(data_or_path, (str, os.PathLike)):
            path = os.fspath(data_or_path)
            self._check(os.path.splitext(path)[1][1:])
            self._take_file(path)
        else:
            raise ValueError("Data must be file name or a file object")

    def _check(self, extension: str) -> None:
        if extension not in self.SUPPORTED_TYPES:
            raise ValueError(
                "Molecule only supports files of the type: " + ", ".join(sorted(self.SUPPORTED_TYPES))
            )

    @classmethod
    def from_rdkit(
        cls,
        data_or_path: Any,
        caption: str | None = None,
        convert_to_3d_and_optimize: bool = True,
        mmff_optimize_molecule_max_iterations: int = 200,
    ) -> Molecule:
        """Return a molecule from an RDKit molecule, or from a ``.mol`` or ``.sdf`` file that RDKit reads.

        Args:
            data_or_path: An ``rdkit.Chem.rdchem.Mol``, or the path of a file. Only the first molecule of
                a file is used.
            caption: Text shown with the molecule.
            convert_to_3d_and_optimize: Whether to compute 3D coordinates first.
            mmff_optimize_molecule_max_iterations: Largest number of steps of that optimization.

        Raises:
            UsageError: RDKit is not installed.
            ValueError: The file has another type.
            TypeError: ``data_or_path`` is neither a molecule nor a path.
        """
        chem = need("rdkit.Chem", "Molecule.from_rdkit")
        if isinstance(data_or_path, (str, os.PathLike)):
            path = os.fspath(data_or_path)
            extension = os.path.splitext(path)[1][1:]
            if extension not in cls.SUPPORTED_RDKIT_TYPES:
                raise ValueError(
                    "Molecule.from_rdkit only supports files of the type: "
                    + ", ".join(sorted(cls.SUPPORTED_RDKIT_TYPES))
                )
            if extension == "sdf":
                with chem.SDMolSupplier(path) as supplier:
                    molecule = next(supplier)
            else:
                molecule = chem.MolFromMolFile(path)
        elif isinstance(data_or_path, chem.rdchem.Mol):
            molecule = data_or_path
        else:
            raise TypeError("Data must be file name or an rdkit.Chem.rdchem.Mol object")
        if convert_to_3d_and_optimize:
            shaping = need("rdkit.Chem.AllChem", "Molecule.from_rdkit")

            molecule = chem.AddHs(molecule)
            shaping.EmbedMolecule(molecule)
            shaping.MMFFOptimizeMolecule(molecule, maxIters=mmff_optimize_molecule_max_iterations)
        return cls(io.StringIO(chem.MolToPDBBlock(molecule)), caption=caption, file_type="pdb")

    @classmethod
    def from_smiles(
        cls,
        data: str,
        caption: str | None = None,
        sanitize: bool = True,
        convert_to_3d_and_optimize: bool = True,
        mmff_optimize_molecule_max_iterations: int = 200,
    ) -> Molecule:
        """Return a molecule from a SMILES string, which RDKit parses.

        Args:
            data: The SMILES string.
            caption: Text shown with the molecule.
            sanitize: Whether RDKit checks and normalizes the structure.
            convert_to_3d_and_optimize: See ``from_rdkit``.
            mmff_optimize_molecule_max_iterations: See ``from_rdkit``.

        Raises:
            UsageError: RDKit is not installed.
            ValueError: The string is not valid SMILES.
        """
        molecule = need("rdkit.Chem", "Molecule.from_smiles").MolFromSmiles(data, sanitize=sanitize)
        if molecule is None:
            raise ValueError("Unable to parse the SMILES string.")
        return cls.from_rdkit(
            molecule, caption, convert_to_3d_and_optimize, mmff_optimize_molecule_max_iterations
        )

    @classmethod
    def seq_to_json(cls, seq: Sequence[Any], run: Any, key: str, step: int | str) -> dict[str, Any]:
        """See ``BatchableMedia.seq_to_json``."""
        return {
            "_type": "molecule",
            "filenames": [molecule.to_json(run)["path"] for molecule in seq],
            "count": len(seq),
            "captions": Media.captions(seq),
        }
