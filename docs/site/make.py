#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the site of site.sh: make.py [--check] ROOT FOLDER.

Pages are made of README.md, of docs/*.md, and of every file in the repository that one of them links to: a document
becomes a page, an image is copied, any other file is shown as text. Headings get the anchors that GitHub gives them,
so that a link works in both places.
"""
import html
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import markdown
from markdown.extensions.toc import TocExtension

MENU = [
    ("Start", ["README.md", "CHANGELOG.md"]),
    ("Use", ["docs/batches.md", "docs/async.md", "docs/errors.md", "docs/stuck-keys.md"]),
    ("Stores", ["docs/memory.md", "docs/sqlite.md", "docs/postgres.md", "docs/redis.md", "docs/backends.md"]),
    ("Reference", ["include/idem/idem.h", "docs/man/idem.1", "docs/man/libidem.3", "docs/man/idem_async.3"]),
    ("Inside", ["docs/architecture.md", "docs/reliability.md", "docs/performance.md", "docs/decisions.md",
                "CONTRIBUTING.md", "SECURITY.md"]),
]
IMAGES = (".svg", ".png")


def slug(title, separator="-"):
    """The anchor that GitHub gives a heading."""
    kept = re.sub(r"[^\w\- ]", "", html.unescape(title).strip().lower())
    return kept.replace(" ", separator)


def page_of(path):
    """Where a file of the repository is in the site."""
    if path == "README.md":
        return "index.html"
    if path.endswith(IMAGES):
        return path
    return re.sub(r"\.md$", "", path) + ".html"


class Site:
    def __init__(self, root, folder):
        self.root, self.folder = root, folder
        self.wrong = []
        self.waiting, self.known = [], set()

    def want(self, path):
        if path not in self.known:
            self.known.add(path)
            self.waiting.append(path)

    def link(self, page, target):
        """A link of a document as it is in the site; what it leads to becomes a page."""
        if re.match(r"[a-z]+:|#|//", target):
            return target
        name, _, anchor = target.partition("#")
        path = os.path.normpath(os.path.join(os.path.dirname(page), name))
        full = os.path.join(self.root, path)
        if os.path.isdir(full) and os.path.isfile(os.path.join(full, "README.md")):
            path = os.path.join(path, "README.md")
        elif not os.path.isfile(full) or path.startswith(".."):
            self.wrong.append(f"{page}: there is no {target}")
            return target
        self.want(path)
        where = os.path.relpath(page_of(path), os.path.dirname(page_of(page)) or ".")
        return where + ("#" + anchor if anchor else "")

    def document(self, path, text):
        made = markdown.Markdown(extensions=["tables", "fenced_code", "sane_lists",
                                             TocExtension(slugify=slug, permalink=False)])
        body = made.convert(text)
        return re.sub(r'\b(href|src)="([^"]*)"',
                      lambda m: f'{m[1]}="{html.escape(self.link(path, html.unescape(m[2])))}"', body)

    def man_page(self, path):
        if not shutil.which("mandoc"):
            return None
        made = subprocess.run(["mandoc", "-T", "html", "-O", "fragment", os.path.join(self.root, path)],
                              check=True, capture_output=True, text=True)
        return made.stdout

    def menu(self, path):
        parts = []
        for title, paths in MENU:
            items = []
            for entry in paths:
                if entry in self.known:
                    where = os.path.relpath(page_of(entry), os.path.dirname(page_of(path)) or ".")
                    mark = ' class="here"' if entry == path else ""
                    items.append(f'<li><a{mark} href="{where}">{html.escape(self.title(entry))}</a></li>')
            if items:
                parts.append(f"<h2>{title}</h2><ul>{''.join(items)}</ul>")
        return "".join(parts)

    def title(self, path):
        if path.endswith((".1", ".3")):
            return re.sub(r"^(.*)\.(\d)$", r"\1(\2)", os.path.basename(path))
        if path.endswith(".md"):
            with open(os.path.join(self.root, path), encoding="utf-8") as file:
                for line in file:
                    if line.startswith("# "):
                        return line[2:].strip()
        return os.path.basename(path)

    def body(self, path):
        if path.endswith((".1", ".3")):
            made = self.man_page(path)
            if made is not None:
                return made
        with open(os.path.join(self.root, path), encoding="utf-8") as file:
            text = file.read()
        if path.endswith(".md"):
            return self.document(path, text)
        return f"<h1>{html.escape(path)}</h1><pre><code>{html.escape(text)}</code></pre>"

    def write(self, path, data):
        full = os.path.join(self.folder, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(data)

    def make(self):
        for _, paths in MENU:
            for path in paths:
                self.want(path)
        for name in sorted(os.listdir(os.path.join(self.root, "docs"))):
            if name.endswith(".md"):
                self.want("docs/" + name)
        bodies = {}
        while self.waiting:
            path = self.waiting.pop(0)
            if path.endswith(IMAGES):
                where = os.path.join(self.folder, path)
                os.makedirs(os.path.dirname(where), exist_ok=True)
                shutil.copyfile(os.path.join(self.root, path), where)
            else:
                bodies[path] = self.body(path)
        with open(os.path.join(self.root, "docs/site/page.html"), encoding="utf-8") as file:
            form = file.read()
        for path, body in bodies.items():
            up = os.path.relpath(".", os.path.dirname(page_of(path)) or ".")
            page = form
            for name, value in (("TITLE", html.escape(self.title(path))), ("STYLE", up + "/style.css"),
                                ("HOME", up + "/index.html"), ("MENU", self.menu(path)), ("BODY", body)):
                page = page.replace("{{" + name + "}}", value, 1)
            self.write(page_of(path), page)
        shutil.copyfile(os.path.join(self.root, "docs/site/style.css"), os.path.join(self.folder, "style.css"))
        return len(bodies)


class Links(HTMLParser):
    """The links of a page, and the anchors that others can lead to."""

    def __init__(self):
        super().__init__()
        self.links, self.anchors = [], set()

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("href", "src"):
                self.links.append(value)
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)


def check(folder):
    """What leads nowhere, as a list of lines."""
    pages = {}
    for where, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".html"):
                full = os.path.join(where, name)
                parsed = Links()
                with open(full, encoding="utf-8") as file:
                    parsed.feed(file.read())
                pages[full] = parsed
    wrong = []
    for page, parsed in sorted(pages.items()):
        for link in parsed.links:
            if re.match(r"[a-z]+:|//", link):
                continue
            name, _, anchor = link.partition("#")
            full = os.path.normpath(os.path.join(os.path.dirname(page), name)) if name else page
            if not os.path.isfile(full):
                wrong.append(f"{os.path.relpath(page, folder)}: {link} leads to no file")
            elif anchor and full in pages and anchor not in pages[full].anchors:
                wrong.append(f"{os.path.relpath(page, folder)}: {link} leads to no place in that page")
    return wrong


def main():
    arguments = sys.argv[1:]
    checked = "--check" in arguments
    root, folder = [argument for argument in arguments if argument != "--check"]
    if os.path.exists(folder):
        if os.listdir(folder) and not os.path.isfile(os.path.join(folder, "style.css")):
            sys.exit(f"site.sh: {folder} is not empty, and is no site: name another folder")
        shutil.rmtree(folder)
    os.makedirs(folder)
    site = Site(root, folder)
    count = site.make()
    wrong = site.wrong + (check(folder) if checked else [])
    for line in wrong:
        print("site.sh: " + line, file=sys.stderr)
    print(f"{count} pages in {folder}")
    sys.exit(1 if wrong else 0)


main()
