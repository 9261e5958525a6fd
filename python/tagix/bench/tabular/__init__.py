"""Models of tables, trained and scored alike: what benchmarks of tables share.

A contender (tagix.bench.tabular.contenders) is a model with settings that are the same for every
set; a job (tagix.bench.tabular.job) trains one on one split and scores the law that it predicts
(tagix.bench.tabular.laws). tagix.bench.uci and tagix.bench.sklearn_sets say which sets and splits.
"""
