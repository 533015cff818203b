"""The first screen of the page of evidence: what was run and when, how it compares, and where newtron loses."""

from __future__ import annotations

import numpy as np
import uci_classification
import uci_regression
from default_cost import seconds_of_sets
from halves import DEVELOPMENT, DEVELOPMENT_REGRESSION, VALIDATION, VALIDATION_REGRESSION
from paired import half_width, signed
from results import Results
from speed.default_fits import SMALL
from tables import aligned, significant
from uci_classification import Pair
from uci_regression import SPLITS, copied, log_ratios, ratio_words

# The share of new rows that 90 % intervals should hold: outside of these ends a set is named.
COVERED = (0.87, 0.93)
# Sets of each half that are named as those where newtron is furthest behind.
NAMED = 4
# The share of test rows that equal training rows above which it is said.
COPIED = 0.1
NOT_RUN = "None of newtron's networks has been run yet."


def in_short(
    regression: Results, regression_peers: Results, classification: Results, classification_peers: Results
) -> str:
    pairs = uci_classification.pairs(classification, classification_peers)
    parts = [
        _what_was_run(regression, classification),
        "**Classification**, `NetworkClassifier()` less each library, means over sets of both halves: points of "
        "accuracy (above 0 newtron is better) and log loss (below 0 newtron is better), ± half of the 95 % interval "
        "over sets; bold where the interval does not hold 0. " + _verdict(pairs),
        _classification(pairs),
        "**Regression**, `NetworkRegressor()` beside the library with the lowest RMSE on the same splits; ratio: "
        "newtron's RMSE by its (below 1 newtron is better), with a 95 % interval.",
        _regression(regression, regression_peers),
        "**Where newtron loses.** " + " ".join(_losses(regression, regression_peers, pairs)),
        _time(seconds_of_sets(regression, classification)),
    ]
    return "\n\n".join(parts)


def _verdict(pairs: list[Pair]) -> str:
    """How many libraries the validation sets tell apart from newtron."""
    of_half = [pair for pair in pairs if pair.half == "validation"]
    if not of_half:
        return "No validation set has been run beside another library yet."
    words = []
    for measure, name, sign in (("log_loss", "log loss", 1.0), ("accuracy", "accuracy", -1.0)):
        differences = [sign * pair.differences(measure) for pair in of_half]
        clear = [d for d in differences if abs(np.mean(d)) > half_width(d)]
        better = sum(np.mean(d) < 0.0 for d in clear)
        worse = len(clear) - better
        words.append(
            f"in {name} better than {better}, worse than {worse}, and not told apart from {len(of_half) - len(clear)}"
        )
    return f"On validation sets, of {len(of_half)} libraries newtron is {'; '.join(words)}."


def _what_was_run(regression: Results, classification: Results) -> str:
    own = [
        record
        for results, network in ((classification, uci_classification.NETWORK), (regression, uci_regression.NETWORK))
        for key, record in results.records.items()
        if key.split("/")[1] == network
    ]
    if not own:
        return NOT_RUN
    days, commits = (sorted({record[what] for record in own if what in record}) for what in ("date", "commit"))
    counts = []
    for half, names in (("validation", VALIDATION), ("development", DEVELOPMENT)):
        folds = [len(classification.under(f"{name}/{uci_classification.NETWORK}")) for name in names]
        counts.append(f"{np.count_nonzero(folds)} of {len(names)} {half} sets ({sum(folds)} folds)")
    splits = [
        f"{name} {len(regression.under(f'{name}/{uci_regression.NETWORK}'))} of {SPLITS[name]}" for name in SPLITS
    ]
    return (
        f"**What was run.** newtron's networks with their defaults, commit {', '.join(commits) or 'unknown'}, "
        f"{' to '.join(dict.fromkeys([days[0], days[-1]]))}: classification on {' and '.join(counts)}; regression on "
        f"the splits {', '.join(splits)}. Other libraries ran at their defaults, too, on the same rows; TabPFN, whose "
        "weights need an account, did not, and nobody seems to have published its figures on these splits. "
        "newtron's defaults were chosen on development sets alone, so that **the validation half says what to expect "
        "of a table that nobody tuned on**; [below](#what-was-seen-when) stands what was seen of it before."
    )


def _time(seconds: dict[tuple[str, str], list[tuple[float, str]]]) -> str:
    sentences = []
    for size, words in (("small", f"fewer than {SMALL:,}"), ("large", f"{SMALL:,} or more")):
        if found := sorted(each for (_, own), of_half in seconds.items() if own == size for each in of_half):
            median, (most, name) = float(np.median([value for value, _ in found])), found[-1]
            sentences.append(
                f"on {len(found)} sets of {words} rows {median:.2g} CPU seconds in the median "
                f"and {most:.2g} at most ({name})"
            )
    return f"**What a default network takes**, on one thread: {'; '.join(sentences) or 'not run yet'}."


