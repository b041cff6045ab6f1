"""Text out of files: real files of each format, made here, and the ways in which files are of no use."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence

import docx
import pypdf
import pytest

from genstore.errors import InvalidInput
from genstore.rag.documents import Document, Heading, heading_spans, location
from genstore.rag.extractors.extract import extract, is_document
from genstore.records import Record


def pdf(pages: Sequence[str], *, image: bool = False) -> bytes:
    """A PDF of these pages in Helvetica; with image=True they show a picture instead of the text."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    pixel = zlib.compress(b"\0")
    picture = b"<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8"
    objects.append(picture + b" /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (len(pixel), pixel))
    for text in pages:
        drawn = b"/P Do" if image else b"BT /F 12 Tf 72 720 Td (%s) Tj ET" % text.encode()
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn))
        contents = len(objects)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F 3 0 R >> %s >> >>" % (contents, b"/XObject << /P 4 0 R >>" if image else b"")
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    trailer = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (size, len(body))
    return body + b"xref\n0 %d\n0000000000 65535 f \n" % size + table + trailer


def written(writer: pypdf.PdfWriter) -> bytes:
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def word(*blocks: tuple[str, str]) -> bytes:
    """A DOCX of (style, text) blocks; the style "table" makes a row of cells between bars."""
    document = docx.Document()
    for style, text in blocks:
        if style == "table":
            cells = text.split("|")
            row = document.add_table(1, len(cells)).rows[0]
            for cell, content in zip(row.cells, cells, strict=True):
                cell.text = content
        else:
            document.add_paragraph(text, style=style)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def where(data: bytes, name: str, words: str) -> str:
    """Where in its document these words stand, as a citation shows it."""
    document = extract(data, name)
    return str(location(Record(id="r", kind="document", name=name), document.part(), document.text.index(words)))


def test_a_pdf_says_on_which_page_and_under_which_heading() -> None:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf(["Introduction. Whales.", "Install. Run pip.", "The end."])))
    top = writer.add_outline_item(title="Guide", page_number=0)
    writer.add_outline_item(title="Install", page_number=1, parent=top)
    writer.add_metadata({"/Title": "A guide"})
    data = written(writer)
    document = extract(data, "guide.pdf")
    assert document.title == "A guide"
    assert document.text == "Introduction. Whales.\n\nInstall. Run pip.\n\nThe end."
    assert where(data, "guide.pdf", "Run pip") == "guide.pdf, page 2, § Guide › Install"
    assert where(data, "guide.pdf", "Whales") == "guide.pdf, page 1, § Guide"
    assert where(data, "guide.pdf", "The end") == "guide.pdf, page 3, § Guide › Install"


def test_a_pdf_of_images_says_so() -> None:
    with pytest.raises(InvalidInput, match=r"its 2 pages hold images only; run it through OCR"):
        extract(pdf(["", ""], image=True), "scan.pdf")
    with pytest.raises(InvalidInput, match=r"its 1 pages hold no text"):
        extract(pdf([""]), "blank.pdf")


def test_a_pdf_behind_a_password_says_so_and_one_without_opens() -> None:
    for password, opens in (("secret", False), ("", True)):
        writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf(["Whales."])))
        writer.encrypt(user_password=password, owner_password="owner", algorithm="AES-256")
        if opens:
            assert extract(written(writer), "x.pdf").text == "Whales."
        else:
            with pytest.raises(InvalidInput, match="it is password-protected"):
                extract(written(writer), "x.pdf")


def test_a_word_document_keeps_headings_and_tables() -> None:
    data = word(("Title", "Handbook"), ("Heading 1", "Pay"), ("Normal", "Paid monthly."), ("table", "Name|Ada"))
    document = extract(data, "a.docx")
    assert document.title == "Handbook"
    assert document.text == "Handbook\n\nPay\n\nPaid monthly.\n\nName | Ada"
    assert where(data, "a.docx", "Paid") == "a.docx, § Pay"


def test_html_is_what_a_reader_sees() -> None:
    page = (
        "<html><head><title>On &amp; on</title><style>p{}</style><script>alert(1)</script></head><body><h1>Whales</h1>"
        "<p>They <b>swim</b>.</p><h2>Food</h2><ul><li>Krill</li></ul></body></html>"
    )
    document = extract(page.encode(), "a.html")
    assert document.title == "On & on"
    assert "alert" not in document.text
    assert "They swim." in document.text
    assert where(page.encode(), "a.html", "Krill") == "a.html, § Whales › Food"
    hidden = b"<p>seen</p><p hidden>no</p><p style='display:none'>no</p><template>no</template><noscript>no</noscript>"
    assert extract(hidden, "d.html").text.split() == ["seen"]
    assert "Käse" in extract('<meta charset="latin-1"><p>Käse</p>'.encode("latin-1"), "b.html").text
    assert "Käse" in extract("<p>Käse</p>".encode(), "c.html").text
    assert extract(b"<!DOCTYPE html><p>Whales</p>", "page").text.strip() == "Whales"


