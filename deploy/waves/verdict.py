"""Whether a wave is through. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.waves.plan import Wave


class Told(NamedTuple):
    """What an agent says of itself."""

    state: str
    release: str
    reason: str


class Verdict(NamedTuple):
    """``wait`` is no end."""

    what: Literal["through", "stopped", "wait"]
    reason: str = ""


def judged(wave: Wave, told: Mapping[str, Told], release: str, waited_s: float) -> Verdict:
    """The wave as it stands.

    Args:
        wave: its sites.
        told: what each site's agent said last; what it says of another release counts for nothing.
        release: digest that the wave is to take.
        waited_s: since its tag was moved.
    """
    mine = {site: told[site] for site in wave.sites if site in told and told[site].release == release}
    failed = {site: word for site, word in mine.items() if word.state in ("failed", "rolled_back")}
    if len(failed) > wave.may_fail:
        site, word = next(iter(failed.items()))
        text = f"{len(failed)} of {len(wave.sites)} sites failed: {site}: {word.state}: {word.reason}"
        return Verdict("stopped", text)
    there = {site for site, word in mine.items() if word.state == "installed"}
    open_ = [site for site in wave.sites if site not in failed and site not in there]
    if not open_:
        return Verdict("through", f"{len(wave.sites) - len(failed)} of {len(wave.sites)} sites have it")
    if waited_s > wave.patience_s:
        what = mine[open_[0]].state if open_[0] in mine else "has not spoken of it"
        return Verdict("stopped", f"after {waited_s:.0f} s {len(open_)} sites are not through: {open_[0]} {what}")
    return Verdict("wait", f"waits for {', '.join(open_[:5])}")
