"""``facebank bench``: how far answers can be trusted, measured on benchmarks or on your own folders."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from .bench_run import AsJson, Data, Keeps, Out, Seed, run_job
from .output import write_json, write_line

if TYPE_CHECKING:
    from facebank.evaluation.jobs import Opponent
    from facebank.recognition.settings import DecisionSettings

EXIT_CODES = """\b
Exit codes: 0 measured; 1 measured, with something left out or a failed check; 2 wrong usage, or nothing to measure."""

DATA = """\b
DATA is a folder with one folder of photos for each person (with train, validation and test folders above them or
not), LFW, a .bin file of InsightFace, a CSV of pairs, a VoTT or COCO export, or an npz of pictures or embeddings."""

LfwPairs: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--pairs", metavar="FILE", help="LFW's list of pairs; else pairs.txt in the folder, beside it or in lfw-meta."
    ),
]
Pairs: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A list of pairs of the folder's photos; else all, or many of them.")
]
Enrolled: TypeAlias = Annotated[
    list[int] | None,
    typer.Option("--enrolled", metavar="K", min=1, help="Photos enrolled of each person; may be repeated."),
]
EnrolledOnce: TypeAlias = Annotated[
    int | None, typer.Option("--enrolled", metavar="K", min=1, help="Photos enrolled of each person.")
]
Person: TypeAlias = Annotated[
    list[str] | None, typer.Option("--person", metavar="NAME", help="One of the people to run on; may be repeated.")
]
People: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A list of the people to run on: LFW's, or a name a line; else everybody."),
]
RelativesFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--relatives",
        metavar="FILE",
        help="A list of pairs of people, tab- or comma-separated: name, name and, if wished, how they are related.",
    ),
]
Fpir: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="RATE", help="Share of strangers that may be named, such as 0.01.", show_default="0.01"),
]
Scores: TypeAlias = Annotated[
    bool,
    typer.Option("--scores", help="Write every score as scores.csv, with the photos' names, for your own statistics."),
]
Command: TypeAlias = Callable[..., int]

DEGRADED = {
    "masks": "Search for masked faces: masks of several kinds are drawn.",
    "sizes": "Search for small faces, of fewer and fewer pixels.",
    "blur": "Search for blurred faces, more and more out of focus.",
    "pose": "Search for turned heads: real photos, sorted by pose.",
    "exposure": "Search for faces in bad light: too little, or too much.",
}
EXPERIMENTS = {
    "twins-2020": "Two sisters: the closest relatives there are.",
    "athletes-2019": "Seven athletes, and one who is none of them.",
    "celebrities-2018": "Three footballers before other backgrounds.",
    "lfw5-2021": "Five people from 80, 5, 3 and 1 photos each.",
    "sisters-2021": "Two sisters, with masks, turned and small.",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    bench = typer.Typer(
        help="Measure how far answers can be trusted, and write a report: on benchmarks, or on your own folders.",
        no_args_is_help=True,
        rich_markup_mode=None,
        epilog="\b\nExample:\n  facebank bench openset people/ --out report/",
    )
    for name, command, examples in (
        ("lfw", lfw, ("lfw lfw/ --out report/", "lfw lfw/ --pairs lfw-meta/pairs.txt")),
        ("verify", verify, ("verify people/", "verify pairs.csv --out report/")),
        ("fewshot", fewshot, ("fewshot people/", "fewshot people/ --enrolled 1 --enrolled 5 --classifier svm")),
        ("openset", openset, ("openset people/", "openset people/ --enrolled 3")),
        ("twins", twins, ("twins people/ --person Ada --person Byron", "twins lfw/ --relatives relatives.tsv")),
        ("siblings", siblings, ("siblings people/ --relatives siblings.csv", "siblings siblings.npz --others 50")),
        ("groups", groups, ("groups people/ --by ages.csv --column age", "groups ages.npz --column young")),
        ("sanity", sanity, ("sanity people/",)),
        ("compare", compare, ("compare people/ --with buffalo_l", "compare people/ --searches --with-classifier svm")),
    ):
        bench.command(name, epilog=_epilog(*examples))(command)
    for name, purpose in DEGRADED.items():
        bench.command(name, help=purpose, epilog=_epilog(f"{name} people/"))(_degraded(name))
    for name, purpose in EXPERIMENTS.items():
        bench.command(name, help=purpose, epilog=_epilog(f"{name} lfw/"))(_experiment(name))
    bench.command("forget", epilog="\b\nExample:\n  facebank bench forget")(forget)
    app.add_typer(bench, name="bench")


def _epilog(*commands: str) -> str:
    lines = [f"  facebank bench {command}" for command in commands]
    title = "Example:" if len(lines) == 1 else "Examples:"
    return "\n\n".join(["\b\n" + "\n".join([title, *lines]), DATA, EXIT_CODES])


def lfw(
    ctx: typer.Context,
    photos: Data,
    pairs: LfwPairs = None,
    out: Out = None,
    seed: Seed = 0,
    cache: Keeps = True,
    scores: Scores = False,
    as_json: AsJson = False,
) -> int:
    """Run LFW's View 2.

    Ten folds of pairs of Labeled Faces in the Wild, each with the threshold that is best on the other nine.
    """
    from facebank.evaluation import jobs

    job = jobs.lfw(photos, pairs)
    return run_job(ctx, "lfw", job, out=out, seed=seed, keeps_faces=cache, as_json=as_json, scores=scores)


def verify(
    ctx: typer.Context,
    data: Data,
    pairs: Pairs = None,
    people: People = None,
    out: Out = None,
    seed: Seed = 0,
    cache: Keeps = True,
    scores: Scores = False,
    as_json: AsJson = False,
) -> int:
    """Compare photos by pairs: do they show one person.

    Error rates of the pairs that are listed, or of all that can be made. A CSV list has the columns first, second
    (paths of photos) and same (yes or no).
    """
    from facebank.evaluation import jobs

    job = jobs.verify(data, pairs, people)
    return run_job(ctx, "verify", job, out=out, seed=seed, keeps_faces=cache, as_json=as_json, scores=scores)


def fewshot(
    ctx: typer.Context,
    data: Data,
    enrolled: Enrolled = None,
    classifier: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="prototype, knn, svm, svm-rbf or logistic; may be repeated. Else all."),
    ] = None,
    people: People = None,
    out: Out = None,
    seed: Seed = 0,
    cache: Keeps = True,
    as_json: AsJson = False,
) -> int:
    """Enroll a few photos of each person.

    All other photos are searched for, by all classifiers side by side.
    """
    from facebank.evaluation import jobs

    job = jobs.fewshot(data, enrolled, classifier, people)
    return run_job(ctx, "fewshot", job, out=out, seed=seed, keeps_faces=cache, as_json=as_json)


def openset(
    ctx: typer.Context,
    data: Data,
    enrolled: Enrolled = None,
    people: People = None,
    out: Out = None,
    seed: Seed = 0,
    cache: Keeps = True,
    scores: Scores = False,
    as_json: AsJson = False,
) -> int:
    """Search for enrolled people and strangers.

    Who is missed, who is named wrongly, and what the probabilities are worth.
    """
    from facebank.evaluation import jobs

    job = jobs.openset(data, enrolled, people)
    return run_job(ctx, "openset", job, out=out, seed=seed, keeps_faces=cache, as_json=as_json, scores=scores)


def twins(
    ctx: typer.Context,
    data: Data,
    person: Person = None,
    relatives: RelativesFile = None,
    out: Out = None,
    seed: Seed = 0,
    cache: Keeps = True,
    as_json: AsJson = False,
) -> int:
    """Tell people apart who look alike.

    Who is taken for whom, and how much can be answered without an error.
    """
    from facebank.evaluation import jobs

    job = jobs.twins(data, person or (), relatives)
    return run_job(ctx, "twins", job, out=out, seed=seed, keeps_faces=cache, as_json=as_json)


def siblings(
    ctx: typer.Context,
    data: Data,
    relatives: RelativesFile = None,
    people: People = None,
    enrolled: EnrolledOnce = None,
    others: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Other people enrolled in a second gallery.", show_default="20"),
    ] = None,
    fpir: Fpir = None,
    out: Out = None,
    seed: Seed = 0,
    cache: Keeps = True,
    as_json: AsJson = False,
) -> int:
    """Tell brothers and sisters apart.

    Which of the two it is, and how sure; how often the one is named as the other where both are enrolled (4 photos of
    each) or only one is; and whether strangers are named more often than was asked for. An npz of embeddings, made
    by the very pack, may have an array 'family' instead of a list.
    """
    from facebank.evaluation import jobs

    job = jobs.siblings(data, relatives, people, photos=enrolled, others=others, fpir=fpir)
    return run_job(ctx, "siblings", job, out=out, seed=seed, keeps_faces=cache, as_json=as_json)


def groups(
    ctx: typer.Context,
    data: Data,
    column: Annotated[str, typer.Option(metavar="NAME", help="The column that says the group.", show_default=False)],
    by: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A CSV with a column 'person' or 'photo', and that one; else the npz's own."),
    ] = None,
    people: People = None,
    enrolled: EnrolledOnce = None,
    gallery_size: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="People enrolled at a time, if there are enough.", show_default="20"),
    ] = None,
    fpir: Fpir = None,
    out: Out = None,
    seed: Seed = 0,
    cache: Keeps = True,
    as_json: AsJson = False,
) -> int:
    """Compare groups of people, such as ages or countries.

    How many strangers are named and people missed, group by group (2 photos of each enrolled), by how much the groups
    differ, and how alike people of a group are.
    """
    from facebank.evaluation import jobs

    job = jobs.groups(data, column, by, people, photos=enrolled, enrolled=gallery_size, fpir=fpir)
    return run_job(ctx, "groups", job, out=out, seed=seed, keeps_faces=cache, as_json=as_json)


def sanity(
    ctx: typer.Context, data: Data, out: Out = None, seed: Seed = 0, cache: Keeps = True, as_json: AsJson = False
) -> int:
    """Let the harness test itself.

    It must see through shuffled labels, copied photos and drawings.
    """
    from facebank.evaluation import jobs

    return run_job(ctx, "sanity", jobs.sanity(data), out=out, seed=seed, keeps_faces=cache, as_json=as_json)


def compare(
    ctx: typer.Context,
    data: Data,
    pairs: Pairs = None,
    packs: Annotated[
        list[str] | None, typer.Option("--with", metavar="PACK", help="Another pack; may be repeated.")
    ] = None,
    classifiers: Annotated[
        list[str] | None,
        typer.Option("--with-classifier", metavar="KIND", help="Another classifier of the same pack; may be repeated."),
    ] = None,
    searches: Annotated[
        bool, typer.Option("--searches", help="Search for people, instead of comparing pairs.")
    ] = False,
    out: Out = None,
    seed: Seed = 0,
    cache: Keeps = True,
    as_json: AsJson = False,
) -> int:
    """Compare packs or classifiers.

    They get the very same photos; the differences have intervals.
    """
    from facebank.errors import UsageError
    from facebank.evaluation import jobs

    from .bench_run import show, showing

    if pairs is not None and searches:
        raise UsageError("people are searched for without pairs: leave out --pairs or --searches")
    if classifiers and not searches:
        raise UsageError("classifiers decide searches, and pairs need none: add --searches")
    with showing(ctx, "compare", out=out, seed=seed, keeps_faces=cache, as_json=as_json) as how, ExitStack() as stack:
        opponents = _opponents(how.pack, packs or (), classifiers or ())
        job = jobs.compare(data, opponents, how, stack, pairs=pairs, searches=searches)
        return show(job, how, as_json=as_json)


def forget(as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False) -> int:
    """Remove all embeddings that benchmarks keep in your cache folder."""
    from facebank.evaluation.face_cache import evaluation_folder, forget_evaluated_faces

    freed = forget_evaluated_faces()
    if as_json:
        write_json({"folder": str(evaluation_folder()), "bytes": freed})
    else:
        write_line(f"{freed / 1e6:.1f} MB removed from {evaluation_folder()}")
    return 0


def _opponents(pack: str | None, packs: list[str] | tuple[()], classifiers: list[str] | tuple[()]) -> list[Opponent]:
    from facebank.evaluation.jobs import Opponent
    from facebank.recognition.settings import DecisionSettings

    def named(place: str | None) -> str:
        return "opencv" if place is None else Path(place).name

    def with_classifier(kind: str) -> DecisionSettings:
        return DecisionSettings(classifier=kind)

    ours = "prototype" if classifiers else named(pack)
    return [
        Opponent(ours, pack),
        *(Opponent(named(other), other) for other in packs),
        *(Opponent(kind, pack, with_classifier(kind)) for kind in classifiers),
    ]


def _degraded(name: str) -> Command:
    def command(
        ctx: typer.Context,
        data: Data,
        enrolled: EnrolledOnce = None,
        people: People = None,
        out: Out = None,
        seed: Seed = 0,
        cache: Keeps = True,
        as_json: AsJson = False,
    ) -> int:
        from facebank.evaluation import jobs

        job = jobs.degraded(name, data, enrolled, people)
        return run_job(ctx, name, job, out=out, seed=seed, keeps_faces=cache, as_json=as_json)

    return command


def _experiment(name: str) -> Command:
    def plain(
        ctx: typer.Context,
        data: Data,
        person: Person = None,
        out: Out = None,
        seed: Seed = 0,
        cache: Keeps = True,
        as_json: AsJson = False,
    ) -> int:
        from facebank.evaluation import jobs

        job = jobs.experiment(name, data, person or ())
        return run_job(ctx, name, job, out=out, seed=seed, keeps_faces=cache, as_json=as_json)

    def filmed(
        ctx: typer.Context,
        data: Data,
        person: Person = None,
        video: Annotated[Path | None, typer.Option(metavar="FILE", help="A video to look at frame by frame.")] = None,
        out: Out = None,
        seed: Seed = 0,
        cache: Keeps = True,
        as_json: AsJson = False,
    ) -> int:
        from facebank.evaluation import jobs

        job = jobs.experiment(name, data, person or (), video)
        return run_job(ctx, name, job, out=out, seed=seed, keeps_faces=cache, as_json=as_json)

    return filmed if name == "celebrities-2018" else plain
