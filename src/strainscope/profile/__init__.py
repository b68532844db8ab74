"""Strain and static Debye-Waller factor as functions of depth: families of named parameters.

Depth is measured in Å from the surface down. Every family is a frozen set of settings; the parameters'
values come as arrays (*, parameter), so that one call serves any number of profiles. Only ``check`` checks:
call it once where values enter, the other methods trust them.
"""

from strainscope.profile.disorder import (
    AmorphousLayer,
    ExponentialDisorder,
    TiedDerivatives,
    TiedDisorder,
)
from strainscope.profile.family import Constraint, ParameterSpec, Parametrised, Profile, StrainProfile
from strainscope.profile.gaussian import DoubleGaussian
from strainscope.profile.ions import IonProfile
from strainscope.profile.pair import DepthProfile
from strainscope.profile.pseudo_voigt import AsymmetricPseudoVoigt
from strainscope.profile.shape import UNIFORM, Falling, LogUniform, Normal, PriorShape, Uniform
from strainscope.profile.spline import CubicBSpline
from strainscope.profile.tabulated import Tabulated
from strainscope.profile.undamaged import NoDisorder, NoStrain

__all__ = [
    "UNIFORM",
    "AmorphousLayer",
    "AsymmetricPseudoVoigt",
    "Constraint",
    "CubicBSpline",
    "DepthProfile",
    "DoubleGaussian",
    "ExponentialDisorder",
    "Falling",
    "IonProfile",
    "LogUniform",
    "NoDisorder",
    "NoStrain",
    "Normal",
    "ParameterSpec",
    "Parametrised",
    "PriorShape",
    "Profile",
    "StrainProfile",
    "Tabulated",
    "TiedDerivatives",
    "TiedDisorder",
    "Uniform",
]
