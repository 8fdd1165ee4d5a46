"""The page as a program reads it."""

import html.parser


class Document(html.parser.HTMLParser):
    """What a browser would find: visible text, addresses, ids, and the embedded data."""

    def __init__(self, page):
        super().__init__()
        self.words, self.ids, self.links, self.loads, self.tags, self.data = [], [], [], [], [], ""
        self._inside = ""
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self._inside = tag
        if tag == "script" and given.get("id") == "data":
            self._inside = "data"
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a":
            self.links.append(given.get("href", ""))
        elif "href" in given or "src" in given:
            self.loads.append(given.get("href") or given.get("src"))

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "data":
            self.data += data
        elif self._inside not in {"script", "style"}:
            self.words.append(data)