def _classification(pairs: list[Pair]) -> str:
    libraries = list(dict.fromkeys(pair.library for pair in pairs))
    rows = []
    for library in libraries:
        of = {pair.half: pair for pair in pairs if pair.library == library}
        cells = [library]
        for half in ("validation", "development"):
            if half in of:
                pair = of[half]
                accuracy, loss = 100.0 * pair.differences("accuracy"), pair.differences("log_loss")
                cells += [str(len(pair.sets)), _clear(accuracy, 1), _clear(loss, 3)]
            else:
                cells += ["-"] * 3
        ours, its = (np.concatenate([pair.by_measure["cpu"][who] for pair in of.values()]) for who in (0, 1))
        rows.append([*cells, significant(float(np.median(ours / its)))])
    header = ["library", "validation: sets", "accuracy", "log loss", "development: sets", "accuracy", "log loss"]
    return aligned([*header, "newtron's CPU time by its"], rows) if rows else NOT_RUN


def _clear(differences: np.ndarray, digits: int) -> str:
    words = signed(differences, digits)
    return f"**{words}**" if abs(np.mean(differences)) > half_width(differences) else words


def _best(regression: Results, peers: Results, name: str) -> tuple[str, list[float]] | None:
    """The library with the lowest RMSE of those that have run all splits of newtron's, and the logarithms of the
    ratios to it."""
    splits = len(regression.under(f"{name}/{uci_regression.NETWORK}"))
    others = {who: log_ratios(regression, peers, who, name) for who in uci_regression.OTHERS}
    complete = {who: logs for who, logs in others.items() if splits and len(logs) == splits}
    return max(complete.items(), key=lambda item: float(np.mean(item[1]))) if complete else None


def _regression(regression: Results, peers: Results) -> str:
    rows = []
    for half, names in (("validation", VALIDATION_REGRESSION), ("development", DEVELOPMENT_REGRESSION)):
        for name in names:
            records, best = regression.under(f"{name}/{uci_regression.NETWORK}"), _best(regression, peers, name)
            if best:
                rmse, covered = (float(np.mean([record[key] for record in records])) for key in ("rmse", "covered"))
                rows.append([name, half, f"{rmse:.3g}", best[0], ratio_words(best[1]), f"{100.0 * covered:.1f} %"])
    header = ["set", "half", "newtron's RMSE", "best library", "ratio (splits)", "in newtron's 90 % intervals"]
    return aligned(header, rows, 2) if rows else NOT_RUN


def _losses(regression: Results, peers: Results, pairs: list[Pair]) -> list[str]:
    sentences = []
    for half in ("validation", "development"):
        behind: dict[str, tuple[float, str]] = {}
        for pair in pairs:
            if pair.half == half:
                for name, difference in zip(pair.sets, pair.differences("log_loss"), strict=True):
                    behind[name] = max(behind.get(name, (-np.inf, "")), (float(difference), pair.library))
        worst = sorted(((gap, who, name) for name, (gap, who) in behind.items() if gap > 0.0), reverse=True)
        if behind:
            named = ", ".join(f"{name} ({gap:+.2f} beside {who})" for gap, who, name in worst[:NAMED])
            sentences.append(
                f"Some library has a lower log loss in {len(worst)} of {len(behind)} {half} sets"
                + (f", by most in {named}." if worst else ".")
            )
    found = {name: _best(regression, peers, name) for name in SPLITS}
    lost = [f"{name} ({best[0]})" for name, best in found.items() if best and np.mean(best[1]) > 0.0]
    if any(found.values()):
        sentences.append(f"In regression some library has a lower RMSE on {', '.join(lost) or 'no set'}.")
        for name, best in found.items():
            if best and np.mean(best[1]) > 0.0 and (share := copied(name)) > COPIED:
                sentences.append(
                    f"{100 * share:.0f} % of the test rows of {name} equal a training row, target included."
                )
    covered = {
        name: float(np.mean([record["covered"] for record in records]))
        for name in SPLITS
        if (records := regression.under(f"{name}/{uci_regression.NETWORK}"))
    }
    if covered:
        off = [f"{name} ({100 * v:.1f} %)" for name, v in covered.items() if not COVERED[0] <= v <= COVERED[1]]
        words = ", ".join(off) or "no set"
        sentences.append(f"90 % intervals hold fewer than 87 % or more than 93 % of the test rows of {words}.")
    return sentences or [NOT_RUN]
