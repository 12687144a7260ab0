"""Rules that turn signals into alarms with advice; plain numbers, no torch.

The thresholds were set on healthy runs and on runs made to fail, see
tests/health/test_calibration.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Row = Mapping[str, float | None]  # a row of metrics.jsonl

COLLAPSED_DIVERSITY, HEALTHY_DIVERSITY = 0.15, 0.4
SEPARATION, VANISHED_D_LOSS = 0.995, 0.02
OVERFIT, OVERFIT_SIGMA = 0.5, 4.0
INVERTED_LUMA = -0.3
COPY = 0.03
HIDDEN = 3.0
DATA_WAIT = 0.3  # share of the time
INITIAL_NIMG = 2000  # images: until then outputs reflect the initialization
PROBES, REPORTS = 3, 10  # in a row before an alarm, for health probes and for other values


@dataclass(frozen=True)
class Alarm:
    """A problem that the user should know about.

    Args:
        alarm: name, such as "collapse".
        level: "critical" if training is unlikely to recover.
        where: direction of a translation ("ab"), a phase, or "".
        text: what is wrong, a sentence.
        advice: what to do about it.
    """

    alarm: str
    level: Literal["warning", "critical"]
    where: str
    text: str
    advice: str


def nonfinite_alarm(phase: str, index: int, origin: str, skipped: bool, ranks: str = "") -> Alarm:
    """Return the alarm for a gradient that was not finite.

    Args:
        phase: name of the phase.
        index: number of the optimizer step.
        origin: a clause about the first non-finite value; "": unknown.
        skipped: whether the step was skipped; otherwise the run ends.
        ranks: the affected ranks of a distributed run, such as "0 and 2", or "".
    """
    where = f" on rank {ranks}" if ranks else ""
    return Alarm(
        "nonfinite", "warning" if skipped else "critical", phase,
        f"The gradient of phase {phase}{where} was not finite at step {index}: "
        f"{origin or 'the origin is not known'}.",
        "The step was skipped." if skipped else
        "Resume from the last checkpoint (resume=) with a lower optimizer.lr or "
        "runtime.precision=fp32, or skip such steps: train.on_nonfinite=skip.",
    )  # fmt: skip


class AlarmMonitor:
    """Checks the reports of a run one by one and returns the new alarms.

    An alarm is raised once. It can be raised again after its condition has been false for as many
    reports in a row as it takes to raise it.

    Args:
        total: the run's budget in images; some signals are normal early in a run only.
        p_bound: the upper bound of ADA's p; None: no ADA.
    """

    def __init__(self, total: int, p_bound: float | None = None) -> None:
        self.total, self.p_bound = total, p_bound
        # Reports in a row for which a condition has been true (> 0) or false (< 0).
        self._streak: dict[str, int] = {}
        self._raised: set[str] = set()
        self._skipped = 0.0
        self._best_diversity: dict[str, float] = {}

    def active(self) -> list[str]:
        """Return the raised alarms whose condition the last report still meets.

        Returns:
            "<alarm>/<probe>" or "<alarm>", such as "collapse/ab".
        """
        return [key for key in self._raised if self._streak[key] > 0]

    def update(self, nimg: int, row: Row) -> list[Alarm]:
        """Return the alarms that this report raises.

        Args:
            nimg: images trained so far.
            row: the report, a row of metrics.jsonl.
        """
        is_late = nimg >= max(self.total / 4, INITIAL_NIMG)
        alarms = [*self._check_progress(row)]
        # The name of a probe is a direction ("ab") or "image".
        for probe in dict.fromkeys(n.split("/")[1] for n in row if n.startswith("health/")):
            signals = {
                name.rpartition("/")[2]: value
                for name, value in row.items()
                if name.startswith(f"health/{probe}/") and value is not None
            }
            alarms += self._check_generator(probe, signals, is_late)
            alarms += self._check_discriminator(probe, signals, row)
        return alarms

    def _raises(self, key: str, condition: bool, reports: int) -> bool:
        """Return whether `condition` has just been true for `reports` reports in a row."""
        if not condition:
            self._streak[key] = min(0, self._streak.get(key, 0)) - 1
            if self._streak[key] <= -reports:
                self._raised.discard(key)
            return False
        self._streak[key] = max(0, self._streak.get(key, 0)) + 1
        if self._streak[key] < reports or key in self._raised:
            return False
        self._raised.add(key)
        return True

    def _check_progress(self, row: Row) -> Iterator[Alarm]:
        skipped = row.get("progress/skipped_steps") or 0.0
        if skipped >= max(1, 2 * self._skipped):  # raised again when the number has doubled
            self._skipped = skipped
            yield Alarm(
                "skipped", "warning", "",
                f"{skipped:.0f} steps were skipped so far: their gradients were not finite.",
                "A few in a run do no harm. If there are many, lower optimizer.lr or use "
                "runtime.precision=fp32.",
            )  # fmt: skip
        wait = row.get("progress/data_wait") or 0.0
        if self._raises("data_wait", wait > DATA_WAIT, REPORTS):
            yield Alarm(
                "data_wait", "warning", "",
                f"Training waits for images {wait:.0%} of the time.",
                "Raise runtime.workers, cache the resized images (data.cache), or pack them: "
                "gantrain prepare pack=FILE.zip.",
            )  # fmt: skip
        p, bound = row.get("augment/p"), self.p_bound
        if bound and p is not None and self._raises("ada_bound", p >= bound - 1e-6, REPORTS):
            yield Alarm(
                "ada_bound", "warning", "",
                f"ADA's p is at its upper bound ({bound:g}) and D still overfits.",
                "There are too few images for this model: add images, flip them (data.flip=true), "
                "raise model.r1_gamma, or start from a trained run with init_from=.",
            )  # fmt: skip

    def _check_generator(
        self, probe: str, signals: Mapping[str, float], is_late: bool
    ) -> Iterator[Alarm]:
        diversity = signals.get("diversity")
        if diversity is not None:
            best = max(self._best_diversity.get(probe, 0.0), diversity)
            self._best_diversity[probe] = best
            # At first all outputs are alike; that is a collapse only if they once were not.
            collapsed = diversity < COLLAPSED_DIVERSITY and (is_late or best > HEALTHY_DIVERSITY)
            if self._raises(f"collapse/{probe}", collapsed, PROBES):
                yield Alarm(
                    "collapse", "critical", _direction(probe),
                    f"The generator{_in_words(probe)} produces nearly the same image for every "
                    f"input: its images differ {diversity:.0%} as much as real ones do.",
                    "It does not recover by itself. Start from an earlier snapshot (init_from=) "
                    "with a lower optimizer.lr or a stronger penalty on D.",
                )  # fmt: skip
        luma = signals.get("luma", 0.0)
        if self._raises(f"inverted/{probe}", luma < INVERTED_LUMA, PROBES):
            yield Alarm(
                "inverted", "critical", _direction(probe),
                f"Translations{_in_words(probe)} are negatives: dark becomes bright (correlation "
                f"{luma:.2f}).",
                "A known failure of cycle consistency. If it is not what you want, start again "
                "with another seed=, a higher model.lambda_identity, or cycle and identity losses "
                "alone at first (model.lambda_adversarial as a schedule, see "
                "experiment=quickstart).",
            )  # fmt: skip
        copy = signals.get("copy", 1.0)
        if self._raises(f"copying/{probe}", is_late and copy < COPY, PROBES):
            yield Alarm(
                "copying", "warning", _direction(probe),
                f"Translations{_in_words(probe)} are copies of their inputs.",
                "Lower model.lambda_identity or model.lambda_cycle, so that the adversarial loss "
                "has more weight.",
            )  # fmt: skip
        hidden = signals.get("hidden", 1.0)
        if self._raises(f"hidden/{probe}", is_late and hidden > HIDDEN, PROBES):
            yield Alarm(
                "hidden", "warning", _direction(probe),
                f"Translations{_in_words(probe)} hide their input in faint patterns: stored as 8 "
                f"bits with a little noise, they translate back {hidden:.1f} times worse.",
                "The cycle loss then enforces little. Lower model.lambda_cycle, or let it fall "
                "during training; judge the images, not loss/G/cycle.",
            )  # fmt: skip

    def _check_discriminator(
        self, probe: str, signals: Mapping[str, float], row: Row
    ) -> Iterator[Alarm]:
        loss = d_loss(probe, row)
        separates = signals.get("separation", 0.0) >= SEPARATION
        # Two-stage trainings have stages without an adversarial loss, where a strong D is harmless.
        adversarial = any(key.startswith("loss/G/adversarial") for key in row)
        too_strong = adversarial and separates and loss is not None and 0 <= loss < VANISHED_D_LOSS
        if self._raises(f"d_too_strong/{probe}", too_strong, PROBES):
            yield Alarm(
                "d_too_strong", "critical", _direction(probe),
                f"The discriminator{_in_words(probe)} recognizes every fake (loss {loss:.2g}): the "
                "generator learns next to nothing from it.",
                "Make D narrower (model.ndf, model.d_width), add a gradient penalty "
                "(model.loss=wgan_gp, a higher model.r1_gamma or model.gamma), or add images.",
            )  # fmt: skip
        overfit, sigma = signals.get("overfit", 0.0), signals.get("overfit_sigma", 0.0)
        is_overfit = overfit > OVERFIT and sigma > OVERFIT_SIGMA
        if self._raises(f"overfit/{probe}", is_overfit, PROBES):
            yield Alarm(
                "overfit", "warning", _direction(probe),
                f"The discriminator{_in_words(probe)} has memorized its training images: unseen "
                f"real images score {overfit:.0%} of the way towards fakes.",
                "Add images, flip them (data.flip=true), augment them (model.augment=ada, or a "
                "higher model.augment_p), or stop here: from now on samples become copies.",
            )  # fmt: skip


def d_loss(probe: str, row: Row) -> float | None:
    """Return D's adversarial loss in the phase "D".

    Args:
        probe: name of a probe; of "ab" the loss of D["b"] is returned.
        row: a row of metrics.jsonl.

    Returns:
        The loss; None if it is not in the row, or is a critic's, for which 0 has no meaning.
    """
    single = row.get(f"loss/D/{probe[-1:]}")
    single = row.get("loss/D/adversarial") if single is None else single  # of pairs
    if single is not None:
        return single
    real, fake = row.get("loss/D/real"), row.get("loss/D/fake")
    if real is None or fake is None or min(real, fake) < 0:
        return None
    return real + fake


def _direction(probe: str) -> str:
    return probe if probe in ("ab", "ba") else ""


def _in_words(probe: str) -> str:
    return f" {probe[0]} to {probe[1]}" if _direction(probe) else ""
