import pytest
import torch

from gantrain.networks.stylegan2.mapping import LabelMapping, MappingNetwork


def mapping(label_dim: int = 0, beta: float = 0.9) -> MappingNetwork:
    net = MappingNetwork(5, label_dim, 4, num_ws=6, layers=2, w_avg_beta=beta).double()
    net.w_avg.copy_(torch.randn(4))
    return net


def test_all_layers_get_the_same_w_and_only_the_direction_of_z_counts() -> None:
    net, z = mapping(), torch.randn(3, 5, dtype=torch.float64)
    ws = net(z)
    assert ws.shape == (3, 6, 4)
    assert torch.equal(ws, ws[:, :1].expand(-1, 6, -1))
    torch.testing.assert_close(net(3 * z), ws)


@pytest.mark.parametrize("cutoff", [None, 0, 2, 6])
def test_truncation_pulls_towards_the_mean(cutoff: int | None) -> None:
    net, z = mapping(), torch.randn(3, 5, dtype=torch.float64)
    ws = net(z)
    near = net(z, truncation_psi=0.3, truncation_cutoff=cutoff)
    count = 6 if cutoff is None else cutoff
    torch.testing.assert_close(near[:, :count], (net.w_avg + 0.3 * (ws - net.w_avg))[:, :count])
    assert torch.equal(near[:, count:], ws[:, count:])


def test_psi_zero_is_the_mean_itself() -> None:
    net = mapping()
    ws = net(torch.randn(2, 5, dtype=torch.float64), truncation_psi=0.0)
    torch.testing.assert_close(ws, net.w_avg.expand(2, 6, 4))


def test_w_avg_moves_only_when_asked() -> None:
    net, z = mapping(beta=0.9), torch.randn(8, 5, dtype=torch.float64)
    before = net.w_avg.clone()
    ws = net(z)
    assert torch.equal(net.w_avg, before)
    tracked = net(z, update_w_avg=True)
    torch.testing.assert_close(net.w_avg, 0.9 * before + 0.1 * ws[:, 0].mean(0))
    assert not net.w_avg.requires_grad and tracked.requires_grad


def test_labels_change_w_and_cannot_be_forgotten() -> None:
    net, z = mapping(label_dim=3), torch.randn(2, 5, dtype=torch.float64)
    a, b = (net(z, torch.eye(3, dtype=torch.float64)[[i, i]]) for i in (0, 1))
    assert (a - b).abs().max() > 0.01
    with pytest.raises(ValueError, match=r"labels of shape \[N, 3\], not none"):
        net(z)
    with pytest.raises(ValueError, match=r"not shape \[2, 2\]"):
        net(z, torch.zeros(2, 2))


def test_labels_are_ignored_by_an_unconditional_network() -> None:
    net, z = mapping(), torch.randn(2, 5, dtype=torch.float64)
    assert torch.equal(net(z, torch.zeros(2, 0)), net(z))


def test_the_discriminators_mapping_is_eight_layers_deep() -> None:
    net = LabelMapping(3, 4)
    assert net(torch.eye(3)).shape == (3, 4)
    assert sum(name.startswith("fc") for name, _ in net.named_children()) == 8


SCALE = [[50.0], [17.0]]  # of ages, say


def test_the_size_of_a_number_counts() -> None:
    z, c = torch.randn(1, 5).double().repeat(3, 1), torch.tensor([[25.0], [50], [75]]).double()
    old = mapping(label_dim=1)  # as networks of earlier runs stay
    torch.testing.assert_close(old(z, c), old(z, c)[:1].expand(3, -1, -1))
    net = MappingNetwork(5, 1, 4, num_ws=2, layers=2, label_scale=SCALE).double()
    ws = net(z, c)[:, 0]
    assert min((ws[i] - ws[j]).norm() for i, j in ((0, 1), (1, 2), (0, 2))) > 0.01 * ws.norm()
    judge = LabelMapping(1, 4, label_scale=SCALE).double()
    assert (judge(c[:1]) - judge(c[2:])).norm() > 0.01 * judge(c).norm()


def test_the_scale_of_several_numbers_makes_no_difference() -> None:
    wide = MappingNetwork(5, 2, 4, num_ws=2, layers=2, label_scale=[[1e6, -3], [1e3, 0.1]]).double()
    unit = MappingNetwork(5, 2, 4, num_ws=2, layers=2, label_scale=[[0.0, 0], [1.0, 1]]).double()
    parameters = dict(wide.named_parameters())
    unit.load_state_dict(unit.state_dict() | {k: p.detach() for k, p in parameters.items()})
    z = torch.randn(2, 5).double()
    c = torch.tensor([[1e6 + 1e3, -3.0], [1e6, -2.8]]).double()
    torch.testing.assert_close(wide(z, c), unit(z, torch.tensor([[1.0, 0], [0, 2]]).double()))


def test_the_scale_is_saved_with_the_weights() -> None:
    net = MappingNetwork(5, 1, 4, num_ws=2, layers=2, label_scale=SCALE)
    other = MappingNetwork(5, 1, 4, num_ws=2, layers=2, label_scale=[[0.0], [1.0]])
    other.load_state_dict(net.state_dict())  # a run that is resumed with other images
    z, c = torch.randn(1, 5), torch.tensor([[40.0]])
    assert torch.equal(other(z, c), net(z, c))
