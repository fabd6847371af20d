"""What an expression of PromQL names: selectors with the calls around them."""

import dataclasses
import re

import promql_parser as parser

# Grafana puts these in before it asks; any value of the right kind will do for the syntax.
VARIABLES = {"$__rate_interval": "4m", "$__range": "1h", "$__interval": "1m"}


@dataclasses.dataclass(frozen=True)
class Selector:
    name: str
    matchers: tuple[tuple[str, str, str], ...]  # label, "=", "!=", "=~" or "!~", value
    calls: tuple[str, ...]  # functions around it, innermost first


@dataclasses.dataclass
class Names:
    """All an expression refers to."""

    selectors: list[Selector]
    grouped: set[str]  # labels of by, without, on, ignoring, group_left


OPS = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}


def substitute(expr: str) -> str:
    for variable, value in VARIABLES.items():
        expr = expr.replace(variable, value)
    return re.sub(r"\$\w+", ".+", expr)


def parse(expr: str):
    """Raises ValueError where the syntax is wrong."""
    return parser.parse(substitute(expr))


def names(expr: str) -> Names:
    found = Names([], set())
    _walk(parse(expr), (), found)
    return found


def _walk(node, calls, found: Names) -> None:
    kind = type(node).__name__
    if kind == "VectorSelector":
        matchers = tuple(
            (m.name, OPS[str(m.op).rsplit(".", 1)[-1]], m.value) for m in node.matchers.matchers
        )
        found.selectors.append(Selector(node.name, matchers, tuple(reversed(calls))))
    elif kind == "MatrixSelector":
        _walk(node.vector_selector, calls, found)
    elif kind == "Call":
        for argument in node.args:
            _walk(argument, (*calls, node.func.name), found)
    elif kind == "AggregateExpr":
        if node.modifier is not None:
            found.grouped.update(node.modifier.labels)
        _walk(node.expr, (*calls, str(node.op)), found)
    elif kind == "BinaryExpr":
        modifier = node.modifier
        if modifier is not None and modifier.matching is not None:
            found.grouped.update(modifier.matching.labels)
        _walk(node.lhs, calls, found)
        _walk(node.rhs, calls, found)
    elif kind in ("ParenExpr", "UnaryExpr", "SubqueryExpr"):
        _walk(node.expr, calls, found)
    elif kind not in ("NumberLiteral", "StringLiteral"):
        raise AssertionError(f"a kind of expression the tests do not know: {kind}")