def test_markdown_headings_are_not_comments_in_code_nor_front_matter() -> None:
    text = '---\ntitle: "My page"\n---\n\n# Install\n\n```sh\n# not a heading\n```\n\nSteps\n-----\n\nRun it.\n'
    document = extract(text.encode(), "a.md")
    assert (document.title, document.media_type, document.text) == ("My page", "text/markdown", text)
    assert where(text.encode(), "a.md", "not a heading") == "a.md, § Install"
    assert where(text.encode(), "a.md", "Run it") == "a.md, § Install › Steps"


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("a.csv", "name,born\nAda,1815\n\nAl,1912,x\n", "name: Ada; born: 1815\n\nname: Al; born: 1912; column 3: x"),
        ("a.csv", "name;born\nAda;1815\n", "name: Ada; born: 1815"),
        ("a.tsv", "name\tborn\nAda\t1815\n", "name: Ada; born: 1815"),
        ("a.csv", "name,born\n", "name; born"),
    ],
)  # fmt: skip
def test_a_row_of_a_table_says_what_its_values_are(name: str, data: str, text: str) -> None:
    assert extract(data.encode(), name).text == text


def test_python_source_says_in_which_function() -> None:
    source = b"import x\n\nclass A:\n    def run(self):\n        return 'whales'\n"
    assert where(source, "a.py", "whales") == "a.py, § class A › def run"
    assert extract(b"def broken(:\n", "b.py").headings == ()


@pytest.mark.parametrize("line", ["a\x0cb", "a\u2028b", "a\x85b", "a\x1db", "Ünï 😀"])
def test_headings_stand_where_they_are_whatever_ends_no_line(line: str) -> None:
    for name, text in (
        ("a.md", f"{line}\n\n# One\n\ntext\n\n## Two\n\nhere\n"),
        ("a.py", f"# {line}\n\ndef One():\n    pass\n\ndef Two():\n    pass\n"),
    ):
        document = extract(text.encode(), name)
        for heading in document.headings:
            assert heading.text.split()[-1] in document.text[heading.start :].partition("\n")[0]


def test_a_page_says_its_own_encoding_and_not_that_of_a_script() -> None:
    for page in ('<script charset="latin-1"></script><p>Käse</p>', "<p>the charset=latin-1 of Käse</p>"):
        assert "Käse" in extract(page.encode(), "a.html").text


def test_text_with_a_damaged_byte_is_still_utf_8() -> None:
    assert extract("Käse über Größe, älter, öfter, Übel".encode() * 3 + b"\xff", "a.txt").text.startswith("Käse über")


@pytest.mark.parametrize("part", ["word/document.xml", "_rels/.rels", "[Content_Types].xml"])
@pytest.mark.parametrize("content", [b"", b"<broken", b"<a/>", None])
def test_a_damaged_word_file_says_so(part: str, content: bytes | None) -> None:
    damaged = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(word(("Normal", "text")))) as whole, zipfile.ZipFile(damaged, "w") as made:
        for name in whole.namelist():
            data = content if name == part else whole.read(name)
            if data is not None:
                made.writestr(name, data)
    with pytest.raises(InvalidInput, match="not a readable DOCX file"):
        extract(damaged.getvalue(), "a.docx")


def test_an_entry_of_an_outline_that_its_page_does_not_show_hides_no_text() -> None:
    part = Document("First line of text.\nMore.", headings=(Heading(0, 1, "Chapter One"),)).part()
    assert heading_spans(part) == []
    part = Document("Chapter One\nMore.", headings=(Heading(0, 1, "Chapter One"),)).part()
    assert heading_spans(part) == [(0, 11)]


def test_a_long_column_and_source_nested_deeply() -> None:
    assert extract(b"a,b\n1," + b"x" * 200_000, "a.csv").text.startswith("a: 1; b: xxx")
    assert extract(b"-" * 200_000 + b"1", "a.py").headings == ()


def test_text_in_other_encodings() -> None:
    assert extract("Käse".encode("utf-16"), "a.txt").text == "Käse"
    assert extract("Käse".encode("cp1252"), "a.txt").text == "Käse"
    assert extract(b"\xef\xbb\xbfone\r\ntwo\rthree", "a.txt").text == "one\ntwo\nthree"


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.txt", b"", "it is empty"),
        ("a.md", b" \n\t ", "it is empty"),
        ("a.html", b"<script>x()</script>", "no text"),
        ("a.html", b"<html hidden><p>x</p></html>", "all of it is hidden"),
        ("a.txt", "text".encode("utf-32"), "save it as UTF-8"),
        ("a.csv", b"\n,\n", "it is empty"),
        ("a.png", b"\x89PNG\r\n\x1a\n\0\0", "it is image/png; text, Markdown"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 64, "password-protected, or in Word's old format"),
        ("a.docx", b"PK\x03\x04 not a zip", "not a readable DOCX file"),
        ("a.pdf", b"%PDF-1.4 and nothing more", "not a readable PDF file"),
    ],
)
def test_a_file_of_no_use_says_why(name: str, data: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        extract(data, name)


def test_what_is_read_in_a_folder() -> None:
    assert is_document("a.pdf", b"%PDF-\0")
    assert is_document("a.rs", b"fn main() {}")
    assert not is_document("a.png", b"\x89PNG\0")
    assert is_document("a.txt", "text".encode("utf-16"))
