"""PromQL of the panels. Every selector carries the dashboard's job and instance variables."""

SELECTOR = 'job=~"$job", instance=~"$instance"'
TASK = 'task=~"$task"'
WINDOW = "[$__rate_interval]"


def series(name: str, *matchers: str) -> str:
    """The series of one metric that the dashboard's variables select."""
    return f"{name}{{{', '.join((SELECTOR, *matchers))}}}"


def total(expr: str, *by: str) -> str:
    return f"sum by ({', '.join(by)}) ({expr})" if by else f"sum({expr})"


def rate(name: str, *matchers: str, by: tuple[str, ...] = ()) -> str:
    """Increase a second of a counter, summed over what `by` leaves out."""
    return total(f"rate({series(name, *matchers)}{WINDOW})", *by)


def increase(name: str, *matchers: str, by: tuple[str, ...] = ()) -> str:
    """Increase of a counter over the whole time range of the dashboard."""
    return total(f"increase({series(name, *matchers)}[$__range])", *by)


def quantile(q: float, histogram: str, *matchers: str, by: tuple[str, ...] = ()) -> str:
    """The comparison drops NaN, which is what a window without observations gives."""
    buckets = rate(f"{histogram}_bucket", *matchers, by=("le", *by))
    return f"histogram_quantile({q}, {buckets}) >= 0"


def mean(histogram: str, *matchers: str, by: tuple[str, ...] = ()) -> str:
    """Mean observation in the window; no series where there was none."""
    sums = rate(f"{histogram}_sum", *matchers, by=by)
    counts = rate(f"{histogram}_count", *matchers, by=by)
    return f"{sums} / ({counts} > 0)"


def buckets(histogram: str, *matchers: str) -> str:
    """For heat maps."""
    return rate(f"{histogram}_bucket", *matchers, by=("le",))


def share(part: str, whole: str) -> str:
    """part / whole, and no series where the whole is nothing."""
    return f"{part} / ({whole} > 0)"


def spread(name: str, label: str, *matchers: str) -> str:
    """Rates by one label, of those values that happened in the time range; one series called
    "none" where nothing did. Keeps legends short for labels with many values that rarely happen."""
    parts = rate(name, *matchers, by=(label,))
    happened = increase(name, *matchers, by=(label,))
    nothing = f"{increase(name, *matchers)} == 0"
    return f'({parts} and {happened} > 0) or label_replace({nothing}, "{label}", "none", "", "")'
