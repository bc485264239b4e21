"""Reports for people who were not there: what changed since a commit, or from seed to seed, as Markdown.

They end as the text of an issue, so nothing of what a notebook wrote may act as Markdown, and two of them
keep below the length that such a text may have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from touchstone.reproduce.seeds import Stability
from touchstone.reproduce.verify import Change, Comparison

LONGEST = 32_000  # an issue holds 65536 characters
_NUMBERS = 25


def drift_report(results: Sequence[Comparison], against: str, commit: str) -> str:
    """What ``verify`` found: every changed verdict with its numbers before and after."""
    drifted = [result for result in results if result.drift]
    compared = sum(result.compared for result in results)
    changed = sum(len(result.changes) for result in results)
    head = [
        f"# {'Verdicts drifted' if drifted else 'No drift'}",
        f"{_plural(compared, 'verdict')} of {_plural(len(results), 'paper')} compared with {_code(against)} "
        f"({_code(commit[:12])}): {_plural(changed, 'verdict')} changed in {_plural(len(drifted), 'paper')}.",
    ]
    if changed:
        head.append(
            _table(
                ("paper", "check", "before", "after"),
                [
                    (_code(result.slug), _code(change.check), change.before, f"**{change.after}**")
                    for result in drifted
                    for change in result.changes
                ],
            )
        )
    others = [result for result in results if result.remarks and not result.drift]
    return _fitted(head, [_drifted(result) for result in drifted] + [_remarked(result) for result in others])


def seeds_report(results: Sequence[Stability]) -> str:
    """What ``verify --seeds`` found: the checks whose verdict is not the same under every seed."""
    unstable = [result for result in results if not result.stable]
    seeds = ", ".join(map(str, results[0].seeds)) if results else "none"
    head = [
        f"# {'Verdicts that change with the seed' if unstable else 'The same verdicts under every seed'}",
        f"{_plural(len(results) - len(unstable), 'paper')} of {len(results)} stable under the seeds {seeds}"
        f"{f' ({results[0].profile} profile)' if results else ''}.",
    ]
    return _fitted(head, [_unstable(result) for result in unstable])


def _drifted(result: Comparison) -> str:
    parts = [f"## {result.slug}"]
    if result.source:
        parts.append(f"Run compared: {_code(result.source)}.")
    if result.problems:
        parts.append(_block("\n".join(result.problems)))
    parts += [_change(change) for change in result.changes]
    if result.remarks:
        parts.append(_block("\n".join(result.remarks)))
    return "\n\n".join(parts)


def _change(change: Change) -> str:
    head = f"**{change.before} → {change.after}**: {_code(change.check)}"
    if not change.numbers:
        return head
    rows = [tuple(map(_code, number)) for number in change.numbers[:_NUMBERS]]
    more = len(change.numbers) - len(rows)
    table = _table(("number", "before", "after"), rows)
    return f"{head}\n\n{table}" + (f"\n\nand {_plural(more, 'number')} more." if more else "")


def _remarked(result: Comparison) -> str:
    return f"## {result.slug}: no drift\n\n" + _block("\n".join(result.remarks))


def _unstable(result: Stability) -> str:
    parts = [f"## {result.slug}", f"{result.agreeing} of {_plural(len(result.seeds), 'seed')} agree."]
    for check in result.unstable:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in result.counts(check).items())
        rows = [
            (
                str(seed),
                verdict,
                _code(_short(json.dumps(result.numbers[check].get(seed), ensure_ascii=False))),
            )
            for seed, verdict in result.exceptions(check).items()
        ]
        parts.append(f"{_code(check)}: {counts}\n\n" + _table(("seed", "verdict", "numbers"), rows))
    if result.failures:
        lines = [f"seed {seed}: {message.splitlines()[0]}" for seed, message in result.failures.items()]
        parts.append(_block("\n".join(lines)))
    return "\n\n".join(parts)


def _fitted(head: list[str], sections: list[str]) -> str:
    """As many whole sections as there is room for."""
    text = "\n\n".join(head)
    if len(text) > LONGEST // 2:
        text = text[: LONGEST // 2].rsplit("\n", 1)[0] + "\n\nThe table goes on."
    for number, section in enumerate(sections):
        if len(text) + len(section) > LONGEST:
            text += f"\n\n{_plural(len(sections) - number, 'paper')} more, left out here for want of room."
            break
        text += "\n\n" + section
    return text + "\n"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    """A bar ends a cell, in code as well, unless exactly one backslash is before it."""
    return re.sub(r"\\(?=\|)", r"\\ ", text).replace("|", "\\|")


def _code(text: str) -> str:
    """``text`` as code in a line, whatever it holds."""
    text = " ".join(text.split()) or " "
    fence = "`" * (_longest_run(text) + 1)
    room = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{room}{text}{room}{fence}"


def _block(text: str) -> str:
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}text\n{text}\n{fence}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _short(text: str, longest: int = 300) -> str:
    return text if len(text) <= longest else text[: longest - 3] + "..."


def _plural(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
