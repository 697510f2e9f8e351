"""What the documents point at exists: files, headings, make targets, proofs."""

import re
from pathlib import Path

import pytest

import gainsight_destination

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/**/*.md"))
    if not any(part.startswith(".") for part in page.relative_to(ROOT).parts)
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return FENCE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, made as GitHub makes them."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in HEADING.findall(prose(page))
    }


def named_by(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named_by)
def test_relative_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file of the repository, and a heading that is there."""
    broken = []
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=named_by)
def test_make_targets_are_in_the_makefile(page: Path) -> None:
    """A page that says `make X` can be believed."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    said = set(re.findall(r"(?:^|`)make ([a-z]+)\b", page.read_text("utf-8"), re.MULTILINE))
    assert said <= targets


def test_paths_named_in_contributing_exist() -> None:
    """The map is true: every file and folder that CONTRIBUTING names is there."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    (tree,) = re.findall(r"^```\n(src/.*?)^```", text, re.MULTILINE | re.DOTALL)
    named, open_folders = [], list[str]()
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        names = re.split(r" {2,}", line.strip())[0].split(", ")
        del open_folders[depth:]
        named += ["".join(open_folders) + name for name in names]
        open_folders.append(names[-1])
    beginnings = ("", "src/gainsight_destination/")
    for token in re.findall(r"`([\w./]+)`", FENCE.sub("", text)):
        if "/" in token or token.endswith((".py", ".md")):
            named.append(next((b + token for b in beginnings if (ROOT / (b + token)).exists()), token))
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert len(named) > 40


def test_every_package_is_on_the_map() -> None:
    """A new package has its line in CONTRIBUTING."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    packages = [path.parent for path in ROOT.glob("src/gainsight_destination/*/__init__.py")]
    assert [package.name for package in packages if f"\n  {package.name}/ " not in text] == []


def test_tests_named_as_proofs_exist() -> None:
    """Where the README names a test function, the file it links to has it."""
    missing = []
    for label, path in re.findall(r"\[`(test_\w+)`\]\(([^)]+)\)", (ROOT / "README.md").read_text("utf-8")):
        if f"def {label}(" not in (ROOT / path).read_text("utf-8"):
            missing.append(f"{path}::{label}")
    assert missing == []


def test_the_changelog_knows_the_version() -> None:
    """The newest released version in the changelog is the package's; before the first release there is none."""
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.MULTILINE)
    assert released[:1] in ([], [gainsight_destination.__version__])
    assert released or "## [Unreleased]" in changelog
