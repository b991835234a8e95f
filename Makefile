# Everything runs from a virtual environment that the first target builds by itself.
#
#   make study                 rank samplers on the handwritten digits; results in study/
#   make study DATA=folder     the same for a folder of images (NFE=5,8,10,20 and OUT=study may be given too)
#   make test                  all tests, then the notebooks
#   make test-full             the slow checks as well
#   make test-peers            compare with the codes of other authors, which are fetched into .peers
#   make bench                 time samplers, here and in other libraries; tables in tests/benchmarks/cpu (DEVICE=cuda)
#   make gains                 design for digits and patches, and hold the plans against all samplers; tests/benchmarks/gains.csv
#   make lint                  ruff and pyright
#   make notebooks             run the notebooks again and keep their outputs
#   make gpu                   the bench on a GPU, tables in tests/benchmarks/cuda; then the notebooks on images at full size,
#                              tables and footers in notebooks/full-size
#   make lab                   open them in JupyterLab
#   make docs                  all of this as a book to read in a browser, without a network: build/book/html/index.html
#   make lock                  compute constraints.txt again (make lock UPGRADE=1 moves every pin but torch)
#   make clean                 remove the environment and the caches, never results
#
# An NVIDIA driver too old for the default CUDA build of torch: install another build of the same version first,
#   python3 -m venv .venv && .venv/bin/pip install torch==2.13.0 --index-url INDEX-OF-THAT-BUILD && make study

PYTHON ?= python3
VENV   ?= .venv
EXTRAS ?= lab,interop,images,dev
DATA   ?= digits
NFE    ?= 5,8,10,20
OUT    ?= study
PEERS  ?= .peers
BOOK   ?= build/book
DEVICE ?= cpu

TORCH  := 2.13.0
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
SPHINX := $(VENV)/.docs
PYTEST := $(PY) -m pytest -q
# one process per core, each with whole files, whose fixtures are shared (tests/conftest.py says which are apart)
SPREAD := -n auto --dist loadscope

.DEFAULT_GOAL := study
.DELETE_ON_ERROR:
.PHONY: study test test-full test-peers bench gains lint notebooks gpu lab docs lock clean

study: $(STAMP)
	@$(PY) -m diffnum study "$(DATA)" --nfe "$(NFE)" --out "$(OUT)"

# One thread: on few cores the barriers of a second one cost more than it brings, by up to a factor of hundreds.
test test-full notebooks: export OMP_NUM_THREADS := 1
test test-full notebooks: export MPLBACKEND := Agg

# Two calls, since loading nbval costs every run about two seconds; a notebook stays in one process.
test: $(STAMP)
	@$(PYTEST) -p no:nbval $(SPREAD)
	@$(PYTEST) -n auto --dist loadfile --nbval-lax --nbval-current-env notebooks

# Its last line and the commit go into the README.
test-full: SHELL := bash
test-full: .SHELLFLAGS := -o pipefail -ec
test-full: $(SPHINX)
	@$(PYTEST) -p no:nbval $(SPREAD) -m "full or not full" --timeout=3600 | tee .full.part
	@$(PYTEST) -n auto --dist loadfile --nbval-lax --nbval-current-env notebooks
	@$(PY) -m diffnum.lab.readme "$$(tail -n 1 .full.part)" && rm .full.part

# The samplers of packages and papers that are not installed here: their codes are fetched into a folder of their own.
test-peers: export OMP_NUM_THREADS := 1
test-peers: export DIFFNUM_PEERS := $(abspath $(PEERS))
test-peers: $(STAMP) $(PEERS)/.fetched
	@$(PYTEST) -p no:nbval -m "full or not full" tests/test_same_azula.py tests/test_same_authors.py tests/test_same_sigma_codes.py \
	    tests/test_same_churn_codes.py tests/test_same_stochastic_sigma.py tests/test_peer_tables.py \
	    tests/test_lift_peers.py

