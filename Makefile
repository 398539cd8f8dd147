# Everything from a fresh machine with python3 and make: `make demo`, `make test`, `make check`.
# With these variables, a machine with AVX-512 computes as one without it.
AVX2 = ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test test-slow test-avx2 soak lint docs check wheel package clean

demo: $(VENV)/installed  ## degradation in minutes: train, compare, report
	$(BIN)/resnet-lab sweep demo
	$(BIN)/resnet-lab compare demo
	$(BIN)/resnet-lab report demo

test: $(VENV)/installed-dev  ## every feature, in minutes
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(VENV)/installed-dev  ## slow tests that rarely fail
	$(BIN)/python -m pytest -m slow --dist loadgroup  # each launcher's cluster is started once

test-avx2: $(VENV)/installed-dev  ## all numerical tests, as on a CPU without AVX-512
	$(AVX2) $(BIN)/python -m pytest --ignore tests/report/test_page.py --ignore tests/report/test_curves.py --ignore tests/report/test_published_pages.py --ignore tests/reliability --ignore tests/sweep

soak: $(VENV)/installed-dev  ## the figures of docs/reliability.md, an hour or two; prints their table
	rm -f build/figures.jsonl && mkdir -p build
	RESNET_LAB_SOAK=1 RESNET_LAB_FIGURES=$(CURDIR)/build/figures.jsonl $(BIN)/python -m pytest tests/reliability; \
	status=$$?; $(BIN)/python -m tests.reliability.table build/figures.jsonl; exit $$status

lint: $(VENV)/installed-dev  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(VENV)/installed-dev  ## the documentation as a site: open build/site/index.html
	$(BIN)/python docs/build.py

check: lint docs test test-slow  ## to be run before each commit

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/installed

wheel: $(VENV)/installed-dev  ## a wheel that includes the presets
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	$(BIN)/python -m zipfile --list dist/*.whl | grep resnet_lab/configs/paper.toml
	$(BIN)/python -m zipfile --list dist/*.whl | grep resnet_lab/py.typed
	for part in page.html.jinja page.css page.js curves/curves.css curves/explore.js; do \
		$(BIN)/python -m zipfile --list dist/*.whl | grep resnet_lab/report/$$part || exit 1; done
	$(BIN)/python -m zipfile --list dist/*.whl | grep resnet_lab/sweep/k8s.yaml.jinja
	$(BIN)/python -m zipfile --list dist/*.whl | grep resnet_lab/sweep/slurm_array.sh.jinja

package:  ## wheel and sdist, each in an empty environment, with the Pythons 3.11 to 3.13 that are here
	bash tests/package.sh

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
