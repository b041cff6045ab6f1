"""dedup: duplicates shown, acted on, and how they are found."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from genstore.cli.session import bars, counted, err, index_all, out, print_json

if TYPE_CHECKING:
    from genstore.dedup.apply import Receipt
    from genstore.dedup.calibrate import Calibration, Pair
    from genstore.dedup.policy import Policy
    from genstore.dedup.rule import Rule
    from genstore.records import Duplicate, DuplicateCluster
    from genstore.store import Store

Level = Annotated[str, typer.Option(help="exact (same text), near (shared wording) or semantic (same meaning)")]
On = Annotated[str, typer.Option(help="What is compared: output, prompt or both.")]
Threshold = Annotated[float | None, typer.Option(help="The least score, 0 to 1; the level's own by default.")]
IgnoreCase = Annotated[bool, typer.Option("--ignore-case", help="Of the exact level.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]

_SHOWN_DUPLICATES = 3

group = typer.Typer(help="Find duplicates, act on them, and say what is done with those to come.")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="dedup")


@group.callback(invoke_without_command=True)
def dedup(
    context: typer.Context,
    level: Level = "near",
    on: On = "output",
    threshold: Threshold = None,
    ignore_case: IgnoreCase = False,
    where: Annotated[str | None, typer.Option("--where", "-w", help="Only among what satisfies this filter.")] = None,
    prefer: Annotated[
        str | None, typer.Option(help="The score that makes a record represent its cluster; the mean of all otherwise.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Clusters to show; all are acted on.")] = 10,
    apply: Annotated[
        str | None, typer.Option(help="link, delete or merge the duplicates into their representative")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before --apply.")] = False,
    as_json: Json = False,
) -> None:
    """Show clusters of records that say the same, and with --apply act on them."""
    if context.invoked_subcommand is not None:
        return
    from genstore.dedup.apply import checked_action, cost_of
    from genstore.dedup.rule import Rule

    rule = Rule(level, on, threshold, ignore_case)  # type: ignore[arg-type]
    action = None if apply is None else checked_action(apply)  # type: ignore[arg-type]
    with context.obj.open(create=False) as store:
        if rule.level == "semantic":
            index_all(store)
        clusters = _found(store, rule, where, prefer)
        cost = cost_of(store.database, clusters)
        if not as_json:
            _print_clusters(store, clusters[:limit])
            _print_summary(clusters, cost, shown=min(limit, len(clusters)))
        receipt = None
        if action is not None and clusters:
            if not yes:
                _ask(action, clusters, quiet=as_json)
            with bars() as progress:
                task = progress.add_task(action, total=len(clusters))
                receipt = store.deduplicate(
                    clusters, action, progress=lambda done, left: progress.update(task, completed=done)
                )
            store.flush_words()
        _, pending = store.pending() if rule.level == "semantic" else (0, 0)
    if as_json:
        print_json({**_as_json(rule, clusters, cost, receipt), "pending_dense": pending})
        return
    if receipt is not None:
        out.print(_receipt(receipt))
    if pending:
        err.print(
            f"[yellow]{pending:,} records are not embedded yet and were not compared:[/] genstore reindex --pending"
        )


@group.command()
def policy(
    context: typer.Context,
    on_duplicate: Annotated[
        str | None, typer.Argument(help="keep, skip or link; shows what is set when left out")
    ] = None,
    level: Annotated[
        str | None, typer.Option(help="exact, near or semantic; left out: same model, params, prompt and output")
    ] = None,
    on: On = "output",
    threshold: Threshold = None,
    ignore_case: IgnoreCase = False,
    as_json: Json = False,
) -> None:
    """Say what the project does with duplicates that arrive."""
    from genstore.dedup.rule import Rule
    from genstore.errors import InvalidInput

    with context.obj.open(create=on_duplicate is not None) as store:
        if on_duplicate is None:
            if level is not None:
                raise InvalidInput(f"say what to do with {level} duplicates: keep, skip or link")
            found = store.policy()
        else:
            if level is None and (threshold is not None or ignore_case or on != "output"):
                raise InvalidInput("--on, --threshold and --ignore-case are of a --level; name one")
            rule = None if level is None else Rule(level, on, threshold, ignore_case)  # type: ignore[arg-type]
            found = store.set_policy(on_duplicate, rule)
        project = store.settings.project
    if as_json:
        print_json({"project": project, **asdict(found)})
    else:
        out.print(f"project {escape(project)}: {_policy(found)}")


@group.command()
def calibrate(
    context: typer.Context,
    pairs: Annotated[
        Path, typer.Argument(help="Tab-separated, with a heading: Quality or label (1 or 0), and two texts last.")
    ],
    precision: Annotated[float, typer.Option(help="The share of called duplicates that have to be some.")] = 0.95,
    level: Level = "semantic",
    plot: Annotated[Path | None, typer.Option(help="Draw the curve into this PNG.")] = None,
    as_json: Json = False,
) -> None:
    """Pick the threshold that keeps a precision on labelled pairs, and show what each threshold would do."""
    from genstore.dedup.calibrate import calibrate as calibrated
    from genstore.dedup.calibrate import read_pairs

    found = calibrated(read_pairs(pairs), _scorer(level), precision)
    if plot is not None:
        from genstore.dedup.curve import draw_curve

        draw_curve(found, plot, f"{level} duplicates")
    if as_json:
        print_json({"level": level, **asdict(found)})
        return
    _print_curve(found)
    out.print(_chosen(found, level))


@group.command()
def redo(context: typer.Context, as_json: Json = False) -> None:
    """Make anew what near and exact duplicates are found by, after shingle_words was changed."""
    with context.obj.open(create=False) as store, bars() as progress:
        task = progress.add_task("sketching", total=None)
        made = store.redo_sketches(lambda done, left: progress.update(task, completed=done))
    if as_json:
        print_json({"sketches": made})
    else:
        out.print(f"{made:,} bodies sketched anew")


def _scorer(level: str) -> Callable[[Sequence[Pair]], Sequence[float]]:
    """How pairs are scored at a level, with the settings of the environment."""
    from genstore.config import resolve_settings
    from genstore.dedup.calibrate import meaning_scores, wording_scores
    from genstore.dedup.method import Methods
    from genstore.dedup.rule import Rule

    settings = resolve_settings({}, os.environ)
    rule = Rule(level)  # type: ignore[arg-type]
    if rule.level == "semantic":
        from genstore.embed.embedder import resolve

        cache_dir = Path(settings.cache_dir) if settings.cache_dir else None
        embedder = resolve(settings.embedder_name, cache_dir=cache_dir, api_key=settings.embedder_api_key)
        return lambda pairs: meaning_scores(pairs, embedder)
    method = Methods(rule, settings.shingle_words).of("text/plain", binary=False)
    assert method is not None
    return lambda pairs: wording_scores(pairs, method)


def _print_curve(found: Calibration) -> None:
    """The curve at a few round thresholds, and the chosen one among them."""
    marks = (0.99, 0.98, 0.97, 0.96, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
    reached = [[point for point in found.curve if point.threshold >= mark] for mark in marks]
    shown = {points[-1] for points in reached if points} | ({found.chosen} if found.chosen else set())
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("threshold", "precision", "recall", "called"):
        table.add_column(name, justify="right")
    for point in sorted(shown, key=lambda point: -point.threshold):
        values = (f"{value:.3f}" for value in (point.threshold, point.precision, point.recall))
        table.add_row(*values, f"{point.called:,}", style="bold green" if point == found.chosen else "")
    out.print(table)


def _chosen(found: Calibration, level: str) -> str:
    if found.chosen is None:
        return f"no threshold reaches a precision of {found.wanted:g} on these {found.pairs:,} pairs"
    point = found.chosen
    return (
        f"--level {level} --threshold {math.ceil(1e4 * point.threshold) / 1e4:g}: precision {point.precision:.3f} "
        f"(wanted {found.wanted:g}), recall {point.recall:.3f} "
        f"on {found.pairs:,} pairs, {found.duplicates:,} of them duplicates"
    )


def _found(store: Store, rule: Rule, where: str | None, prefer: str | None) -> list[DuplicateCluster]:
    with bars() as progress:
        task = progress.add_task("comparing", total=None)

        def tell(done: int, left: int) -> None:
            progress.update(task, completed=done, total=done + left if left else None)

        return list(store.duplicates(rule, where=where, prefer=prefer, progress=tell))


def _print_clusters(store: Store, clusters: list[DuplicateCluster]) -> None:
    for number, cluster in enumerate(clusters, 1):
        shown = cluster.duplicates[:_SHOWN_DUPLICATES]
        lines = [_record_line(store, f"{number:>3} ", cluster.representative, f"{len(cluster):,} records")]
        lines += [_duplicate_line(store, duplicate) for duplicate in shown]
        if len(cluster.duplicates) > len(shown):
            lines.append(Text(f"      and {len(cluster.duplicates) - len(shown):,} more", style="dim"))
        for line in lines:
            out.print(line, overflow="ellipsis", no_wrap=True)
        out.print()


def _record_line(store: Store, head: str, record_id: str, note: str) -> Text:
    from genstore.cli.show import clean, one_line
    from genstore.errors import GenstoreError

    line = Text.assemble((head, "bold"), (note, "bold green"), "  ")
    try:
        record = store.get(record_id)
    except GenstoreError as error:  # deleted meanwhile, or a body of it is gone
        return line.append(f"{record_id}  {error}", "dim")
    maker = clean(record.model or record.name or record.kind)
    text = one_line(record.output_text or record.prompt_text, 100)
    return line.append_text(Text.assemble((maker, "cyan"), "  ", (record.id, "dim"), "  ", text))


def _duplicate_line(store: Store, duplicate: Duplicate) -> Text:
    return _record_line(store, "    = ", duplicate.record_id, f"{duplicate.score:.2f} {_evidence(duplicate.evidence)}")


def _evidence(evidence: Any) -> str:
    """What makes a pair one, in a few words."""
    if "parts" in evidence:
        return " + ".join(map(_evidence, evidence["parts"]))
    if evidence.get("identical"):
        return "identical"
    if "shared" in evidence:
        differing = evidence["only_in_duplicate"] + evidence["only_in_original"]
        return f"shares {evidence['shared']} shingles, {differing} differ"
    if "cosine" in evidence:
        return f"cosine {evidence['cosine']:.2f}"
    if "differing_bits" in evidence:
        return f"{evidence['differing_bits']} of {evidence['of_bits']} bits differ"
    return "same text"


def _print_summary(clusters: list[DuplicateCluster], cost: Receipt, shown: int) -> None:
    if not clusters:
        out.print("no duplicates")
        return
    more = f" ({shown:,} shown)" if shown < len(clusters) else ""
    found = f"{counted(len(clusters), 'cluster')}{more}, {counted(cost.records, 'duplicate')} of their representatives"
    out.print(found + _spent(cost))


def _spent(receipt: Receipt) -> str:
    parts = [f"{receipt.tokens:,} tokens"] if receipt.tokens else []
    parts += [f"${receipt.cost_usd:,.4f}"] if receipt.cost_usd else []
    return f"; they took {' and '.join(parts)}" if parts else ""


def _receipt(receipt: Receipt) -> str:
    done = {"link": "linked", "delete": "deleted", "merge": "merged"}[receipt.action]
    line = f"{done} {counted(receipt.records, 'record')} in {counted(receipt.clusters, 'cluster')}"
    if receipt.action == "merge":
        kept = ((receipt.scores, "score"), (receipt.tags, "tag"), (receipt.relations, "relation"))
        line += "; kept " + ", ".join(counted(number, noun) for number, noun in kept)
    saved = [f"{receipt.size_bytes:,} bytes"] if receipt.action != "link" else []
    saved += [f"{receipt.tokens:,} tokens"] if receipt.tokens else []
    saved += [f"${receipt.cost_usd:,.4f}"] if receipt.cost_usd else []
    line += f"; {'repeated' if receipt.action == 'link' else 'saved'}: {', '.join(saved)}" if saved else ""
    return line + (f"; {receipt.skipped:,} were gone already" if receipt.skipped else "")


def _ask(action: str, clusters: list[DuplicateCluster], quiet: bool) -> None:
    from genstore.errors import InvalidInput

    count = sum(len(cluster.duplicates) for cluster in clusters)
    if quiet or not sys.stdin.isatty():
        raise InvalidInput(f"{count:,} records would be touched by {action}; pass --yes to go on")
    typer.confirm(f"{action} {count:,} duplicates into {len(clusters):,} representatives?", abort=True, err=True)


def _policy(found: Policy) -> str:
    if found.on_duplicate == "keep":
        return "keep, duplicates are stored like any other record"
    if found.rule is None:
        return f"{found.on_duplicate} what has the same model, params, prompt and output"
    rule = found.rule
    return f"{found.on_duplicate} {rule.level} duplicates of the {rule.on}, from a score of {rule.least_score:g}"


def _as_json(rule: Rule, clusters: list[DuplicateCluster], cost: Receipt, receipt: Receipt | None) -> dict[str, Any]:
    return {
        "level": rule.level,
        "on": rule.on,
        "threshold": rule.least_score,
        "clusters": [asdict(cluster) for cluster in clusters],
        "duplicates": cost.records,
        "tokens": cost.tokens,
        "cost_usd": cost.cost_usd,
        "applied": None if receipt is None else asdict(receipt),
    }
