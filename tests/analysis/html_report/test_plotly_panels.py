"""Panels of figures as traces and layouts for plotly."""
import math

from lth.analysis.html_report.plotly_panels import plotly_panels
from lth.analysis.plotting.series import Axis, FigureData, Panel, Point, Reference, Series, Tick

X = Axis(label='weights (%)', scale='log', reverse=True, ticks=(Tick(100, '100'), Tick(10, '10 <i>')))
Y = Axis(label='accuracy (%)')
BAND = (Point(100, 90, 88, 92, 3), Point(10, 80, 70, 90, 3))


def panel_of(*series, x=X, y=Y, references=()):
    (panel,) = plotly_panels(FigureData(name='f', title='t', panels=(
        Panel(x=x, y=y, series=series, references=references),)))
    return panel


def line(points, **fields):
    return Series(label='<b>ticket</b>', color='#0072b2', points=points, **fields)


def test_a_line_with_intervals_is_a_band_around_the_points_below_the_points():
    band, trace = panel_of(line(BAND, dashed=True))['traces']
    assert (band['x'], band['y'], band['fill']) == ([100, 10, 10, 100], [88, 70, 90, 92], 'toself')
    assert (trace['x'], trace['y'], trace['line']['dash']) == ([100, 10], [90, 80], 'dash')
    assert trace['customdata'] == [[88, 92, 3], [70, 90, 3]]


def test_a_single_point_and_points_without_a_line_have_error_bars():
    (trace,) = panel_of(line(BAND[:1]))['traces']
    assert (trace['error_y']['array'], trace['error_y']['arrayminus']) == ([2], [2])
    forest = line((Point(5, 1, 3, 9, 3), Point(4, 2)), kind='points', intervals='x')
    (trace,) = panel_of(forest)['traces']
    assert trace['mode'] == 'markers'
    assert (trace['error_x']['array'], trace['error_x']['arrayminus']) == ([4, 0], [2, 0])


def test_steps_hold_their_value_to_the_next_point():
    (trace,) = panel_of(line((Point(0, 2), Point(1, 3)), kind='steps'))['traces']
    assert (trace['line']['shape'], trace['fill'], trace['mode']) == ('hv', 'tozeroy', 'lines')


def test_axes_have_the_direction_the_labels_and_the_limits_of_the_figure():
    axis = panel_of(line(BAND))['layout']['xaxis']
    assert (axis['type'], axis['autorange'], axis['tickvals']) == ('log', 'reversed', [100, 10])
    names = Axis(label='', padded=True, ticks=(Tick(0, 'before'), Tick(1, 'after')))
    assert panel_of(line(BAND), x=names)['layout']['xaxis']['range'] == [-0.5, 1.5]
    limits = Axis(label='', scale='log', limits=(10, 100), reverse=True)
    assert panel_of(line(BAND), x=limits)['layout']['xaxis']['range'] == [2, 1]


def test_a_log_axis_without_labels_gets_whole_numbers():
    axis = panel_of(line((Point(1, 9), Point(2, 60))), y=Axis(label='', scale='log'))['layout']['yaxis']
    assert axis['tickvals'] == [10, 20, 30, 50]


def test_a_reference_is_a_line_across_the_panel():
    (shape,) = panel_of(line(BAND), references=(Reference(label='chance', value=10, axis='x'),))['layout']['shapes']
    assert (shape['x0'], shape['x1'], shape['yref'], shape['y0'], shape['y1']) == (10, 10, 'paper', 0, 1)


def test_tags_and_placeholders_in_labels_are_text():
    panel = panel_of(line(BAND), y=Axis(label='%{x} <a href="http://x">'))
    trace = panel['traces'][-1]
    assert trace['name'] == '&lt;b&gt;ticket&lt;/b&gt;'
    assert '<a' not in trace['hovertemplate'][0] and not trace['hovertemplate'][0].startswith('%{x}')
    assert panel['layout']['xaxis']['ticktext'] == ['100', '10 &lt;i&gt;']


def test_all_values_are_finite_numbers():
    traces = panel_of(line(BAND), line((Point(1, 2),)))['traces']
    assert all(math.isfinite(value) for trace in traces for value in [*trace['x'], *trace['y']])
