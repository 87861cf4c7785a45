"""The notebook runs from its first cell to its last, in a kernel of its own."""

import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "from_sweep_to_verdict.ipynb"


@pytest.mark.slow
@pytest.mark.vocabulary
def test_the_notebook_goes_from_a_sweep_to_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "not installed: pip install -e '.[dev]'"
    nbformat, nbclient = (pytest.importorskip(name, reason=reason) for name in ("nbformat", "nbclient"))
    manager = pytest.importorskip("ipykernel.kernelspec", reason=reason)
    # the kernel of this very environment, whatever others the machine knows
    spec = manager.write_kernel_spec(str(tmp_path / "kernels" / "tested"), overrides={"display_name": "tested"})
    monkeypatch.setenv("JUPYTER_PATH", str(Path(spec).parents[1]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "numbers stand in records, not in the notebook"
    work = tmp_path / "work"
    work.mkdir()
    nbclient.NotebookClient(
        notebook, timeout=240, kernel_name="tested", resources={"metadata": {"path": str(work)}}
    ).execute()
    outputs: list[Any] = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    said = "".join(output.get("text", "") + str(output.get("data", {}).get("text/plain", "")) for output in outputs)
    assert "position=middle" in said and "mean" in said and "REPRODUCED" in said
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert len(list((work / "outputs" / "quickstart").iterdir())) == 6
    assert str(sys.executable) in (Path(spec) / "kernel.json").read_text()