$(PEERS)/.fetched: tests/peers_authors.py $(STAMP)
	@mkdir -p $(PEERS)
	@PYTHONPATH=tests $(PY) -c 'import peers_authors as p; print(*map(" ".join, p.COMMITS.items()), sep="\n")' | \
	while read repository commit; do \
	    clone=$(PEERS)/$${repository#*/}; \
	    git init -q $$clone && git -C $$clone fetch -q --depth 1 https://github.com/$$repository $$commit && \
	    git -C $$clone checkout -q FETCH_HEAD || exit 1; \
	done
	@$(PY) -m pip install -qq --disable-pip-version-check --no-deps --upgrade --target $(PEERS)/site \
	    $$(PYTHONPATH=tests $(PY) -c 'import peers_authors as p; print(*p.PACKAGES)')
	@touch $@

# A quarter of an hour, a minute of it for all certificates. k-diffusion and azula take part once make test-peers has fetched them.
bench: export OMP_NUM_THREADS := 1
bench: export MPLBACKEND := Agg
bench: export DIFFNUM_PEERS := $(or $(DIFFNUM_PEERS),$(if $(wildcard $(PEERS)/.fetched),$(abspath $(PEERS))))
bench: $(STAMP)
	@$(PYTEST) -p no:nbval -p benchmark -o python_files='bench_*.py' -W ignore::DeprecationWarning --benchmark-timer=time.process_time \
	    --benchmark-max-time=0.1 --benchmark-columns=min,median,rounds --benchmark-group-by=group tests/benchmarks
	@$(PY) -m diffnum.lab.bench --device $(DEVICE) --out tests/benchmarks/$(DEVICE)

# About two hours of one core; what the table holds already is kept, and it is written after every case.
gains: export OMP_NUM_THREADS := 1
gains: $(STAMP)
	@$(PY) -m diffnum.lab.gains
	@$(PY) -m diffnum.lab.readme gains

lint: $(STAMP)
	@$(PY) -m ruff check .
	@$(PY) -m pyright --pythonpath $(PY)

notebooks: $(STAMP)
	@$(PY) -m nbconvert --log-level=WARN --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False \
	    --ExecutePreprocessor.store_widget_state=False notebooks/*.ipynb
	@$(PY) -m diffnum.lab.gallery

gpu: $(STAMP)
	@$(PY) -m diffnum.lab.bench --device cuda --out tests/benchmarks/cuda
	@$(PY) -m diffnum.lab.fullsize --device cuda

lab: $(STAMP)
	@$(PY) -m jupyterlab notebooks

docs: $(SPHINX)
	@MPLBACKEND=Agg $(PY) -m diffnum.lab.book "$(BOOK)"

# Universal pins: markers cover every platform and Python from 3.11 on. torch is pinned without a local version, so
# that 2.13.0, 2.13.0+cpu and 2.13.0+cu126 all satisfy it.
lock: $(STAMP)
	@$(PY) -m pip install -qq --disable-pip-version-check uv
	@echo "torch==$(TORCH)" | $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --all-extras \
	    --no-annotate --no-header $(if $(UPGRADE),--upgrade) -c - pyproject.toml -o constraints.txt
	@grep -v -E '^(-e|diffnum)' constraints.txt > constraints.part && mv constraints.part constraints.txt

clean:
	rm -rf $(VENV) .cache .pytest_cache .ruff_cache .hypothesis build dist
	find diffnum theory tests notebooks -name __pycache__ -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(f"Python {sys.version.split()[0]} is too old: diffnum needs 3.11 or newer (make PYTHON=python3.11 ...)" if sys.version_info < (3, 11) else 0)'
	@echo "Installing the pinned dependencies into $(VENV): once, about two minutes and 2 GB"
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

# Only a book needs sphinx: it comes with the first one, not with the environment.
$(SPHINX): $(STAMP)
	@$(PY) -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@
