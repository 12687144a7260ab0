"""FIR resampling in one Triton kernel, which reads the image once and writes the result once."""

# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportCallIssue=false
import torch
import triton
import triton.language as tl
from torch import Tensor

from gantrain.ops.fir_plan import Plan

_BLOCK = 128  # cells of one program
_CELL = 4  # outputs of a cell along y, or the next multiple of the period


def resample(x: Tensor, plan: Plan) -> Tensor:
    """Resample [N, C, H, W] in any dense layout; the result has the same.

    Sums are in float32, or float64 for float64, and the result in the dtype of x.
    """
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    layout = torch.channels_last if last else torch.contiguous_format
    x = x.contiguous(memory_format=layout)
    n, c, h, w = x.shape
    out_h, out_w = plan.out_size(h, w)
    y = torch.empty((n, c, out_h, out_w), dtype=x.dtype, device=x.device, memory_format=layout)
    cell_x = plan.x.period
    cell_y = plan.y.period * max(1, _CELL // plan.y.period)
    cells_y, cells_x = triton.cdiv(out_h, cell_y), triton.cdiv(out_w, cell_x)
    # A program has cells of one plane (NCHW) or of one row and several channels (NHWC).
    programs, rows, lanes = (n * cells_y, cells_x, c) if last else (n * c, cells_y, cells_x)
    block_lanes = min(triton.next_power_of_2(lanes), _BLOCK)
    block_rows = min(triton.next_power_of_2(rows), _BLOCK // block_lanes)
    grid = (programs, triton.cdiv(rows, block_rows), triton.cdiv(lanes, block_lanes))
    with torch.cuda.device_of(x):
        _resample[grid](
            x, y, c, h, w, out_h, out_w,
            sum(plan.kernel, ()), plan.y.taps, plan.x.taps, plan.y.up, plan.x.up,
            plan.y.down, plan.x.down, plan.y.before, plan.x.before, cell_y, cell_x,
            block_rows, block_lanes, last,
            tl.float64 if x.dtype == torch.float64 else tl.float32,
            num_warps=max(1, block_rows * block_lanes // 32),
        )  # fmt: skip
    return y


@triton.jit
def _resample(
    x, y, channels, height, width, out_h, out_w,
    KERNEL: tl.constexpr, TAPS_Y: tl.constexpr, TAPS_X: tl.constexpr,
    UP_Y: tl.constexpr, UP_X: tl.constexpr, DOWN_Y: tl.constexpr, DOWN_X: tl.constexpr,
    TOP: tl.constexpr, LEFT: tl.constexpr, CELL_Y: tl.constexpr, CELL_X: tl.constexpr,
    ROWS: tl.constexpr, LANES: tl.constexpr, LAST: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Compute cells of CELL_Y x CELL_X outputs, of which all meet the taps in the same way."""
    program = tl.program_id(0)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)[:, None]
    lane = tl.program_id(2) * LANES + tl.arange(0, LANES)[None, :]
    if LAST:
        cells = tl.cdiv(out_h, CELL_Y)
        image, cell_y = (program // cells).to(tl.int64), program % cells
        cell_x, step = row, channels
        x += image * height * width * channels + lane
        y += image * out_h * out_w * channels + lane
        exists = lane < channels
    else:
        plane, cell_y, cell_x, step = program.to(tl.int64), row, lane, 1
        x += plane * height * width
        y += plane * out_h * out_w
        exists = lane >= 0
    # The cell's first output, times `down`, is a multiple of `up`: the sample that it begins with.
    first_y, first_x = cell_y * (CELL_Y * DOWN_Y // UP_Y), cell_x * (CELL_X * DOWN_X // UP_X)
    sums = ()
    for j in tl.static_range(CELL_Y):
        for i in tl.static_range(CELL_X):
            total = tl.zeros((ROWS, LANES), SUM)
            for ky in tl.static_range(TAPS_Y):
                for kx in tl.static_range(TAPS_X):
                    # Equal loads of other outputs and this one become one.
                    if (j * DOWN_Y + ky - TOP) % UP_Y == 0 and (i * DOWN_X + kx - LEFT) % UP_X == 0:
                        sy = first_y + (j * DOWN_Y + ky - TOP) // UP_Y
                        sx = first_x + (i * DOWN_X + kx - LEFT) // UP_X
                        inside = (sy >= 0) & (sy < height) & (sx >= 0) & (sx < width) & exists
                        sample = tl.load(x + (sy * width + sx) * step, inside, 0.0).to(SUM)
                        total += sample * KERNEL[ky * TAPS_X + kx]
            sums = sums + (total,)  # noqa: RUF005 (Triton knows no star)
    for j in tl.static_range(CELL_Y):
        for i in tl.static_range(CELL_X):
            oy, ox = cell_y * CELL_Y + j, cell_x * CELL_X + i
            inside = (oy < out_h) & (ox < out_w) & exists
            tl.store(y + (oy * out_w + ox) * step, sums[j * CELL_X + i], inside)
