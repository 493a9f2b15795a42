"""Every mixer, at a size that trains in a test."""

from model.gla import GLA
from model.linear import LinearAttention
from model.mamba import Mamba
from model.mamba2 import Mamba2
from model.retnet import RetNet
from model.simple import SimpleGLA
from model.softmax import Softmax
from model.transnormer import TransNormer

MIXERS = [
    Softmax(heads=2),
    Softmax(heads=2, rotary=0.0, cope=4),
    GLA(heads=2, convolution=4),
    SimpleGLA(heads=2),
    LinearAttention(heads=2),
    RetNet(heads=2),
    TransNormer(heads=2, depth=0.5),
    Mamba(state=4),
    Mamba2(state=4, width=8),
]
