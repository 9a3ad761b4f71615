# The front door. `make` lists the targets; `make demo` goes from nothing to a validated robot.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= $(shell for p in python3.11 python3.10 python3; do $$p -c "" 2>/dev/null && echo $$p && break; done)
MIXTURE ?= mixed-25
SEED ?= 0
RUN ?= runs/arm_reach/$(MIXTURE)$(if $(filter-out 0,$(SEED)),-seed-$(SEED))
BUNDLE ?= bundles/arm_reach
REPORT ?= reports/arm_reach
DATASET = data/divo/arm_reach/$(MIXTURE)-v0
TENSORRT ?= tensorrt<11
BIN = .venv/bin
INSTALL = install() { $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -c constraints.txt "$$@" \
    | sed -un 's/^Collecting \([^ ;(]*\).*/  fetching \1/p; s/^Installing collected packages.*/  installing/p'; }
READY = .venv/.ready
TOOLS_READY = .venv/.tools-ready

.DEFAULT_GOAL := help
.PHONY: help demo figures test check format collect collect-maze collect-mixed train evaluate export controller sim validate bench bench-inference bench-timing bench-faults soak bench-train bench-d4rl benchmark one-critic candidates results referee gpu clean

help:  ## list the targets
	@echo "DIVO: from a robot's logs to a policy that acts on that robot in real time."
	@echo
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 17 | sed 's/^/  make /'
	@echo
	@echo "  Settings: MIXTURE=$(MIXTURE) SEED=$(SEED) RUN=$(RUN) BUNDLE=$(BUNDLE) REPORT=$(REPORT)"

demo:  ## everything, from nothing to a validated robot: collect, train, export, drive over ROS 2, report
	@begun=$$(date +%s); step() { echo; echo "== $$1"; shift; $(MAKE) --no-print-directory "$$@" || { \
	    echo "The demo stopped; \`make demo\` goes on from here."; exit 1; }; }; \
	  step "1/6 environment" $(READY) && \
	  step "2/6 collect: record scripted behaviours of the simulated arm" collect && \
	  step "3/6 train: DIVO, and behaviour cloning beside it" train && \
	  step "4/6 evaluate: the trained policies in the simulator" $(RUN)/evaluation/bc.json && \
	  step "5/6 export: ONNX graphs, checked against torch" export && \
	  step "6/6 validate: the ROS 2 controller drives the simulated robot" validate && \
	  $(BIN)/python -m benchmarks.demo --report $(REPORT) --run $(RUN) --seconds $$(($$(date +%s) - begun))

figures:  ## run the demo from nothing and write its numbers to docs/figures.json and the documents that quote them
	@rm -rf .venv $(RUN) $(BUNDLE) $(REPORT) $(DATASET)
	@begun=$$(date +%s); $(MAKE) --no-print-directory demo && \
	  $(BIN)/python -m benchmarks.demo --report $(REPORT) --run $(RUN) --seconds $$(($$(date +%s) - begun)) --record
	@$(BIN)/python -m benchmarks.figures fill

test: $(TOOLS_READY)  ## run all tests: a file per core, then those over real DDS, which need the cores for themselves
	$(BIN)/pytest -q -n auto --dist loadfile -m "not ros"
	$(BIN)/pytest -q -m ros

check: $(TOOLS_READY)  ## format, lint, types, import rules, spelling, figures
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell
	$(BIN)/python -m benchmarks.figures check
	$(BIN)/python -m benchmarks.results check

format: $(TOOLS_READY)  ## put the code in form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

collect: $(READY)  ## record the simulated arm's scripted behaviours into a dataset
	$(BIN)/divo-sim collect --mixture $(MIXTURE) --seed $(SEED)

collect-maze: $(READY)  ## record the simulated base's scripted behaviours in the medium maze (docs/tasks.md)
	$(BIN)/divo-sim collect --task base_maze --mixture mixed-20 --transitions 200000 --seed $(SEED)

collect-mixed: $(READY)  ## record the datasets of the published comparison: mixed and biased, arm and maze (15 minutes)
	for mixture in mixed-25 mixed-5 biased; do $(BIN)/divo-sim collect --mixture $$mixture; done
	for mixture in mixed-25 mixed-5 mixed-20; do \
	  $(BIN)/divo-sim collect --task base_maze --mixture $$mixture --transitions 200000; done

train: $(READY)  ## train DIVO, and behaviour cloning beside it, on the dataset
	$(BIN)/divo-train fit --dataset $(DATASET) --out $(RUN) --seed $(SEED)

evaluate: $(READY)  ## play the trained policies in the simulator, in process
	$(BIN)/divo-train evaluate $(RUN)

$(RUN)/evaluation/bc.json: $(RUN)/policy.safetensors
	@$(BIN)/divo-train evaluate $(RUN)

export: $(READY)  ## write the bundle (ONNX graphs, parity report, manifest) from the training run
	$(BIN)/divo-export bundle $(RUN) --out $(BUNDLE)

controller: $(READY)  ## run the ROS 2 controller node on the bundle
	$(BIN)/divo-controller --ros-args -p bundle:=$(BUNDLE) -p autostart:=true

