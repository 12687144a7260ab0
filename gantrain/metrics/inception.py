"""Inception v3 of 2015-12-05, the network of FID (Szegedy et al. 2016; Heusel et al. 2017).

Parameter names are those of the published PyTorch conversion (torch-fidelity, pytorch-fid). It
differs from the usual Inception v3 in four ways: average pools do not count the padding, the last
block uses max pooling, there are 1008 classes, and inputs are scaled as (x - 128) / 128.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 299  # pixels
DIM = 2048  # features


class _Conv(nn.Module):
    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int | None = None,
    ) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        pads = (sides[0] // 2, sides[1] // 2) if padding is None else (padding, padding)
        self.conv = nn.Conv2d(c_in, c_out, sides, stride=stride, padding=pads, bias=False)
        self.bn = nn.BatchNorm2d(c_out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


def _average_pool(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class _InceptionA(nn.Module):
    def __init__(self, c: int, pool: int) -> None:
        super().__init__()
        self.branch1x1 = _Conv(c, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = _Conv(c, 48, 1), _Conv(48, 64, 5)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = _Conv(c, 64, 1), _Conv(64, 96, 3)
        self.branch3x3dbl_3 = _Conv(96, 96, 3)
        self.branch_pool = _Conv(c, pool, 1)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, three, self.branch_pool(_average_pool(x))], 1)


class _InceptionB(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch3x3 = _Conv(288, 384, 3, stride=2, padding=0)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = _Conv(288, 64, 1), _Conv(64, 96, 3)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, stride=2, padding=0)

    def forward(self, x: Tensor) -> Tensor:
        twice = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), twice, F.max_pool2d(x, 3, 2)], 1)


class _InceptionC(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.branch1x1 = _Conv(768, 192, 1)
        self.branch7x7_1, self.branch7x7_2 = _Conv(768, c, 1), _Conv(c, c, (1, 7))
        self.branch7x7_3 = _Conv(c, 192, (7, 1))
        self.branch7x7dbl_1, self.branch7x7dbl_2 = _Conv(768, c, 1), _Conv(c, c, (7, 1))
        self.branch7x7dbl_3, self.branch7x7dbl_4 = _Conv(c, c, (1, 7)), _Conv(c, c, (7, 1))
        self.branch7x7dbl_5 = _Conv(c, 192, (1, 7))
        self.branch_pool = _Conv(768, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        once = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(twice))
        return torch.cat([self.branch1x1(x), once, twice, self.branch_pool(_average_pool(x))], 1)


class _InceptionD(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1 = _Conv(768, 192, 1)
        self.branch3x3_2 = _Conv(192, 320, 3, stride=2, padding=0)
        self.branch7x7x3_1, self.branch7x7x3_2 = _Conv(768, 192, 1), _Conv(192, 192, (1, 7))
        self.branch7x7x3_3 = _Conv(192, 192, (7, 1))
        self.branch7x7x3_4 = _Conv(192, 192, 3, stride=2, padding=0)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        three = self.branch3x3_2(self.branch3x3_1(x))
        return torch.cat([three, self.branch7x7x3_4(seven), F.max_pool2d(x, 3, 2)], 1)


class _InceptionE(nn.Module):
    def __init__(self, c: int, *, max_pool: bool) -> None:
        super().__init__()
        self.max_pool = max_pool
        self.branch1x1 = _Conv(c, 320, 1)
        self.branch3x3_1 = _Conv(c, 384, 1)
        self.branch3x3_2a, self.branch3x3_2b = _Conv(384, 384, (1, 3)), _Conv(384, 384, (3, 1))
        self.branch3x3dbl_1, self.branch3x3dbl_2 = _Conv(c, 448, 1), _Conv(448, 384, 3)
        self.branch3x3dbl_3a, self.branch3x3dbl_3b = (
            _Conv(384, 384, (1, 3)),
            _Conv(384, 384, (3, 1)),
        )
        self.branch_pool = _Conv(c, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        once = self.branch3x3_1(x)
        twice = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        parts = [self.branch1x1(x), self.branch3x3_2a(once), self.branch3x3_2b(once)]
        parts += [self.branch3x3dbl_3a(twice), self.branch3x3dbl_3b(twice)]
        pooled = F.max_pool2d(x, 3, 1, 1) if self.max_pool else _average_pool(x)
        return torch.cat([*parts, self.branch_pool(pooled)], 1)


class Inception(nn.Module):
    """Inception v3 with 2048 features and 1008 class logits."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Conv(3, 32, 3, stride=2, padding=0)
        self.Conv2d_2a_3x3 = _Conv(32, 32, 3, padding=0)
        self.Conv2d_2b_3x3 = _Conv(32, 64, 3)
        self.Conv2d_3b_1x1 = _Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = _Conv(80, 192, 3, padding=0)
        self.Mixed_5b = _InceptionA(192, 32)
        self.Mixed_5c = _InceptionA(256, 64)
        self.Mixed_5d = _InceptionA(288, 64)
        self.Mixed_6a = _InceptionB()
        self.Mixed_6b = _InceptionC(128)
        self.Mixed_6c = _InceptionC(160)
        self.Mixed_6d = _InceptionC(160)
        self.Mixed_6e = _InceptionC(192)
        self.Mixed_7a = _InceptionD()
        self.Mixed_7b = _InceptionE(1280, max_pool=False)
        self.Mixed_7c = _InceptionE(2048, max_pool=True)
        self.fc = nn.Linear(DIM, 1008)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features [N, 2048] of float images [N, 3, 299, 299] in [0, 255].

        They are those of the last average pool.
        """
        x = (x - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = F.max_pool2d(x, 3, 2)
        x = F.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, 2)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        return x.mean((2, 3))

    def scores(self, features: Tensor) -> Tensor:
        """Return the logits [N, 1008] of features [N, 2048], without bias.

        The published Inception Score leaves the bias out.
        """
        return features @ self.fc.weight.T
