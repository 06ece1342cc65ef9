"""docs/cost.md: its tables add up, every price has a page and a date, and the first paragraph says what the tables show."""

import re
from pathlib import Path

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cost.md").read_text(encoding="utf-8")


def table(heading):
    """Return the rows of the table below a heading, by their first cell."""
    section = PAGE.partition(f"### {heading}\n")[2].partition("\n### ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in rows}


def dollars(cell):
    return float(re.search(r"\$([\d,.]+)", cell)[1].replace(",", ""))


def test_the_parts_of_a_million_requests_add_up():
    """To the cent, but for rounding."""
    rows = table("Per million requests, at list prices")
    assert len(rows) == 4
    for *parts, together in rows.values():
        assert abs(sum(map(dollars, parts)) - dollars(together)) < 0.021


def test_a_million_requests_are_what_the_page_multiplies():
    """The products in the text are the table's first row."""
    text = PAGE.partition("So a million requests cost the gateway, in order, ")[2].partition(". Put")[0]
    parts = [
        sum(
            float(amount.replace(",", "")) * float(price)
            for amount, price in re.findall(r"([\d.,]+)[^\u00d7]*\u00d7 \$([\d.]+)", part)
        )
        for part in text.split(";")
    ]
    *shown, _ = table("Per million requests, at list prices")["this gateway"]
    assert [f"${part:.2f}" for part in parts] == shown


def test_the_first_paragraph_is_what_the_tables_show():
    """A dollar more than an HTTP API, a third less than a REST API; the cheapest login at ten million, not at a thousand."""
    million = {way: dollars(row[-1]) for way, row in table("Per million requests, at list prices").items()}
    ours, http, rest = "this gateway", "HTTP API, JWT authorizer", "REST API, Cognito authorizer"
    assert 0.9 < million[ours] - million[http] < 1.2
    assert 0.6 < million[ours] / million[rest] < 0.7
    month = {way: [dollars(cell) for cell in row] for way, row in table("Per month, at three sizes").items() if row[0]}
    logins = (http, rest, "ALB, Cognito action")
    assert month[ours][1] < min(month[way][1] for way in logins)
    assert month[ours][2] > month["ALB, Cognito action"][2]
    # Ten million use up the allowances that only the gateway has, so the list prices tell the two apart from there on.
    balancer = float(re.search(r"A load balancer costs \$[\d.]+ a month .* and \$([\d.]+) for a million\.", PAGE)[1])
    ahead = month["ALB, Cognito action"][1] - month[ours][1]
    assert round(10 + ahead / (million[ours] - balancer)) == 18
    assert "about eighteen million on" in PAGE.partition("\n| |")[0]
    assert month["Cognito users, the same for all"][2] > max(month[way][2] for way in (ours, *logins))


def test_every_price_names_its_page_and_its_date():
    """Or says that the page has no date."""
    rows = table("The prices")
    assert len(rows) > 20
    for _, _, page, stated in rows.values():
        assert re.fullmatch(r"\[[\w.]+\]\(https://\S+\)", page)
        assert re.fullmatch(r"2026(-\d\d){0,2}|undated", stated)
