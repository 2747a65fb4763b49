"""3D morphable face models: one class, one file format, and builders for several sources."""

from recface.face_model.builders import BUILDERS, get
from recface.face_model.model import FLIP68, FaceModel
from recface.face_model.npz import load, save

__all__ = ["BUILDERS", "FLIP68", "FaceModel", "get", "load", "save"]
