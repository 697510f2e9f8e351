"""The catalog: every type of destination there is, and what may be configured about it."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gainsight_destination.destinations.contract import Calls, Report
from gainsight_destination.destinations.form import SettingField
from gainsight_destination.destinations.gainsight import form as gainsight_form
from gainsight_destination.destinations.gainsight import settings as gainsight
from gainsight_destination.destinations.gainsight.check import check_tenant
from gainsight_destination.destinations.gainsight_classic import form as gainsight_classic_form
from gainsight_destination.destinations.gainsight_classic import settings as gainsight_classic
from gainsight_destination.destinations.webhook import form as webhook_form
from gainsight_destination.destinations.webhook import settings as webhook
from gainsight_destination.errors import UserError


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A type of destination, before anybody configured it. `slug` is stored and written into files: never rename."""

    slug: str
    name: str
    description: str
    parse_settings: Callable[[Mapping[str, Any]], Any]
    """Checks settings. Raises InvalidSettingsError with every problem, none of which quotes a secret."""
    warnings: Callable[[Any], list[str]]
    """What is allowed and probably not meant, about settings that `parse_settings` returned."""
    secret_settings: frozenset[str]
    """Settings that are encrypted at rest and never shown again."""
    methods: Mapping[str, bool]
    """Which of Segment's calls it takes; the others are filtered as `unsupported_type`."""
    connection_modes: Mapping[str, tuple[str, ...]]
    """Kinds of source by the way their messages go: `cloud` through this server, `device` past it."""
    form: tuple[SettingField, ...]
    """Every setting, as the console asks for it."""
    address_settings: tuple[str, ...] = ()
    """Where calls go. Whoever changes one has to give the secrets again, so that none is sent where its owner did not
    mean it to go."""
    check: Callable[[Any, Calls], Awaitable[Report]] | None = None
    """Looks whether the other side is ready for these settings, if that can be asked. Raises QuotaSpentError."""
    alternatives: tuple[frozenset[str], ...] = ()
    """Groups of settings of which one is given; the first when none of them is."""

    def moves(self, present: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
        """Whether these settings lead elsewhere than those that there are."""
        return any(present.get(name) != wanted.get(name) for name in self.address_settings)

    def secrets_beside(self, given: Collection[str]) -> frozenset[str]:
        """The secret settings that may go with those that are given: not those of an alternative to them."""
        chosen = [names for names in self.alternatives if not names.isdisjoint(given)] or self.alternatives[:1]
        others = frozenset().union(*self.alternatives) - frozenset().union(*chosen)
        return self.secret_settings - others


GAINSIGHT = CatalogEntry(
    slug="gainsight",
    name="Gainsight",
    description="Companies, people, event rows and daily usage in Gainsight, by its REST API.",
    parse_settings=gainsight.parse_settings,
    form=gainsight_form.FORM,
    address_settings=("domain",),
    check=check_tenant,
    warnings=gainsight.warnings,
    secret_settings=gainsight.SECRET_SETTINGS,
    alternatives=gainsight.ALTERNATIVES,
    methods={"identify": True, "track": True, "group": True, "page": False, "screen": False, "alias": False},
    connection_modes={"cloud": ("web", "mobile", "server"), "device": ()},
)

GAINSIGHT_CLASSIC = CatalogEntry(
    slug="gainsight-classic",
    name="Gainsight (classic clickstream)",
    description="Each message as it came, to the endpoint of Segment's original Gainsight integration.",
    parse_settings=gainsight_classic.parse_settings,
    form=gainsight_classic_form.FORM,
    address_settings=("endpoint",),
    warnings=gainsight_classic.warnings,
    secret_settings=gainsight_classic.SECRET_SETTINGS,
    methods={"identify": True, "track": True, "group": True, "page": False, "screen": False, "alias": False},
    connection_modes={"cloud": ("web", "mobile", "server"), "device": ()},
)

WEBHOOK = CatalogEntry(
    slug="webhook",
    name="Webhook",
    description="Each message as a signed POST to a server of your own.",
    parse_settings=webhook.parse_settings,
    form=webhook_form.FORM,
    address_settings=("url",),
    warnings=webhook.warnings,
    secret_settings=webhook.SECRET_SETTINGS,
    methods=dict.fromkeys(("identify", "track", "group", "page", "screen", "alias"), True),
    connection_modes={"cloud": ("web", "mobile", "server"), "device": ()},
)

CATALOG: Mapping[str, CatalogEntry] = {entry.slug: entry for entry in (GAINSIGHT, GAINSIGHT_CLASSIC, WEBHOOK)}


def entry_of(slug: str, catalog: Mapping[str, CatalogEntry] = CATALOG) -> CatalogEntry:
    """The entry of this type. Raises UserError that names what there is."""
    if slug not in catalog:
        raise UserError(f"there is no destination type {slug[:60]!r}; there is {', '.join(sorted(catalog))}")
    return catalog[slug]
