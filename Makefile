PYTHON ?= python

.PHONY: install lint test test-browser bench docs links reproduce

install:  ## an editable installation with everything that development needs
	$(PYTHON) -m pip install -c constraints.txt -e '.[test,dev]'

lint:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

test:
	$(PYTHON) -m pytest -n auto

test-browser:  ## the report in Chromium (apt-get install chromium chromium-driver)
	$(PYTHON) -m pip install -q -c constraints.txt -e '.[browser]'
	$(PYTHON) -m pytest -m browser -rs

bench:  ## ratios in one run, one thread, CPU seconds; never a pass or fail
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest benchmarks -s

docs:  ## what is generated: the JSON Schema of a result, the reference of commands; and the site
	$(PYTHON) -m pip install -q -c constraints.txt -e '.[docs]'
	$(PYTHON) -m larpbench.results.schema > docs/results-schema.json
	$(PYTHON) -m typer larpbench.cli utils docs --name larpbench > docs/cli.md
	$(PYTHON) -m mkdocs build --strict --site-dir build/site

links: docs  ## every link of the site, those that leave it too: needs the network
	linkchecker --check-extern build/site/index.html

reproduce:  ## the committed tables and figures of the demo data set, in results/demo and in the README
	rm -rf build/results
	$(PYTHON) -m larpbench run --output build/results
	mkdir -p results/demo
	$(PYTHON) -m larpbench table build/results --format csv > results/demo/continuation.csv
	$(PYTHON) -m larpbench table build/results --format md > results/demo/continuation.md
	$(PYTHON) -m larpbench reproduce all --dataset demo --results build/reproduction --output results/demo
	$(PYTHON) .ci/fill_readme.py
