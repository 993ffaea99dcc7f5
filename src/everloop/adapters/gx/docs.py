"""Data Docs: a folder of pages, one for each of the newest windows, and an index."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

KEPT = 100  # windows
RESULTS = ".results"  # what the index is made of, beside the pages
_HEAD = "<head>"
_SEALED = f"""{_HEAD}
<meta http-equiv="Content-Security-Policy" content="img-src 'self' file: data:; form-action 'none'">"""


def config(library: Any, site: Path | None) -> Any:
    """A project of Great Expectations in memory, but for the results and pages below ``site``."""
    memory = library.InMemory()
    stores, sites = dict(memory.stores), {}
    if site is not None:
        stores[memory.validation_results_store_name] = {
            "class_name": "ValidationResultsStore",
            "store_backend": _folder(site / RESULTS),
        }
        sites["site"] = {
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "store_backend": _folder(site),
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        }
    return library.DataContextConfig(
        store_backend_defaults=memory,
        stores=stores,
        data_docs_sites=sites,
        progress_bars={"globally": False},
        analytics_enabled=False,
    )


def build(library: Any, context: Any, site: Path, suite: str, at: datetime) -> Path:
    """Write the page of what ran as of ``at``, that of its suite and the index; the oldest pages go."""
    store = context.validation_results_store
    keys = sorted(store.list_keys(), key=lambda key: key.run_id.run_time)
    for key in keys[:-KEPT]:
        store.remove_key(key)
    made = [
        key for key in keys if key.run_id.run_time == at and key.expectation_suite_identifier.name == suite
    ]
    context.build_data_docs(resource_identifiers=[*made, library.SuiteIdentifier(name=suite)])
    found = context.get_docs_sites_urls(resource_identifier=made[0])[0]["site_url"]
    page = Path(url2pathname(urlsplit(found).path))
    for each in (page, site / "index.html", *(site / "expectations").rglob("*.html")):
        _seal(each)
    return page


def _folder(path: Path) -> dict[str, str]:
    return {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(path)}


def _seal(page: Path) -> None:
    """The library's pages fetch a picture from its makers' server with the time in its address."""
    text = page.read_text(encoding="utf-8")
    if _SEALED not in text:
        page.write_text(text.replace(_HEAD, _SEALED, 1), encoding="utf-8")
