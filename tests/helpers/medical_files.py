"""Write DICOM and NIfTI files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest


def dicom(path: Path, pixels: np.ndarray, **tags: Any) -> Path:
    pydicom = pytest.importorskip("pydicom", reason="needs gantrain[medical]")
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    content = pydicom.Dataset()
    content.file_meta = meta
    content.SOPClassUID, content.SOPInstanceUID = CTImageStorage, "1.2.3"
    content.Rows, content.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        content.NumberOfFrames = len(pixels)
    content.SamplesPerPixel, content.PhotometricInterpretation = 1, "MONOCHROME2"
    content.BitsAllocated = content.BitsStored = 16
    content.HighBit, content.PixelRepresentation = 15, int(pixels.dtype == np.int16)
    content.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(content, name, value)
    content.save_as(path, enforce_file_format=True)
    return path


def nifti(path: Path, values: np.ndarray, slope: float | None = None) -> Path:
    nibabel = pytest.importorskip("nibabel", reason="needs gantrain[medical]")
    image = nibabel.Nifti1Image(values, np.eye(4))
    if slope is not None:
        image.header.set_slope_inter(slope, -5)
    nibabel.save(image, path)
    return path
