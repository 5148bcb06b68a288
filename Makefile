# Everything needs Python 3.11 or newer with venv, and make. The first run sets up .venv.
VENV := .venv
PYTHON ?= python3
RUN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check format bench big-day soak damage files-study warm-study idle-study truth-study ledger-study gallery lock clean

demo: $(READY) ## post a map in a simulated Discord, save its images under out/, stay open on a terminal
	$(RUN)/python -m bot playground --out out

test: $(READY) ## run the tests, with branch coverage
	$(RUN)/pytest -n auto --dist worksteal --cov --cov-report=term

check: $(READY) ## lint, types, layers, Dockerfile
	$(RUN)/ruff check
	$(RUN)/ruff format --check
	$(RUN)/mypy
	$(RUN)/lint-imports --no-logo
	$(RUN)/hadolint Dockerfile

format: $(READY) ## put the code into its form
	$(RUN)/ruff check --fix
	$(RUN)/ruff format

bench: $(READY) ## measure speed and memory, and print a table
	$(RUN)/python -m tests.benchmarks

big-day: $(READY) ## store a day of 10 million trades of each exchange, and print its time and memory
	$(RUN)/python -m tests.benchmarks.big_day

soak: $(READY) ## ten minutes of 500 subscriptions by a fast clock, with kills and faults
	$(RUN)/python -m tests.soak

truth-study: $(READY) ## compare maps with the simulated market's truth, and print the tables of docs/design.md
	$(RUN)/python -m tests.studies

files-study: $(READY) ## count the files and bytes that recording 600 quiet markets takes a day
	$(RUN)/python -m tests.studies.files

warm-study: $(READY) ## how soon warm markets are filled and drawn, and what a day of them costs
	$(RUN)/python -m tests.studies.warm

idle-study: $(READY) ## ten minutes of a bot that has nothing to do: its share of a core
	$(RUN)/python -m tests.studies.idle

damage: $(READY) ## damage the files of a store 2,000 times: the clean result or a sentence each time
	LIQMAP_DAMAGE_TRIALS=2000 $(RUN)/pytest tests/liqmap/test_damage.py tests/liqmap/store/test_faults.py

ledger-study: $(READY) ## put the ledger into invented markets, and print what it finds there
	$(RUN)/python -m tests.accuracy

gallery: $(READY) ## draw the pictures of README and /help again
	rm -f docs/gallery/*.png
	for selection in "top_n 100" "gross_value 100k" "portion 1%"; do \
		$(RUN)/python -m liqmap BTCUSDT 24h $$selection --end "2023-08-02 06:00" \
			--simulated --heatmap --out docs/gallery || exit 1; \
	done
	cp docs/gallery/*_top_n_100.png bot/pictures/map.png
	cp docs/gallery/*_top_n_100_depth.png bot/pictures/depth.png
	cp docs/gallery/*_top_n_100_heatmap.png bot/pictures/heatmap.png

lock: $(READY) ## pin every dependency with its hashes again
	$(RUN)/uv pip compile $(LOCK) --output-file requirements-build.lock --group build
	$(RUN)/uv pip compile $(LOCK) --output-file requirements.lock pyproject.toml
	$(RUN)/uv pip compile $(LOCK) --output-file requirements-dev.lock --all-extras pyproject.toml
LOCK := --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header

clean: ## remove what the other targets have made
	rm -rf $(VENV) out build dist .coverage .*_cache

# The package itself is built by what the lock has put there, not by what pip would fetch for it.
INSTALL := $(RUN)/pip install --quiet --disable-pip-version-check --no-deps
$(READY): pyproject.toml requirements-build.lock requirements-dev.lock
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --require-hashes -r requirements-build.lock
	$(INSTALL) --require-hashes -r requirements-dev.lock
	$(INSTALL) --no-build-isolation --editable .
	touch $@
