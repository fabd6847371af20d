"""One dashboard under construction: places panels on Grafana's 24 columns, sets what all share."""

from grafana_foundation_sdk.builders import common as common_build
from grafana_foundation_sdk.builders import dashboard as dashboard_build
from grafana_foundation_sdk.builders import heatmap, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models import heatmap as heatmap_model

COLUMNS = 24
DATASOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
PAGES = {
    "muster-overview": "Overview",
    "muster-rounds": "Rounds",
    "muster-ingest": "Ingest and durability",
    "muster-backend": "Backend and GPU",
    "muster-privacy": "Privacy and robustness",
}
GOOD, WARN, BAD, PLAIN = "green", "orange", "red", "text"


def steps(*pairs: tuple[float | None, str]) -> dashboard_build.ThresholdsConfig:
    """Colours from a value on; the first value is None (from below)."""
    return (
        dashboard_build.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps([dashboard.Threshold(value=value, color=colour) for value, colour in pairs])
    )


def _variable(name: str, label: str, query: str) -> dashboard_build.QueryVariable:
    return (
        dashboard_build.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(DATASOURCE)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(dashboard.VariableOption(selected=True, text="All", value="$__all"))
    )


class Page:
    def __init__(self, uid: str, description: str, *, tasks: bool = False):
        self._x = self._y = self._row_height = self._panels = 0
        built = (
            dashboard_build.Dashboard(f"Muster / {PAGES[uid]}")
            .uid(uid)
            .description(description)
            .tags(["muster"])
            .readonly()
            .refresh("30s")
            .time("now-1h", "now")
            .timezone(common.TimeZoneBrowser)
            .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        )
        built = built.with_variable(
            dashboard_build.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
        info = "muster_build_info"
        built = built.with_variable(_variable("job", "Job", f"label_values({info}, job)"))
        built = built.with_variable(
            _variable("instance", "Instance", f'label_values({info}{{job=~"$job"}}, instance)')
        )
        if tasks:
            chosen = 'job=~"$job", instance=~"$instance"'
            built = built.with_variable(
                _variable("task", "Task", f"label_values(muster_round_number{{{chosen}}}, task)")
            )
        for other, title in PAGES.items():
            if other != uid:
                built = built.link(
                    dashboard_build.DashboardLink(title)
                    .type(dashboard.DashboardLinkType.LINK)
                    .url(f"/d/{other}")
                    .keep_time(True)
                    .include_vars(True)
                )
        self._built = built

    def _place(self, panel, title, description, unit, targets, size, low, high, decimals):
        width, height = size
        if self._x + width > COLUMNS:
            self._x, self._y = 0, self._y + self._row_height
            self._row_height = 0
        self._panels += 1
        panel = panel.id(self._panels).title(title).description(description).unit(unit)
        panel = panel.datasource(DATASOURCE)
        panel = panel.grid_pos(dashboard.GridPos(h=height, w=width, x=self._x, y=self._y))
        if low is not None:
            panel = panel.min(low)
        if high is not None:
            panel = panel.max(high)
        if decimals is not None:
            panel = panel.decimals(decimals)
        for index, (expr, legend) in enumerate(targets):
            query = (
                prometheus.Dataquery()
                .expr(expr)
                .legend_format(legend)
                .ref_id(chr(ord("A") + index))
                .datasource(DATASOURCE)
                .range()
            )
            if isinstance(panel, heatmap.Panel):
                query = query.format("heatmap")
            panel = panel.with_target(query)
        self._built = self._built.with_panel(panel)
        self._x += width
        self._row_height = max(self._row_height, height)

    def row(self, title: str) -> None:
        self._y += self._row_height
        self._x = self._row_height = 0
        self._panels += 1
        row = dashboard_build.Row(title).id(self._panels)
        row = row.grid_pos(dashboard.GridPos(h=1, w=COLUMNS, x=0, y=self._y))
        self._built = self._built.with_row(row)
        self._y += 1

    def stat(self, title, description, unit, targets, *, size=(4, 4), low=None, high=None,
             decimals=None, colours=((None, PLAIN),), graph=True, words=None, by_name=False):
        """The latest value, large, over its own history. `words`: value -> (text, colour)."""
        panel = (
            stat.Panel()
            .thresholds(steps(*colours))
            .color_mode(common.BigValueColorMode.VALUE)
            .graph_mode(common.BigValueGraphMode.AREA if graph else common.BigValueGraphMode.NONE)
            .text_mode(
                common.BigValueTextMode.NAME if by_name else common.BigValueTextMode.AUTO
            )
            .reduce_options(common_build.ReduceDataOptions().calcs(["lastNotNull"]))
        )
        if words:
            panel = panel.mappings([_mapping(words)])
        self._place(panel, title, description, unit, targets, size, low, high, decimals)

    def time(self, title, description, unit, targets, *, size=(8, 8), low=0.0, high=None,
             stack=False, log=False, decimals=None, limits=()):
        """Lines over time, stacked areas where the parts make a whole. `limits`: thresholds."""
        fill = 40.0 if stack else 8.0
        panel = (
            timeseries.Panel()
            .line_width(1.5)
            .fill_opacity(fill)
            .show_points(common.VisibilityMode.NEVER)
            .span_nulls(False)
            .legend(
                common_build.VizLegendOptions()
                .display_mode(common.LegendDisplayMode.LIST)
                .placement(common.LegendPlacement.BOTTOM)
                .show_legend(True)
            )
            .tooltip(
                common_build.VizTooltipOptions()
                .mode(common.TooltipDisplayMode.MULTI)
                .sort(common.SortOrder.DESCENDING)
            )
        )
        if stack:
            panel = panel.stacking(
                common_build.StackingConfig().mode(common.StackingMode.NORMAL).group("A")
            )
        if log:
            panel = panel.scale_distribution(
                common_build.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10.0)
            )
        if limits:
            panel = panel.thresholds(steps((None, "transparent"), *limits)).thresholds_style(
                common_build.GraphThresholdsStyleConfig().mode(
                    common.GraphTresholdsStyleMode.LINE
                )
            )
        self._place(panel, title, description, unit, targets, size, low, high, decimals)

    def heat(self, title, description, unit, targets, *, size=(8, 8)):
        """How observations are spread over a histogram's buckets, over time."""
        panel = (
            heatmap.Panel()
            .calculate(False)
            .color(
                heatmap.HeatmapColorOptions()
                .mode(heatmap_model.HeatmapColorMode.SCHEME)
                .scheme("Blues")
                .steps(64)
            )
            .y_axis(heatmap.YAxisConfig().unit(unit))
            .cell_gap(1)
            .scale_distribution(
                common_build.ScaleDistributionConfig().type(common.ScaleDistribution.LINEAR)
            )
        )
        self._place(panel, title, description, unit, targets, size, None, None, None)

    def states(self, title, description, targets, words, *, size=(24, 6)):
        """Bands of colour: which state something was in, when."""
        panel = (
            statetimeline.Panel()
            .mappings([_mapping(words)])
            .show_value(common.VisibilityMode.NEVER)
            .row_height(0.8)
            .line_width(0)
            .fill_opacity(80)
            .merge_values(True)
        )
        low, high = min(words), max(words)
        self._place(panel, title, description, "none", targets, size, low, high, None)

    def build(self) -> dashboard.Dashboard:
        return self._built.build()


def _mapping(words: dict[int, tuple[str, str]]) -> dashboard.ValueMap:
    options = {
        str(value): dashboard.ValueMappingResult(text=text, color=colour, index=index)
        for index, (value, (text, colour)) in enumerate(words.items())
    }
    return dashboard.ValueMap(options=options)
