# `make help` lists the targets. Every target sets up the virtual environment first if need be.

ROS ?= jazzy
VENV ?= $(if $(filter jazzy,$(ROS)),.venv,.venv-$(ROS))
PYTHON ?= python3
CONSTRAINTS ?=
BIN := $(VENV)/bin

# A ROS installation sourced in this shell, or another environment's start-up marker, would shadow our own packages.
unexport PYTHONPATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE

.DEFAULT_GOAL := help
.PHONY: help setup demo bench test test-robot lint format check-resolution clean distclean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: ## make the virtual environment (ROS=jazzy|kilted, PYTHON=python3)
	@ROS="$(ROS)" VENV="$(VENV)" PYTHON="$(PYTHON)" CONSTRAINTS="$(CONSTRAINTS)" tools/setup.sh

demo: setup ## hear and see a room: [RGBD=dir SOURCE=name SOUND=wav ARRAY=cube8 SEED=0]
	$(BIN)/echoseg demo --out results/demo $(if $(RGBD),--rgbd "$(RGBD)") $(if $(SOURCE),--source="$(SOURCE)") \
	    $(if $(SOUND),--sound "$(SOUND)") $(if $(ARRAY),--array "$(ARRAY)") $(if $(SEED),--seed "$(SEED)")

bench: setup ## print a benchmark and write results/bench/NAME.json (NAME=map|sound|segment|ros)
	$(BIN)/echoseg bench $(or $(NAME),sound)

test: lint ## lint, type check and tests
	$(BIN)/pytest -q $(TESTS)

test-robot: ## the tests with the packages of a robot: numpy 1.26, OpenCV 4
	@$(MAKE) --no-print-directory setup VENV=.venv-robot CONSTRAINTS=constraints-robot.txt
	.venv-robot/bin/pytest -q $(TESTS)

# mypy and import-linter find the package echoseg_sim by its name only through a folder of that name.
lint: setup ## ruff, mypy --strict, layers, dead code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p build/types && ln -sfn ../../sim build/types/echoseg_sim
	$(BIN)/mypy echoseg_ros build/types/echoseg_sim tests tools
	PYTHONPATH=build/types $(BIN)/lint-imports --no-logo --cache-dir build/import_linter
	$(BIN)/vulture

format: setup ## rewrite the code as ruff likes it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check-resolution: setup ## do the pinned packages exist for the Pythons we name?
	@VENV="$(VENV)" tools/check_resolution.sh

clean: ## remove what building and testing leaves behind
	rm -rf build install log dist *.egg-info .mypy_cache .pytest_cache .ruff_cache results/demo
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean ## the same, and the virtual environments
	rm -rf .venv .venv-*
