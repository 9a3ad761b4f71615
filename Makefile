# The front door. `make` lists the targets; `make demo` goes from nothing to a validated robot.
PYTHON ?= $(shell command -v python3.11 || command -v python3.10 || echo python3)
MIXTURE ?= mixed-25
SEED ?= 0
RUN ?= runs/arm_reach/$(MIXTURE)
BUNDLE ?= bundles/arm_reach
REPORT ?= reports/arm_reach
DATASET = data/divo/arm_reach/$(MIXTURE)-v0
BIN = .venv/bin
READY = .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test check format collect train evaluate export controller sim validate bench clean

help:  ## list the targets
	@echo "DIVO: from a robot's logs to a policy that acts on that robot in real time."
	@echo
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14 | sed 's/^/  make /'
	@echo
	@echo "  Settings: MIXTURE=$(MIXTURE) SEED=$(SEED) RUN=$(RUN) BUNDLE=$(BUNDLE) REPORT=$(REPORT)"

demo: $(READY)  ## everything, from nothing to a validated robot: collect, train, export, drive over ROS 2, report
	@$(BIN)/python -m benchmarks.demo --mixture $(MIXTURE) --seed $(SEED) --run $(RUN) --bundle $(BUNDLE) --report $(REPORT)

test: $(READY)  ## run all tests, ROS and simulator included
	$(BIN)/pytest -q

check: $(READY)  ## format, lint, types, import rules, spelling, figures
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell

format: $(READY)  ## put the code in form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

collect: $(READY)  ## record the simulated arm's scripted behaviours into a dataset
	$(BIN)/divo-sim collect --mixture $(MIXTURE) --seed $(SEED)

train: $(READY)  ## train DIVO, and behaviour cloning beside it, on the dataset
	$(BIN)/divo-train fit --dataset $(DATASET) --out $(RUN) --seed $(SEED)

evaluate: $(READY)  ## play the trained policies in the simulator, in process
	$(BIN)/divo-train evaluate $(RUN)

export: $(READY)  ## write the bundle (ONNX graphs, parity report, manifest) from the training run
	$(BIN)/divo-export bundle $(RUN) --out $(BUNDLE)

controller: $(READY)  ## run the ROS 2 controller node on the bundle
	$(BIN)/divo-controller --ros-args -p bundle:=$(BUNDLE) -p autostart:=true

sim: $(READY)  ## run the simulated robot on ROS 2 topics
	$(BIN)/divo-sim robot

validate: $(READY)  ## drive the simulated robot by the controller node over ROS 2 and write a report
	$(BIN)/divo-sim validate --bundle $(BUNDLE) --evaluation $(RUN)/evaluation --out $(REPORT)

bench: $(READY)  ## measure inference on this machine
	$(BIN)/divo-runtime bench $(BUNDLE)

clean:  ## remove generated data, runs, bundles, reports and caches; the environment stays
	rm -rf data runs bundles reports .pytest_cache .mypy_cache .ruff_cache ros2_ws/build ros2_ws/install ros2_ws/log

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; ok = (3, 10) <= sys.version_info[:2] <= (3, 11); \
	  sys.exit(0 if ok else f"error: DIVO needs Python 3.10 or 3.11 (PyBullet has no wheels for others)\n  got: {sys.version.split()[0]}\n  fix: install python3.11, or make PYTHON=/path/to/python3.11")'
	@echo "Installing into .venv (two to four minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	  { echo "error: cannot create .venv; on Debian and Ubuntu install the package python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -q -c constraints.txt torch
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -q -c constraints.txt -e '.[ort,ros,sim,train,export,dev]'
	@touch $@
