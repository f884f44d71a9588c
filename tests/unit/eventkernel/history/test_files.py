"""A history is the same after it was saved and loaded, and what a killed client did not finish is there as a question."""

import gc
from pathlib import Path
from uuid import uuid4

from eventkernel.testing.counter import new_counter
from eventkernel.testing.history import History, Outcome, Recorder, check
from eventkernel.testing.history.samples import sound


def ordered(history: History) -> History:
    history.writes.sort(key=lambda write: write.called_at)
    history.reads.sort(key=lambda read: read.called_at)
    return history


def test_a_saved_history_is_loaded_as_it_was(tmp_path: Path) -> None:
    sound().save(tmp_path / "history.jsonl")
    assert ordered(History.load(tmp_path / "history.jsonl")) == ordered(sound())


def test_several_recorders_make_one_history(tmp_path: Path) -> None:
    stream, command = new_counter(), uuid4()
    files = [tmp_path / name for name in ("a", "b")]
    recorders = [Recorder(file) for file in files]
    recorders[0].write(stream, command, client="a").ok(1)
    recorders[1].read(stream, client="b").saw(1, [])
    for recorder in recorders:
        recorder.close()
    history = History.load(*files)
    assert [write.outcome for write in history.writes] == [Outcome.OK]
    assert history.reads[0].called_at > history.writes[0].called_at
    assert [read.version for read in history.reads] == [1]


def test_a_call_without_an_answer_is_unknown_and_a_line_that_was_cut_off_is_none(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    stream, recorder = new_counter(), Recorder(file)
    recorder.write(stream, uuid4(), expected=0)
    recorder.read(stream)
    recorder.write(stream, uuid4()).ok(1)
    recorder.close()
    file.write_text(file.read_text()[:-9])
    history = History.load(file)
    assert [(write.outcome, write.returned_at) for write in history.writes] == [(Outcome.UNKNOWN, None)] * 2
    assert history.reads == []
    assert check(history) == []


def test_operations_of_recorders_that_lived_one_after_the_other_have_names_of_their_own() -> None:
    stream = new_counter()
    names = set()
    for _ in range(50):  # Each may stand where the one before it stood in memory.
        recorder = Recorder()
        recorder.read(stream).saw(0, [])
        names |= {read.operation for read in recorder.history().reads}
        del recorder
        gc.collect()
    assert len(names) == 50
