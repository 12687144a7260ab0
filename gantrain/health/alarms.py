"""When a signal is an alarm, and what to do then. Plain numbers, no torch.

The bounds were set on runs made to fail and on healthy ones: tests/health/test_calibration.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Row = Mapping[str, float | None]  # of metrics.jsonl

COLLAPSED = 0.15  # diversity
WAS_DIVERSE = 0.4
SEPARATED, LOSS_GONE = 0.995, 0.02
OVERFIT, SIGMA = 0.5, 4.0
INVERTED = -0.3  # luma
COPIED = 0.03
HIDDEN = 3.0
STARVED = 0.3  # data-wait
EARLY = 2000  # images: until then networks are as they were made


@dataclass(frozen=True)
class Alarm:
    """Something that a person should know. `where`: direction of a translation, or ""."""

    alarm: str
    level: Literal["warning", "critical"]
    where: str
    text: str
    advice: str


def nonfinite_alarm(phase: str, index: int, origin: str, skipped: bool, ranks: str = "") -> Alarm:
    """The gradient of `phase` was not finite at step `index`; on some ranks, of several."""
    where = f" on rank {ranks}" if ranks else ""
    return Alarm(
        "nonfinite", "warning" if skipped else "critical", phase,
        f"The gradient of phase {phase}{where} was not finite at step {index}: "
        f"{origin or 'where it began is not known'}.",
        "The step was left out." if skipped else
        "Go on from the last checkpoint (resume=) with a lower optimizer.lr or "
        "runtime.precision=fp32, or leave such steps out: train.on_nonfinite=skip.",
    )  # fmt: skip


class AlarmMonitor:
    """Looks at the reports of a run one by one, and says what is new.

    An alarm is raised once; it may come again after its reason was gone for as long as it takes.

    Args:
        total: the run's budget in images: what is normal in the beginning is not in the end.
        p_bound: the upper bound of ADA's p; None: there is none.
    """

    def __init__(self, total: int, p_bound: float | None = None) -> None:
        self.total, self.p_bound = total, p_bound
        self._streak: dict[str, int] = {}  # reports in a row; below 0: since the reason is gone
        self._raised: set[str] = set()
        self._skipped = 0.0
        self._best: dict[str, float] = {}  # diversity so far

    def standing(self) -> list[str]:
        """ "<alarm>/<place>" of those whose reason the newest report still shows."""
        return [key for key in self._raised if self._streak[key] > 0]

    def look(self, nimg: int, row: Row) -> list[Alarm]:
        """New alarms at this report."""
        late = nimg >= max(self.total / 4, EARLY)
        found = [*self._steps(row)]
        for place in dict.fromkeys(n.split("/")[1] for n in row if n.startswith("health/")):
            signals = {
                name.rpartition("/")[2]: value
                for name, value in row.items()
                if name.startswith(f"health/{place}/") and value is not None
            }
            found += self._generator(place, signals, late)
            found += self._discriminator(place, signals, row)
        return found

    def _holds(self, key: str, bad: bool, times: int) -> bool:
        """Whether `bad` has now been so `times` times in a row, for the first time."""
        if not bad:
            self._streak[key] = min(0, self._streak.get(key, 0)) - 1
            if self._streak[key] <= -times:
                self._raised.discard(key)
            return False
        self._streak[key] = max(0, self._streak.get(key, 0)) + 1
        if self._streak[key] < times or key in self._raised:
            return False
        self._raised.add(key)
        return True

    def _steps(self, row: Row) -> Iterator[Alarm]:
        skipped = row.get("progress/skipped_steps") or 0.0
        if skipped >= max(1, 2 * self._skipped):  # again when there are twice as many
            self._skipped = skipped
            yield Alarm(
                "skipped", "warning", "",
                f"{skipped:.0f} steps were left out so far: their gradients were not finite.",
                "A few in a run do no harm. Many: lower optimizer.lr, or runtime.precision=fp32.",
            )  # fmt: skip
        wait = row.get("progress/data_wait") or 0.0
        if self._holds("data_wait", wait > STARVED, 10):
            yield Alarm(
                "data_wait", "warning", "",
                f"Training waits for pictures {wait:.0%} of the time.",
                "Raise runtime.workers, let data.cache keep the resized pictures, or pack them: "
                "gantrain prepare pack=FILE.zip.",
            )  # fmt: skip
        p, bound = row.get("augment/p"), self.p_bound
        if bound and p is not None and self._holds("ada_bound", p >= bound - 1e-6, 10):
            yield Alarm(
                "ada_bound", "warning", "",
                f"ADA's p is at its upper bound ({bound:g}) and D still overfits.",
                "There are too few pictures for this model: add some, mirror them (data.flip=true),"
                " raise model.r1_gamma, or begin from a trained run with init_from=.",
            )  # fmt: skip

    def _generator(self, place: str, signals: Mapping[str, float], late: bool) -> Iterator[Alarm]:
        diversity = signals.get("diversity")
        if diversity is not None:
            best = self._best[place] = max(self._best.get(place, 0.0), diversity)
            bad = diversity < COLLAPSED and (late or best > WAS_DIVERSE)
            if self._holds(f"collapse/{place}", bad, 3):
                yield Alarm(
                    "collapse", "critical", _way(place),
                    f"The generator{_of(place)} makes nearly the same picture of everything: its "
                    f"pictures differ {diversity:.0%} as much as real ones do.",
                    "It does not come back by itself. Go on from an earlier snapshot "
                    "(init_from=), with a lower optimizer.lr or a stronger penalty on D.",
                )  # fmt: skip
        luma = signals.get("luma", 0.0)
        if self._holds(f"inverted/{place}", luma < INVERTED, 3):
            yield Alarm(
                "inverted", "critical", _way(place),
                f"Translations{_of(place)} are negatives: dark becomes bright (correlation "
                f"{luma:.2f}).",
                "A known dead end of cycles. If it is not what you want, begin again with another "
                "seed=, a higher model.lambda_identity, or cycle and identity alone at first "
                "(model.lambda_adversarial as a schedule, see experiment=quickstart).",
            )  # fmt: skip
        copied = signals.get("copy", 1.0)
        if self._holds(f"copying/{place}", late and copied < COPIED, 3):
            yield Alarm(
                "copying", "warning", _way(place),
                f"Translations{_of(place)} are copies of what goes in.",
                "Lower model.lambda_identity or model.lambda_cycle, so that D is heard.",
            )  # fmt: skip
        hidden = signals.get("hidden", 1.0)
        if self._holds(f"hidden/{place}", late and hidden > HIDDEN, 3):
            yield Alarm(
                "hidden", "warning", _way(place),
                f"Translations{_of(place)} carry their source hidden in faint patterns: saved as "
                f"8 bits with a little noise, the way back is {hidden:.1f} times worse.",
                "The cycle then enforces little. Lower model.lambda_cycle, or let it fall in the "
                "course of training; judge the pictures, not loss/G/cycle.",
            )  # fmt: skip

    def _discriminator(self, place: str, signals: Mapping[str, float], row: Row) -> Iterator[Alarm]:
        loss = d_loss(place, row)
        apart = signals.get("separation", 0.0) >= SEPARATED
        heard = any(key.startswith("loss/G/adversarial") for key in row)  # not in every stage
        strong = heard and apart and loss is not None and 0 <= loss < LOSS_GONE
        if self._holds(f"d_too_strong/{place}", strong, 3):
            yield Alarm(
                "d_too_strong", "critical", _way(place),
                f"The discriminator{_of(place)} tells every picture (loss {loss:.2g}): the "
                "generator learns next to nothing from it.",
                "Give D less width (model.ndf, model.d_width), a gradient penalty "
                "(model.loss=wgan_gp, a higher model.r1_gamma), or more pictures.",
            )  # fmt: skip
        overfit, sigma = signals.get("overfit", 0.0), signals.get("overfit_sigma", 0.0)
        if self._holds(f"overfit/{place}", overfit > OVERFIT and sigma > SIGMA, 3):
            yield Alarm(
                "overfit", "warning", _way(place),
                f"The discriminator{_of(place)} knows its training pictures by heart: real ones "
                f"that it has not seen are {overfit:.0%} on the way to fakes.",
                "Add pictures, mirror them (data.flip=true), model.augment=ada where there is one, "
                "or stop here: from now on samples get nearer to copies.",
            )  # fmt: skip


def d_loss(place: str, row: Row) -> float | None:
    """D's adversarial loss in the phase "D": of the domain that `place` ends in, or real + fake.

    None: not known, or a critic's, which has no zero.
    """
    single = row.get(f"loss/D/{place[-1:]}")
    if single is not None:
        return single
    real, fake = row.get("loss/D/real"), row.get("loss/D/fake")
    if real is None or fake is None or min(real, fake) < 0:
        return None
    return real + fake


def _way(place: str) -> str:
    return place if place in ("ab", "ba") else ""


def _of(place: str) -> str:
    return f" {place[0]} to {place[1]}" if _way(place) else ""