sim: $(READY)  ## run the simulated robot on ROS 2 topics
	$(BIN)/divo-sim robot

validate: $(READY)  ## drive the simulated robot by the controller node over ROS 2 and write a report
	$(BIN)/divo-sim validate --bundle $(BUNDLE) --evaluation $(RUN)/evaluation --out $(REPORT)

bench: bench-inference bench-timing  ## measure inference, then the timing of the node, on this machine

bench-inference: $(READY)  ## measure one inference beside torch and beside its matrix products (20 minutes; INFERENCE="--record" publishes)
	$(BIN)/python -m benchmarks.inference --run $(RUN) --bundle $(BUNDLE) $(INFERENCE)

bench-timing: $(READY)  ## measure how punctual the node is, over ROS 2 (50 minutes; TIMING="--record" publishes)
	$(BIN)/python -m benchmarks.timing --bundle $(BUNDLE) $(TIMING)

bench-train: $(TOOLS_READY)  ## measure updates per second beside d3rlpy's, one core (15 minutes; TRAIN="--record" publishes)
	$(BIN)/python -m benchmarks.train_speed $(TRAIN)

referee: $(TOOLS_READY)  ## train d3rlpy's TD3+BC, IQL and ReBRAC on the same data, seeds and updates, and compare (hours)
	$(BIN)/python -m benchmarks.referee --dataset $(DATASET) $(REFEREE)

benchmark: collect-mixed $(TOOLS_READY)  ## the published comparison: record data, train, play, fill docs/results.md (most of a day; goes on after a kill)
	$(BIN)/divo-train benchmark benchmarks/mixed.yaml $(BENCHMARK)
	$(BIN)/python -m benchmarks.label_curves benchmarks/mixed.yaml
	$(MAKE) --no-print-directory results

one-critic: collect-mixed $(TOOLS_READY)  ## the same for DIVO, IDQL and IQL with one critic instead of two (an hour and the data; goes on after a kill)
	$(BIN)/divo-train benchmark benchmarks/one_critic.yaml $(BENCHMARK)
	$(MAKE) --no-print-directory results

candidates: one-critic  ## IDQL with 2 to 64 candidates and the actor with a single answer, on the networks of one-critic (half an hour more)
	$(BIN)/divo-train benchmark benchmarks/candidates.yaml $(BENCHMARK)
	$(MAKE) --no-print-directory results

results: $(READY)  ## fill docs/results.md from the committed episodes (RESULTS="--record" publishes the figures)
	$(BIN)/python -m benchmarks.results fill $(RESULTS)
	$(BIN)/python -m benchmarks.figures fill

bench-d4rl: $(TOOLS_READY)  ## the paper's 18 D4RL tasks, from D4RL's own files in D4RL=folder (weeks on a CPU; docs/d4rl.md)
	@test -n "$(D4RL)" || { echo 'error: say where the files are: make bench-d4rl D4RL=~/.d4rl/datasets'; exit 1; }
	$(BIN)/divo-train import $(D4RL) --out data/d4rl
	$(BIN)/divo-train benchmark benchmarks/d4rl.yaml

bench-faults: $(READY)  ## inject every fault into the node over ROS 2, twenty times (20 minutes; FAULTS="--record" publishes)
	$(BIN)/python -m benchmarks.faults --repeat 20 $(FAULTS)

soak: $(READY)  ## run the node for an hour at 200 Hz with random faults (docs/faults.md; SOAK="--record" publishes)
	$(BIN)/python -m benchmarks.soak --minutes 60 $(SOAK)

gpu: GPU_READY = .venv-gpu/.ready
gpu:  ## build TensorRT engines for this GPU, check and time every backend (docs/gpu.md; GPU="--precision fp16")
	@test -e $(GPU_READY) || { $(PYTHON) -m venv .venv-gpu && \
	  .venv-gpu/bin/python -m pip install --disable-pip-version-check -e '.[cuda,tensorrt]' '$(TENSORRT)' && touch $(GPU_READY); }
	.venv-gpu/bin/divo-export tensorrt $(BUNDLE) --bench $(GPU)

clean:  ## remove generated data, runs, bundles, reports and caches; the environment stays
	rm -rf data runs bundles reports .pytest_cache .mypy_cache .ruff_cache ros2_ws/build ros2_ws/install ros2_ws/log

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; ok = (3, 10) <= sys.version_info[:2] <= (3, 11); \
	  sys.exit(0 if ok else f"error: DIVO needs Python 3.10 or 3.11 (PyBullet has no wheels for others)\n  got: {sys.version.split()[0]}\n  fix: install python3.11, or make PYTHON=/path/to/python3.11")'
	@echo "Installing into .venv (one to three minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	  { echo "error: cannot create .venv; on Debian and Ubuntu install the package python3-venv"; exit 1; }
	@$(INSTALL); install torch && install -e '.[ort,litert,record,bags,ros,sim,train,export]'
	@touch $@

# What tests and checks need beside it; the demo does without.
$(TOOLS_READY): $(READY)
	@echo "Installing the tools for tests and checks into .venv (one or two minutes)"
	@$(INSTALL); install -e '.[d4rl,leapp,dev]'
	@touch $@
