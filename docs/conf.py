"""The settings of the documentation site, which `scripts/docs` builds with Sphinx in a copy of this folder."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from newtron import __version__
from newtron.cli.parser import build_parser

ROOT = Path(__file__).resolve().parents[1]

project = "newtron"
author = "The newtron developers"
copyright = "The newtron developers"
release = version = __version__
html_title = f"newtron {version}"

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_templates"]
templates_path = ["_templates"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

default_role = "code"
smartquotes = False
toc_object_entries_show_parents = "hide"
autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say types and shapes
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "pydata_sphinx_theme"
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "show_prev_next": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False

sphinx_gallery_conf = {
    "examples_dirs": [str(ROOT / "examples" / "gallery")],
    "gallery_dirs": ["gallery"],
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "image_scrapers": ("matplotlib",),
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
}

# Files at the root of the repository that are pages of the site, or for which a page stands.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
    "SECURITY.md": "security.md",
}
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")


class Commands(SphinxDirective):
    """`.. newtron-commands::` is the reference of all commands and options, made of the command line's parser."""

    def run(self) -> list[nodes.Node]:
        text = "\n".join(lines_of_commands(build_parser()))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def lines_of_commands(parser: argparse.ArgumentParser) -> Iterator[str]:
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for name, command in commands.choices.items():
        title = f"newtron {name}"
        yield from (title, "-" * len(title), "", f".. program:: newtron {name}", "")
        usage = (command.usage or re.sub(r"^usage: ", "", command.format_usage())).split()
        yield from (".. code-block:: none", "", f"    {' '.join(usage)}", "", str(command.description), "")
        for group in command._action_groups:
            actions = [action for action in group._group_actions if action.dest != "help"]
            if not actions:
                continue
            yield from (f".. rubric:: {str(group.title).capitalize()}", "")
            if group.description:
                yield from (group.description, "")
            for action in actions:
                yield from lines_of_action(action)


def lines_of_action(action: argparse.Action) -> Iterator[str]:
    if action.choices:
        value = "{" + ",".join(map(str, action.choices)) + "}"
    else:
        value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
    names = action.option_strings or [""]
    words = (str(action.help) % {"default": action.default}).replace("*", r"\*")
    yield from (f".. option:: {', '.join(f'{name} {value}'.strip() for name in names)}", "", f"   {words}", "")


def read_page(app: Sphinx, name: str, source: list[str]) -> None:
    """Pages of files at the root hold these files, and links to such files lead to their pages."""
    folder = ROOT / "docs" / Path(name).parent
    for file, page in PAGES.items():
        if page == f"{name}.md" and file != "README.md":
            source[0], folder = (ROOT / file).read_text(encoding="utf-8"), ROOT

    def link(found: re.Match[str]) -> str:
        file = os.path.relpath(os.path.normpath(folder / found[1]), ROOT)
        # A heading of README.md is none of the page that stands for it.
        heading = "" if file == "README.md" else found[2] or ""
        place = ROOT / "docs" / PAGES[file] if file in PAGES else ROOT / file
        return f"]({os.path.relpath(place, (ROOT / 'docs' / name).parent)}{heading})"

    if folder == ROOT or "](../" in source[0]:
        source[0] = LINK.sub(link, source[0])


def hide_signature(app: Sphinx, what: str, name: str, *_: object) -> tuple[str, None] | None:
    """Values that only newtron makes are shown without the arguments that make them."""
    made_by_users = re.fullmatch(r"newtron(\.engine)?\.\w+", name) and name != "newtron.Study"
    return None if what != "class" or made_by_users else ("", None)


def mark_names(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Names such as coef_ and bars such as |z| stand for themselves, which reStructuredText takes for references."""
    example = False
    for at, line in enumerate(lines):
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        if not example and not line.lstrip().startswith((".. ", ":")):
            parts = re.split(r"(``.*?``|`[^`]*`)", line)
            parts[::2] = [re.sub(r"(?<![\w*`])([A-Za-z]\w*_)(?![\w*`])", r"``\1``", part) for part in parts[::2]]
            parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
            lines[at] = "".join(parts)


def skip_of_others(app: Sphinx, what: str, name: str, member: object, skip: bool, options: object) -> bool | None:
    """Methods that scikit-learn or Python define are theirs to describe."""
    home = str(getattr(member, "__module__", None) or "newtron")
    return None if home.startswith("newtron") else True


def setup(app: Sphinx) -> None:
    app.add_directive("newtron-commands", Commands)
    app.connect("source-read", read_page)
    app.connect("autodoc-process-docstring", mark_names, priority=900)  # after numpydoc
    app.connect("autodoc-process-signature", hide_signature)
    app.connect("autodoc-skip-member", skip_of_others)
