"""The words of a report, explained: those that occur in it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from facebank.evaluation.report import Table

_TERMS = (
    (
        r"FMR|FAR|[Ff]alse match(?:es| rate)?",
        "FMR, false match rate",
        "The share of comparisons of two different people that were called the same.",
    ),
    (
        r"FNMR|[Ff]alse non-match(?:es| rate)?",
        "FNMR, false non-match rate",
        "The share of comparisons of one person that were called different.",
    ),
    (
        r"TAR|FAR|[Tt]rue match rate",
        "TAR at FAR",
        "The share of comparisons of one person that were called the same, with the threshold at which so many of the "
        "others are: 1 - FNMR at that FMR.",
    ),
    (
        r"FNIR",
        "FNIR, false negative identification rate",
        "The share of searches for enrolled people that did not return their name; an answer of “uncertain” counts as "
        "a miss.",
    ),
    (
        r"FPIR",
        "FPIR, false positive identification rate",
        "The share of searches for people who are not enrolled that returned somebody's name.",
    ),
    (
        r"[Rr]ank-1",
        "Rank-1",
        "The share of searches for enrolled people whose best candidate is the right one, whatever was decided.",
    ),
    (
        r"FTA|[Ff]ailures? to acquire",
        "FTA, failure to acquire",
        "The share of photos in which no face was found, or that could not be read.",
    ),
    (
        r"(?:[Nn]on-)?[Mm]ated",
        "Mated, non-mated",
        "A search for somebody who is enrolled; a search for somebody who is not.",
    ),
    (
        r"EER|[Ee]qual error rate",
        "EER, equal error rate",
        "FMR and FNMR at the threshold where the two are the same; the less the better.",
    ),
    (
        r"ROC",
        "ROC curve",
        "How many comparisons of one person are accepted, over how many of two people are, for every threshold.",
    ),
    (
        r"AUC",
        "AUC",
        "The area below the ROC curve: 1 where every pair of one person is more alike than any other pair.",
    ),
    (
        r"DET",
        "DET curve",
        "The two kinds of error against each other for every threshold; nearer to the corner is better.",
    ),
    (
        r"[Bb]rier",
        "Brier score",
        "The mean squared difference between the probability that was said and what is so (1 or 0); 0 is perfect.",
    ),
    (
        r"[Ll]og loss",
        "Log loss",
        "How surprising the truth was, given the probabilities that were said; 0 is perfect, and being surely wrong "
        "costs most.",
    ),
    (
        r"ECE|[Ee]xpected calibration error",
        "ECE, expected calibration error",
        "How far probabilities are from the share that is so, on average: 0.02 means that what is said to be 90 % sure "
        "is so in about 88 to 92 of 100 cases.",
    ),
    (
        r"[Rr]isk|[Cc]overage",
        "Risk and coverage",
        "What is wrong among the answers given, when only the surest share of all questions is answered.",
    ),
    (
        r"[Tt]wo-class accuracy",
        "Two-class accuracy",
        "Of two people who are both enrolled, how often the one shown has the larger probability, whatever was "
        "decided.",
    ),
    (
        r"[Ff]alse (?:positive|negative) differentials?",
        "False positive and false negative differential",
        "By how much groups of people differ in FPIR, and in FNIR (ISO/IEC 19795-10); here as ratios, 1 being none.",
    ),
    (
        r"[Pp]recision|F1",
        "Precision, recall, F1",
        "Of what was given this name, the share that is this person; of this person's photos, the share that was given "
        "the name; and the harmonic mean of the two.",
    ),
    (
        r"[Ss]tandard error",
        "Standard error",
        "How much a mean over the folds would differ from time to time: it is within two of them in 95 of 100 cases.",
    ),
    (
        r"[Ss]imilarit(?:y|ies)",
        "Similarity",
        "How alike two faces are to the network, from -1 to 1. It is no probability.",
    ),
    (
        r"95 %",
        "95 % interval",
        "Were everything measured again and again with other people and photos of the same kind, 95 of 100 such "
        "intervals would hold the true value.",
    ),
    (
        r"insufficient",
        "Insufficient",
        "Fewer than ten events were seen or could be expected: too few for the value to say much. Only its interval "
        "counts.",
    ),
)


def terms_of(texts: Iterable[str]) -> Table:
    """Explain the terms that occur in some texts, each once, after ISO/IEC 19795-1.

    Parameters
    ----------
    texts
        All that the report says.
    """
    everything = "\n".join(texts)
    rows = tuple(
        (term, meaning) for pattern, term, meaning in _TERMS if re.search(rf"(?<!\w)(?:{pattern})(?!\w)", everything)
    )
    return Table("Terms, after ISO/IEC 19795-1", ("Term", "Meaning"), rows)
