# Walrus: `make run` starts a local three-node cluster, `make test` runs the tests.
# Everything Python goes through .venv, which scripts/setup.sh makes and keeps up to date.

BIN := .venv/bin
DATA ?= data
SEEDS ?= 10000
FUZZ_SECONDS ?= 60
STATES ?= 1000000
ROUNDS ?= 20
# Looked up only when a cluster-* target runs: Compose is a plugin here, a program of its own there.
COMPOSE = $(shell if docker compose version >/dev/null 2>&1; then echo docker compose; else echo docker-compose; fi)
IMAGE := distributed-walrus-node

.DEFAULT_GOAL := help
.PHONY: help run setup dev test test-docker lint format sim planted explore bench failover network-faults storage startup \
        fuzz nightly clean cluster-up cluster-bootstrap cluster-down cluster-restart cluster-logs cluster-clean

help: ## say what there is to make
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

run: setup ## start a three-node cluster on ports 9091 to 9093; Ctrl-C stops it
	@exec $(BIN)/python -m walrus.cli.local_cluster --data-dir $(DATA)

setup: ## make .venv and install Walrus and its commands into it
	@scripts/setup.sh

dev: ## the same with what tests and checks need
	@scripts/setup.sh dev

test: dev ## run the tests
	@$(BIN)/python -m pytest -n 3 tests

test-docker: dev ## run the tests that build the image and start containers
	@WALRUS_TEST_DOCKER=1 $(BIN)/python -m pytest tests/docker

lint: dev ## style, formatting, types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: dev ## rewrite the sources in the project's format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

sim: setup ## a small campaign of the simulator
	@$(BIN)/walrus-sim --seeds 1..200 --nodes 3
	@$(BIN)/walrus-sim --seeds 1..50 --nodes 5

planted: dev ## how many seeds the simulator takes to find each of many known bugs; hours (BUGS="name 7", SEEDS=300)
	@$(BIN)/python -m fuzz.planted --seeds $(SEEDS) --shrink-to build/shrunk \
	    --table fuzz/planted/RESULTS.md $(BUGS)

explore: dev ## every interleaving of small scopes, and which clause taken out each catches; minutes (SCOPES="write growth")
	@$(BIN)/python -m fuzz.explore --bugs --max-states $(STATES) --table fuzz/explore/RESULTS.md $(SCOPES)

bench: setup ## PUT throughput and latency of a three-node cluster of its own
	@$(BIN)/walrus-bench --spawn

failover: setup ## how long writes stall after kill -9 of a segment's leader (ROUNDS=50)
	@$(BIN)/python benchmarks/failover.py --rounds $(ROUNDS)

network-faults: setup ## what a failing network costs, fault by fault, and that no record is lost; as root
	@$(BIN)/python benchmarks/network_faults.py

storage: setup ## the storage drivers side by side on this disk, as ratios to plain writes and to the device
	@$(BIN)/python benchmarks/storage.py

startup: setup ## how long a node takes to start on 10, 10,000 and 100,000 sealed segments
	@$(BIN)/python benchmarks/startup.py

fuzz: dev ## random bytes into every codec and recovery path, for a minute (FUZZ_SECONDS=3600: for an hour)
	@$(BIN)/python -m fuzz.run --seconds $(FUZZ_SECONDS)

nightly: dev ## the state machines at length, then fuzzing for half an hour; an hour or two in all
	@HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -n 2 tests/machines
	@$(BIN)/python -m fuzz.run --seconds 1800

clean: ## delete the local cluster's data
	@scripts/clean.sh $(DATA)

cluster-up: ## build the image and start three containers
	$(COMPOSE) up --build -d

cluster-bootstrap: ## wait until the containers form one cluster
	@docker exec walrus-1 /opt/walrus/bin/python -m walrus.cli.probe --voters 1,2,3 \
	    node1:9091 node2:9092 node3:9093

cluster-down: ## stop and remove the containers; their data stays in test_data
	$(COMPOSE) --profile hotjoin down --remove-orphans

cluster-restart: ## stop the containers and start them again on the same data
	$(COMPOSE) restart

cluster-logs: ## follow the containers' logs
	$(COMPOSE) logs -f

cluster-clean: cluster-down ## the same as cluster-down, and delete their data
	@rm -rf test_data test_data_rollover 2>/dev/null || \
	    docker run --rm -v "$(CURDIR):/host" --entrypoint /bin/rm $(IMAGE) -rf /host/test_data /host/test_data_rollover
