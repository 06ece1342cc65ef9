"""The hosted UI's page as a program reads it."""

from html.parser import HTMLParser


class Form(HTMLParser):
    """Finds a page's form.

    Attributes:
        action: Where it is sent.
        fields: Its hidden fields.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag == "form":
            self.action = found["action"]
        elif tag == "input" and found.get("type") == "hidden":
            self.fields[found["name"]] = found["value"]
