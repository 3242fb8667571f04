# Each target is one command that also works by hand in the activated venv (. .venv/bin/activate).
STUDY ?=
PRESET ?=
DATA ?=
PILOT ?=
CORES ?= 2
# The newest supported Python that is installed; PYTHON=… chooses another.
PYTHON ?= $(shell for version in 3.13 3.12 3.11; do python$$version -c '' 2>/dev/null && echo python$$version && break; done)
# Memory that jobs may claim together: what is free. MEM_MB= lifts the limit.
MEM_MB ?= $(shell awk '/^MemAvailable:/ {print int($$2 / 1024)}' /proc/meminfo 2>/dev/null)
ifneq ($(filter-out yes no,$(PILOT)),)
$(error PILOT is yes or no, not $(PILOT))
endif
CONFIG = $(strip $(if $(STUDY),study=$(STUDY)) $(if $(PRESET),preset=$(PRESET)) $(if $(PILOT),pilot=$(PILOT)) $(if $(DATA),data_root="$(DATA)"))
OPTIONS = $(if $(MEM_MB),--resources mem_mb=$(MEM_MB)) --cores $(CORES) $(if $(CONFIG),--config $(CONFIG))
VENV = PATH="$(CURDIR)/.venv/bin:$$PATH"
TOOL = $(VENV) python -m workflow_scripts.tools
PIP_INSTALL = .venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r
PIP_COMPILE = pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

# Tools are the project's own modules, whatever the environment says.
unexport PYTHONSAFEPATH

ifdef SHARE_GPU
$(error SHARE_GPU was removed; docs/gpu.md shows how to share a GPU with nvidia-cuda-mps-control)
endif

.PHONY: help report data update plan power audit crate publish compare test quick lint test-cluster bench lock amend relock clean pictures

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  Variables: STUDY=MS1_min_snr PRESET=a-file-in-config/study/STUDY/presets PILOT=yes DATA=folder-of-datasets CORES=2 MEM_MB=memory PYTHON=python3.12"

report: .venv/installed ## run the whole study; print the verdict and the report's path
	@$(VENV) snakemake $(OPTIONS)

data: .venv/installed ## only prepare and verify the dataset of PRESET, in the folder DATA
	@$(VENV) snakemake data $(OPTIONS)

update: .venv/installed ## as `make report`, but skip steps whose inputs are byte-identical
	@$(TOOL).update --cores $(CORES) $(if $(CONFIG),--config $(CONFIG))

plan: .venv/installed ## say what `make report` would run, why, and how long it takes; run nothing
	@$(TOOL).plan --cores $(CORES) $(if $(CONFIG),--config $(CONFIG))

audit: .venv/installed ## verify every computed file; AUDIT_PATH=FILE prints the lineage of one
	@$(TOOL).audit $(if $(AUDIT_PATH),"$(AUDIT_PATH)") $(if $(CONFIG),--config $(CONFIG))

power: .venv/installed ## say how many seeds and samples decide each hypothesis, from a finished run or a pilot (PILOT=yes)
	@$(TOOL).power $(if $(CONFIG),--config $(CONFIG))

crate: .venv/installed ## pack the finished study as an RO-Crate, with hashes
	@$(TOOL).crate $(if $(CONFIG),--config $(CONFIG))

publish: .venv/installed ## copy the preregistered preset's summary into docs/experiments (refuses rehearsals)
	@$(TOOL).publish $(if $(STUDY),--study $(STUDY)) $(if $(PRESET),--preset $(PRESET))

compare: .venv/installed ## compare two reports: A=… B=… (STUDY/PRESET here, or a results or report folder)
	@$(TOOL).compare "$(A)" "$(B)"

lock: .venv/installed ## lock the preregistrations and every arm's settings, at the preregistered preset
	@$(TOOL).lock lock $(if $(STUDY),--study $(STUDY))

amend: .venv/installed ## record a change to what is locked: REASON="..." RESULTS_SEEN=yes|no
	@$(TOOL).lock amend $(if $(STUDY),--study $(STUDY)) --reason "$(REASON)" --results-seen "$(RESULTS_SEEN)"

test: .venv/installed-test ## run every test
	@echo "running every test: about 25 minutes on 2 free cores, 35 on busy ones (or: make quick)"
	@$(VENV) python -m pytest tests --numprocesses $(CORES)

quick: .venv/installed-test ## run the unit tests that take no longer than a few seconds each
	@$(VENV) python -m pytest tests/unit -m "not slow" --numprocesses $(CORES)

lint: .venv/installed-test ## check style, formatting, imports between packages and the workflow
	@$(VENV) ruff check .
	@$(VENV) ruff format --check .
	@$(VENV) snakefmt --check --line-length 110 Snakefile rules
	@$(VENV) lint-imports --no-cache
	@$(VENV) python tests/lint_workflow.py

test-cluster: .venv/installed-test ## run the smoke study through a real SLURM on this machine (installs slurm-wlm, as root)
	@tests/install_packages.sh slurm-wlm
	@$(VENV) python -m pytest tests/cluster

bench: .venv/installed-bench ## time the pipeline beside diffusers and others; write docs/benchmarks.md (an hour; run nothing else)
	@$(VENV) python tests/benchmarks/run_benchmarks.py

relock: .venv/installed ## resolve envs/*.in into envs/*.lock again (installs pip-tools into .venv)
	@.venv/bin/pip install --quiet pip-tools
	@cd envs && for name in requirements requirements-test bench; do ../.venv/bin/$(PIP_COMPILE) --output-file $$name.lock $$name.in; done

clean: ## delete the results and the report of STUDY and PRESET (give both), or with PILOT=yes of its pilot
	@test -n "$(STUDY)" -a -n "$(PRESET)" || { echo "error: name what to delete: make clean STUDY=... PRESET=..." >&2; exit 2; }
	@rm -rf $(foreach folder,results reports,"$(folder)/$(STUDY)/$(PRESET)$(if $(filter yes,$(PILOT)),_pilot)")

pictures:
	@echo "error: make pictures was removed; copy reports/<STUDY>/<PRESET>/figures/frechet_vs_nfe.png to docs/images/" >&2; exit 2

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11, 3.12 or 3.13 found; install one, or name it: make PYTHON=/path/to/python3.12 …" >&2; exit 2; }
	@$(PYTHON) -m venv .venv

.venv/installed: envs/requirements.lock | .venv/bin/python
	@echo "installing envs/requirements.lock into .venv (about 5 GB; a minute or more)"
	@$(PIP_INSTALL) envs/requirements.lock
	@touch $@

.venv/installed-test: .venv/installed envs/requirements-test.lock
	@echo "installing envs/requirements-test.lock into .venv"
	@$(PIP_INSTALL) envs/requirements-test.lock
	@touch $@

.venv/installed-bench: .venv/installed envs/bench.lock
	@echo "installing envs/bench.lock into .venv"
	@$(PIP_INSTALL) envs/bench.lock
	@touch $@
