"""What the servers say of a collection's files: names, sizes, digests, licence. Nothing is fetched here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from larpbench.downloads import CONNECT_SECONDS, HUB, SECONDS, RemoteFile, hub_endpoint, hub_headers, unreachable
from larpbench.errors import DataError

ZENODO = "https://zenodo.org"


@dataclass(frozen=True)
class Listing:
    """The files of a collection on a server.

    Attributes:
        place: Where they are, for people.
        licence: Their licence, as the server states it.
        files: All of them; their names are paths in the folder of the collection.
        headers: To send with each request.
    """

    place: str
    licence: str
    files: tuple[RemoteFile, ...]
    headers: dict[str, str]


def zenodo_listing(record: int) -> Listing:
    """Return the files of a record of Zenodo.

    Raises:
        MissingPartError: If it cannot be reached, or there is no such record.
        DataError: If the answer is no record.
    """
    import requests

    url = f"{ZENODO}/api/records/{record}"
    try:
        with requests.get(url, timeout=(CONNECT_SECONDS, SECONDS), headers={"Accept": "application/json"}) as answer:
            answer.raise_for_status()
            found = answer.json()
    except requests.JSONDecodeError as error:
        raise DataError(f"the answer of the server is no JSON: {error}", where=url) from error
    except requests.RequestException as error:
        raise unreachable(error, url) from error
    try:
        listed = found["files"]
        files = tuple(_zenodo_file(record, each) for each in listed)
        licence = found.get("metadata", {}).get("license") or {}
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"the answer of the server is no record: it lacks {error}", where=url) from error
    stated = licence.get("id") if isinstance(licence, dict) else str(licence)
    return Listing(f"zenodo.org, record {record}", stated or "not stated by the record", files, {})


def _zenodo_file(record: int, each: dict[str, Any]) -> RemoteFile:
    name, checksum = str(each["key"]), str(each.get("checksum") or "")
    if "/" in name or name.startswith("."):
        raise KeyError(f"a name of a file, and not {name}")
    digest = checksum if checksum.startswith(("md5:", "sha256:")) else None
    size = int(each["size"]) if each.get("size") is not None else None
    return RemoteFile(name, f"{ZENODO}/records/{record}/files/{name}?download=1", size, digest)


def hub_listing(repo: str, folder: str = "") -> Listing:
    """Return the files of a data set on the Hugging Face hub, of the commit that is there now.

    Args:
        repo: Name of the data set, such as ``yandex/yambda``.
        folder: Folder below that of the collection into which its files are put.

    Raises:
        MissingPartError: If it cannot be reached, is not there, or its terms have to be accepted first.
    """
    from huggingface_hub import HfApi, hf_hub_url

    hub = hub_endpoint()
    try:
        found = HfApi(endpoint=hub).dataset_info(repo, files_metadata=True, timeout=2 * CONNECT_SECONDS)
    except Exception as error:  # those of its HTTP client, which differs from version to version
        answer = getattr(error, "response", None)
        missing = unreachable(error, f"{hub}/datasets/{repo}" if answer is None else str(answer.url))
        if answer is not None and int(answer.status_code) in (401, 403):
            missing.next_step = f"accept the terms at {HUB}/datasets/{repo}, then: hf auth login"
        raise missing from error
    files = []
    for each in found.siblings or ():
        if ".." in each.rfilename.split("/"):
            continue
        large = each.lfs
        url = hf_hub_url(repo, each.rfilename, repo_type="dataset", revision=found.sha, endpoint=hub)
        digest = f"sha256:{large.sha256}" if large else None
        files.append(RemoteFile(f"{folder}{each.rfilename}", url, each.size, digest))
    stated = found.card_data.get("license") if found.card_data else None
    licence = ", ".join(stated) if isinstance(stated, list) else str(stated or "not stated by its page")
    return Listing(f"huggingface.co, {repo}, commit {(found.sha or '?')[:8]}", licence, tuple(files), hub_headers())


def pinned(files: Sequence[RemoteFile], known: dict[str, str], place: str) -> None:
    """Refuse a listing whose digests are not those that are known.

    Raises:
        DataError: If a file is another one than the one that was published.
    """
    for each in files:
        published = known.get(each.name)
        if published and each.digest and each.digest != published:
            raise DataError(
                f"{each.name} is another file than the published one: {each.digest}, known {published}",
                where=place,
                next_step="look whether there is a new version of the collection",
            )
