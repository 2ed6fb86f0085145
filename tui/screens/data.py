"""The Data screen: list, show and download data sets."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.worker import Worker

from ...estimators.data.datasets import data_folder
from ...estimators.data.source import FILE_SUFFIXES, DataSource
from ..drawing.bars import draw_bars
from ..drawing.features import draw_features
from ..drawing.images import draw_gallery, fit_images
from ..keys import bindings
from ..runs.spec import RunSpec
from ..service.client import Overtaken, Service, ServiceError
from ..text import clean
from ..widgets.data_list import DataList, Entry, known_entries
from ..widgets.picture import Picture
from ..widgets.plot import Plot, as_high_as_it_is
from .base import LabScreenBase
from .dialogs import Prompt
from .reading import ReadingDialog

#: Images per page, if they are large enough to be recognised: usually one per class.
IMAGES_WANTED = 10

PARTS = ("training", "test")


@dataclass
class Download:
    """A download in progress."""

    entry: Entry
    started: float
    arrived: int = 0


class DataScreen(LabScreenBase):
    """A list of data sets; beside it the images or columns of the selected one, and its class counts."""

    NAME = "data"
    BINDINGS: ClassVar = [
        *bindings("data"),
        *(Binding(str(i), f"choose({i})", "the class with this number", show=False) for i in range(1, 10)),
    ]

    DEFAULT_CSS = """
    DataScreen #side { width: 34%; min-width: 32; max-width: 42; }
    DataScreen #sets { max-height: 50%; padding: 0; background: $background; }
    DataScreen #classes { height: 1fr; scrollbar-size-vertical: 1; }
    DataScreen .panel { border-subtitle-color: $text-muted; }
    DataScreen #bars { height: auto; }
    DataScreen #about { height: auto; max-height: 3; color: $text-muted; }
    DataScreen #page { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._entries: list[Entry] = []
        self._entry: Entry | None = None
        self._part = "training"
        #: A class, or None for one image per class.
        self._choice: int | None = None
        self._start = 0
        self._total = 0
        #: How many images or columns the page shown was made for.
        self._length_shown = 0
        #: Downloads use a separate service process, so that other requests do not wait.
        self._downloads = Service()
        self._download: Download | None = None
        self._downloader: Worker[None] | None = None

    def body(self) -> ComposeResult:
        """The list above the classes, and the page."""
        with Horizontal():
            with Vertical(id="side"):
                sets = DataList(id="sets", classes="panel")
                sets.border_title = "Data sets"
                yield sets
                with VerticalScroll(id="classes", classes="panel", can_focus=False) as classes:
                    classes.border_title = "Classes"
                    yield Plot(id="bars")
            with Vertical(id="page", classes="panel"):
                yield Picture(id="picture")
                yield Static(id="about", markup=False)

    async def on_unmount(self) -> None:
        """End a download in progress."""
        await self._downloads.close()

    # -- the list --------------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Focus the list."""
        self.query_one(DataList).focus()

    def on_screen_resume(self) -> None:
        """Check the data sets again: files may have been downloaded or damaged."""
        entries = known_entries(self.lab.data_root, self._entries)
        if entries != self._entries:
            self._entries = entries
            self._list_entries()
        super().on_screen_resume()

    def _list_entries(self, at: int | None = None) -> None:
        self.query_one(DataList).show_entries(self._entries, at)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show the data set at the cursor."""
        entry = self._entries[event.option_index]
        if entry is not self._entry:
            self._entry = entry
            self._part, self._choice, self._start, self._total = "training", None, 0, 0
            self._show_entry()

    def _set_state(self, entry: Entry, state: str, trouble: str = "") -> None:
        entry.state, entry.trouble = state, trouble
        self._list_entries()
        if entry is self._entry:
            self._show_entry()

    # -- the selected data set -------------------------------------------------------------------------------

    def _show_entry(self) -> None:
        """Show what is known of the selected data set, and request the rest."""
        entry = self._entry
        self.refresh_bindings()
        for group in ("describe", "page"):
            self.workers.cancel_group(self, group)
        if entry is None:
            return
        page, picture = self.query_one("#page"), self.query_one(Picture)
        page.border_title, page.border_subtitle = Content(clean(entry.title, self.lab.ascii_only)), ""
        self.query_one("#about", Static).display = False
        self.query_one("#classes").border_subtitle = ""
        self.query_one("#bars", Plot).styles.height = 0
        if self._download is not None and self._download.entry is entry:
            self._show_download(self._download)
        elif entry.state == "ready":
            if not entry.about:
                picture.show_text(f"Loading {entry.title}")
            self.run_worker(partial(self._describe, entry), group="describe")
        else:
            how = f"Press d to download it (about {entry.download_mb} MB) to {data_folder(self.lab.data_root)}."
            what_next = "Press d to try to download it." if entry.trouble else how
            trouble = entry.trouble or f"the data set {entry.title} is not on this machine"
            picture.show_text(_sentence(trouble), *([what_next] if entry.download_mb else []))

    async def _describe(self, entry: Entry) -> None:
        try:
            if not entry.about:
                entry.about = await self._ask("describe", entry)
        except Overtaken:
            return
        except ServiceError as error:
            self._set_state(entry, "damaged", str(error))
            return
        self.refresh_bindings()
        self._show_classes(entry)
        about = self.query_one("#about", Static)
        assumptions = entry.about["assumptions"]
        is_high = self.size.height >= 30
        options = ", ".join(line.partition("=")[0] for line in assumptions if "=" in line.split()[0])
        assumed = f"assumed (e changes it): {'; '.join(assumptions)}" if is_high else f"assumed (e shows): {options}"
        words = assumed if assumptions else entry.about["source"]
        about.update(_sentence(clean(words, self.lab.ascii_only)))
        about.styles.max_height = 5 if is_high else 1
        about.display = bool(assumptions) or is_high
        self.call_after_refresh(self._show_page)  # the size of the page is known then

    async def _ask(self, op: str, entry: Entry, **fields: Any) -> dict[str, Any]:
        return await self.lab.service.ask(
            f"data.{op}", group=f"data.{op}", source=entry.source(self.lab.data_root).to_json(), **fields
        )

    def _show_classes(self, entry: Entry) -> None:
        """Show the number of samples per class, and mark the class on the page."""
        names, counts = entry.about["class_names"], entry.about["counts"][self._part]
        mark = [">" if i == self._choice else " " for i in range(len(names))]
        rows = [
            (f"{m}{name}", count / max(counts), f"{count:,}")
            for m, name, count in zip(mark, names, counts, strict=True)
        ]
        bars = self.query_one("#bars", Plot)
        bars.styles.height = len(rows)
        bars.show(as_high_as_it_is(partial(draw_bars, rows)))
        self.query_one("#classes").border_subtitle = f"{sum(counts):,} {self._part} samples"

    def on_resize(self) -> None:
        """Fit the number of images to the new size."""
        self.call_after_refresh(self._after_resize)

    def _after_resize(self) -> None:
        if self._entry is not None:
            self._show_entry()

    # -- pages -----------------------------------------------------------------------------------------------

    def _show_page(self) -> None:
        if self._entry is not None and self._entry.about:
            show = self._show_features if self._entry.is_table else self._show_images
            self.run_worker(partial(show, self._entry), group="page", exclusive=True)

    def on_picture_resized(self) -> None:
        """Fit the page to the size that is left for it, which the text below it changes."""
        if self._entry is not None and self._entry.about and self._page_length != self._length_shown:
            self._show_page()

    @property
    def _page_length(self) -> int:
        """The number of images or columns on a page."""
        assert self._entry is not None
        if self._entry.is_table:
            return max(1, self.query_one(Picture).size.height - 1)
        n_classes = len(self._entry.about["class_names"])
        return min(n_classes, self._layout[1]) if self._choice is None else self._layout[1]

    @property
    def _layout(self) -> tuple[int, int]:
        """The width of the images, and how many fit."""
        assert self._entry is not None
        size = self.query_one(Picture).size
        about = self._entry.about
        wanted = len(about["class_names"]) if self._choice is None else IMAGES_WANTED
        return fit_images(about["image_shape"], wanted, size.width, size.height)

    async def _show_images(self, entry: Entry) -> None:
        names = entry.about["class_names"]
        image_width, count = self._layout[0], self._page_length
        self._length_shown = count
        choice, start = self._choice, self._start
        try:
            page = await self._ask("images", entry, part=self._part, choice=choice, start=start, count=count)
        except Overtaken:
            return
        except ServiceError as error:
            self._set_state(entry, "damaged", str(error))
            return
        self._total = page["total"]
        images = np.frombuffer(base64.b64decode(page["pixels"]), np.uint8).reshape(page["shape"])
        captions = [f"#{i}" for i in page["indices"]] if choice is not None else [names[i] for i in page["classes"]]
        gallery = partial(draw_gallery, list(images), captions, image_width=image_width, limits=(0, 255))
        self.query_one(Picture).show(as_high_as_it_is(gallery))
        if choice is None and count == len(names):
            self._show_range(f"one per class, {start // count + 1} of {self._total // count:,}")
        else:
            what = "one per class" if choice is None else f"class {names[choice]}"
            self._show_range(f"{what}, {start + 1:,} to {min(start + count, self._total):,} of {self._total:,}")

    async def _show_features(self, entry: Entry) -> None:
        count, start = self._page_length, self._start
        self._length_shown = count
        try:
            page = await self._ask("features", entry, part=self._part, start=start, count=count, rows=20)
        except Overtaken:
            return
        except ServiceError as error:
            self._set_state(entry, "damaged", str(error))
            return
        self._total = page["total"]
        labels = [entry.about["class_names"][i] for i in page["classes"]]
        figures = list(zip(page["mean"], page["min"], page["max"], strict=True))
        features = partial(draw_features, page["names"], figures, page["rows"], labels)
        self.query_one(Picture).show(as_high_as_it_is(features))
        self._show_range(f"features {start + 1} to {start + len(page['names'])} of {self._total:,}")

    def _show_range(self, text: str) -> None:
        assert self._entry is not None
        page = self.query_one("#page")
        page.border_title = Content(clean(f"{self._entry.title}, {self._part} data", self.lab.ascii_only))
        page.border_subtitle = Content(clean(text, self.lab.ascii_only))

    def _turn_to(self, choice: int | None, start: int = 0) -> None:
        assert self._entry is not None
        self._choice, self._start = choice, start
        self._show_classes(self._entry)
        self._show_page()

    def action_turn_page(self, step: int) -> None:
        """Show the next or the previous page."""
        start = max(0, self._start + step * self._page_length)
        if start < self._total and start != self._start:
            self._start = start
            self._show_page()

    def action_step_choice(self, step: int) -> None:
        """Show the next or the previous class; before the first class, one image per class."""
        assert self._entry is not None
        last = len(self._entry.about["class_names"]) - 1
        at = -1 if self._choice is None else self._choice
        at = at + step if -1 <= at + step <= last else -1 if step > 0 else last
        self._turn_to(None if at < 0 else at)

    def action_choose(self, choice: int | None = None) -> None:
        """Show the images of a class, or one per class."""
        assert self._entry is not None
        if choice is None or choice < len(self._entry.about["class_names"]):
            self._turn_to(choice)

    def action_toggle_part(self) -> None:
        """Switch between training and test data."""
        self._part = PARTS[1 - PARTS.index(self._part)]
        self._turn_to(self._choice)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Whether a key has an effect now; the footer shows only those that do."""
        entry = self._entry
        has_page = entry is not None and bool(entry.about) and entry.state == "ready"
        if action in ("turn_page", "toggle_part"):
            return has_page
        if action in ("choose", "step_choice"):
            return has_page and entry is not None and not entry.is_table
        if action == "download":
            return entry is not None and entry.state != "ready" and bool(entry.download_mb) and self._download is None
        if action == "cancel_download":
            return self._download is not None
        if action == "edit_reading":
            return entry is not None and entry.is_file
        if action == "run":
            return entry is not None and entry.state == "ready"
        return True

    # -- the user's files ------------------------------------------------------------------------------------

    def action_open_file(self) -> None:
        """Ask for a path and show the file."""
        self.app.push_screen(Prompt("The path of a .npz or .csv file:", placeholder="~/data.csv"), self._open_file)

    def _open_file(self, text: str | None) -> None:
        if text:
            path = Path(text).expanduser().absolute()
            known = next((entry for entry in self._entries if entry.name == str(path)), None)
            entry = replace(known, about={}) if known else Entry(str(path), path.name, "your own file")
            self.run_worker(partial(self._add_file, entry), group="open", exclusive=True)

    async def _add_file(self, entry: Entry) -> None:
        """Add a file to the list, or replace its entry; if it cannot be read, ask how to read it."""
        path = Path(entry.name)
        try:
            entry.about = await self._ask("describe", entry)
        except Overtaken:
            return
        except ServiceError as error:
            if path.suffix.lower() in FILE_SUFFIXES and path.is_file() and self.app.screen is self:
                self._ask_how_to_read(entry, str(error))
            else:
                self.notify(_sentence(str(error)), severity="error", timeout=15, markup=False)
            return
        kind = "images" if entry.about["image_shape"] else f"{entry.about['n_features']:,} features"
        entry.description, entry.state, entry.trouble = f"your file, {kind}", "ready", ""
        names = [known.name for known in self._entries]
        at = names.index(entry.name) if entry.name in names else len(names)
        self._entries[at : at + 1] = [entry]
        if self._entry is not None and self._entry.name == entry.name:
            self._entry = entry
            self._show_entry()
        self._list_entries(at)

    def action_edit_reading(self) -> None:
        """Ask how to read the selected file."""
        if self._entry is not None:
            self._ask_how_to_read(self._entry)

    def _ask_how_to_read(self, entry: Entry, problem: str = "") -> None:
        def read(source: DataSource | None) -> None:
            if source is not None:
                changed = replace(entry, options=source.options, pixels=source.pixels, about={})
                self.run_worker(partial(self._add_file, changed), group="open", exclusive=True)

        self.app.push_screen(ReadingDialog(entry.source(self.lab.data_root), problem), read)

    # -- downloads -------------------------------------------------------------------------------------------

    def action_download(self) -> None:
        """Download the selected data set."""
        if self._entry is not None and self._download is None:
            self._download = Download(self._entry, time.monotonic())
            self._downloader = self.run_worker(partial(self._fetch, self._download), group="download")
            self._show_entry()

    async def _fetch(self, download: Download) -> None:
        entry = download.entry
        try:
            async for answer in self._downloads.stream("data.download", name=entry.name, root=self.lab.data_root):
                download.arrived = answer["arrived"]
                if entry is self._entry:
                    self._show_download(download)
        except ServiceError as error:
            self._download = None
            # The data set's page shows the error; if another page or screen is visible, show it there at once.
            if entry is not self._entry or self.app.screen is not self:
                self.notify(_sentence(str(error)), severity="error", timeout=15, markup=False)
            self._set_state(entry, entry.state, str(error))
        else:
            self._download = None
            self.notify(f"{entry.title} is downloaded.", markup=False)
            self._set_state(entry, "ready")
        finally:
            await self._downloads.close()

    async def action_cancel_download(self) -> None:
        """Cancel the download and delete the partial files."""
        if self._download is None or self._downloader is None:
            return
        entry, self._download = self._download.entry, None
        self._downloader.cancel()
        await self._downloads.close()
        self.notify(f"The download of {entry.title} is cancelled.", markup=False)
        self._set_state(entry, entry.state)

    def _show_download(self, download: Download) -> None:
        seconds, total = time.monotonic() - download.started, download.entry.download_mb * 1e6
        part = min(download.arrived / total, 0.99)
        text = f"{download.arrived / 1e6:.1f} of about {total / 1e6:.0f} MB, {seconds:.0f} s"
        if part > 0.02:
            text += f", about {seconds * (1 - part) / part:.0f} s left"

        def draw(*, width: int, colour: bool, ascii_only: bool) -> str:
            title = f"Downloading {download.entry.title}" if download.arrived else "Connecting"
            bar = draw_bars(
                [("", part, f"{part:4.0%}")], width=min(width - 2, 60), colour=colour, ascii_only=ascii_only
            )
            lines = ["", title, "", bar, "", text, "", "Press x to cancel."]
            return "\n".join(f" {line}" for line in lines)

        self.query_one(Picture).show(as_high_as_it_is(draw))

    # -- runs ------------------------------------------------------------------------------------------------

    async def action_run(self) -> None:
        """Set up a run with the selected data set."""
        if self._entry is not None:
            entry = self._entry
            await self.lab.edit_spec(
                RunSpec(dataset=entry.name, pixels=entry.pixels, options=entry.options, data_root=self.lab.data_root)
            )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."
