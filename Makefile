# Thin: each target is one command that also works by hand in the activated venv (. .venv/bin/activate).
STUDY ?=
PRESET ?=
DATA ?=
CORES ?= 2
SHARE_GPU ?=
PYTHON ?= python3.11
CONFIG = $(strip $(if $(STUDY),study=$(STUDY)) $(if $(PRESET),preset=$(PRESET)) $(if $(DATA),data_root="$(DATA)"))
VENV = PATH="$(CURDIR)/.venv/bin:$$PATH"
PIP_COMPILE = pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

.PHONY: help report data update plan audit crate publish compare pictures test test-cluster bench lock amend relock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  Variables: STUDY=MS1_min_snr PRESET=digits|mnist|cifar10|… DATA=folder-of-datasets CORES=2 SHARE_GPU=yes"

report: .venv/installed ## run the whole study and print the verdict and the report's path
	@$(VENV) $(if $(SHARE_GPU),python -m workflow_scripts.tools.share_gpu --) snakemake --cores $(CORES) $(if $(CONFIG),--config $(CONFIG))

data: .venv/installed ## prepare and verify the dataset of PRESET, below the folder DATA, and nothing else
	@$(VENV) snakemake data --cores $(CORES) $(if $(CONFIG),--config $(CONFIG))

update: .venv/installed ## as `make report`, but a rebuilt file with the bytes it had runs nothing after it
	@$(VENV) python -m workflow_scripts.tools.update --cores $(CORES) $(if $(CONFIG),--config $(CONFIG))

plan: .venv/installed ## say what `make report` would run, why, and what it costs, and run nothing
	@$(VENV) python -m workflow_scripts.tools.plan --cores $(CORES) $(if $(CONFIG),--config $(CONFIG))

audit: .venv/installed ## verify every computed file: AUDIT_PATH=one-of-them for its lineage
	@$(VENV) python -m workflow_scripts.tools.audit $(if $(AUDIT_PATH),"$(AUDIT_PATH)") $(if $(CONFIG),--config $(CONFIG))

crate: .venv/installed ## pack the finished study as an RO-Crate, with hashes
	@$(VENV) python -m workflow_scripts.tools.crate $(if $(CONFIG),--config $(CONFIG))

test: .venv/installed-test ## run every test
	@$(VENV) python -m pytest tests --numprocesses $(CORES)

publish: .venv/installed ## write the preregistered preset's summary of STUDY into docs/experiments (refuses rehearsals)
	@$(VENV) python -m workflow_scripts.tools.publish $(if $(STUDY),--study $(STUDY)) $(if $(PRESET),--preset $(PRESET))

test-cluster: .venv/installed-test ## run the smoke study through a real SLURM on this machine (installs slurm-wlm, as root)
	@tests/install_packages.sh slurm-wlm
	@$(VENV) python -m pytest tests/cluster

bench: .venv/installed-bench ## time it side by side with what else would be used, and write docs/benchmarks.md (an hour; let nothing else run)
	@$(VENV) python tests/benchmarks/run_benchmarks.py

compare: .venv/installed ## put two reports side by side: A=… B=… (STUDY/PRESET here, or the path of a results or report folder)
	@$(VENV) python -m workflow_scripts.tools.compare "$(A)" "$(B)"

pictures: .venv/installed ## renew the README's rule graph, and its figure from a finished run of the default study
	@$(VENV) python -m workflow_scripts.tools.pictures

lock: .venv/installed ## lock the preregistrations and every arm's settings
	@$(VENV) python -m workflow_scripts.tools.lock lock $(if $(STUDY),--study $(STUDY))

amend: .venv/installed ## record a change to what is locked: REASON="..." RESULTS_SEEN=yes|no
	@$(VENV) python -m workflow_scripts.tools.lock amend $(if $(STUDY),--study $(STUDY)) --reason "$(REASON)" --results-seen "$(RESULTS_SEEN)"

relock: .venv/installed ## resolve envs/*.in into envs/*.lock again (needs pip-tools)
	@.venv/bin/pip install --quiet pip-tools
	@cd envs && ../.venv/bin/$(PIP_COMPILE) --output-file requirements.lock requirements.in
	@cd envs && ../.venv/bin/$(PIP_COMPILE) --output-file requirements-test.lock requirements-test.in
	@cd envs && ../.venv/bin/$(PIP_COMPILE) --output-file bench.lock bench.in

clean: ## delete the results and the report of STUDY and PRESET (both must be named)
	@test -n "$(STUDY)" -a -n "$(PRESET)" || { echo "error: name what to delete: make clean STUDY=... PRESET=..." >&2; exit 2; }
	@rm -rf "results/$(STUDY)/$(PRESET)" "reports/$(STUDY)/$(PRESET)"

.venv/installed: envs/requirements.lock
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@echo "installing envs/requirements.lock into .venv (about 5 GB; a minute or more)"
	@.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r envs/requirements.lock
	@touch $@

.venv/installed-test: .venv/installed envs/requirements-test.lock
	@echo "installing envs/requirements-test.lock into .venv"
	@.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r envs/requirements-test.lock
	@touch $@

.venv/installed-bench: .venv/installed envs/bench.lock
	@echo "installing envs/bench.lock into .venv"
	@.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r envs/bench.lock
	@touch $@
