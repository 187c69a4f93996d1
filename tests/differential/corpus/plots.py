"""``wandb.plot``: the table and the chart of each function."""

from __future__ import annotations

import wandb

from differential.script import Seen, script

TRUTH = [0, 1, 1, 0]
SCORES = [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]]


@script
def line_scatter_bar_histogram(seen: Seen) -> None:
    run = wandb.init(project="demo")
    table = wandb.Table(columns=["x", "y"], data=[[1, 2], [3, 4]])
    run.log({"line": wandb.plot.line(table, "x", "y", title="a line")})
    run.log({"scatter": wandb.plot.scatter(table, "x", "y", title="points")})
    names = wandb.Table(columns=["label", "value"], data=[["a", 1], ["b", 2]])
    run.log({"bar": wandb.plot.bar(names, "label", "value", title="bars")})
    run.log({"histogram": wandb.plot.histogram(table, "x", title="counts")})
    run.finish()


@script
def confusion_matrix(seen: Seen) -> None:
    run = wandb.init(project="demo")
    chart = wandb.plot.confusion_matrix(y_true=TRUTH, preds=[0, 1, 0, 0], class_names=["cat", "dog"])
    run.log({"confusion": chart})
    run.log({"of scores": wandb.plot.confusion_matrix(probs=SCORES, y_true=TRUTH)})
    run.finish()


@script
def curves(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.log({"pr": wandb.plot.pr_curve(TRUTH, SCORES, labels=["cat", "dog"])})
    run.log({"roc": wandb.plot.roc_curve(TRUTH, SCORES, labels=["cat", "dog"])})
    run.finish()


@script
def line_series(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.log(
        {
            "one x": wandb.plot.line_series(
                xs=[0, 1, 2], ys=[[1, 2, 3], [4, 5, 6]], keys=["a", "b"], title="t", xname="step"
            )
        }
    )
    run.log({"two x": wandb.plot.line_series(xs=[[0, 1], [5, 6]], ys=[[1, 2], [3, 4]])})
    run.finish()


@script
def custom_chart(seen: Seen) -> None:
    run = wandb.init(project="demo")
    table = wandb.Table(columns=["h", "w"], data=[[1, 2]])
    chart = wandb.plot_table(
        data_table=table,
        vega_spec_name="me/my_chart",
        fields={"height": "h"},
        string_fields={"title": "mine"},
    )
    run.log({"custom": chart})
    run.finish()


@script
def refused(seen: Seen) -> None:
    with seen.error("table"):
        wandb.plot.line([[1, 2]], "x", "y")
    with seen.error("both"):
        wandb.plot.confusion_matrix(probs=SCORES, y_true=TRUTH, preds=[0])
    with seen.error("lengths"):
        wandb.plot.line_series(xs=[[0, 1]], ys=[[1, 2], [3, 4]])
