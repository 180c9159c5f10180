'use strict';
// Draws the figures in the colors of the page, shows and hides series, and sorts tables. Loads nothing.
(() => {
  const figures = JSON.parse(document.getElementById('figures-data').textContent);
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const touch = matchMedia('(pointer: coarse)').matches;
  const THEMES = {
    light: {background: '#ffffff', text: '#1a1c20', muted: '#555b66', grid: '#e3e6eb', frame: '#9aa1ac'},
    dark: {background: '#16181c', text: '#e8eaed', muted: '#a9b0bb', grid: '#2f343d', frame: '#6c7480'},
  };
  // Of WCAG 2.1, for lines and marks.
  const LEAST_CONTRAST = 3;
  const BAND_OPACITY = 0.18;
  const hidden = new Map(figures.map((_, number) => [number, new Set()]));
  let printing = false;

  const theme = () => THEMES[dark.matches && !printing ? 'dark' : 'light'];
  const channels = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  const transparent = (color, opacity) => `rgba(${channels(color).join(',')},${opacity})`;

  const luminance = (color) => {
    const linear = channels(color).map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };

  const contrast = (first, second) => {
    const [low, high] = [luminance(first), luminance(second)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };

  // The color, mixed with that of the text until it can be seen on the page.
  const readable = (color, {background, text}) => {
    let mixed = color;
    for (let part = 1; part <= 10 && contrast(mixed, background) < LEAST_CONTRAST; part += 1) {
      const [from, to] = [channels(color), channels(text)];
      const parts = from.map((value, at) => Math.round(value + (to[at] - value) * part / 10));
      mixed = `#${parts.map((value) => value.toString(16).padStart(2, '0')).join('')}`;
    }
    return mixed;
  };

  const colored = (trace, number, colors) => {
    const color = readable(trace.meta.color, colors);
    const result = {
      ...trace, line: {...trace.line, color}, visible: !hidden.get(number).has(trace.meta.label),
      hoverlabel: {bgcolor: colors.background, bordercolor: color, font: {color: colors.text}, align: 'left'},
    };
    if (trace.marker) result.marker = {...trace.marker, color};
    if (trace.fill) result.fillcolor = transparent(color, BAND_OPACITY);
    for (const bars of ['error_x', 'error_y']) if (trace[bars]) result[bars] = {...trace[bars], color};
    return result;
  };

  const themed = (layout, plot, colors) => {
    const axis = (own) => ({
      ...own, gridcolor: colors.grid, linecolor: colors.frame, tickcolor: colors.frame, showline: true, ticks: 'outside',
      tickfont: {color: colors.muted},
    });
    return {
      ...layout, xaxis: axis(layout.xaxis), yaxis: axis(layout.yaxis), dragmode: touch ? false : 'zoom', autosize: true,
      paper_bgcolor: colors.background, plot_bgcolor: colors.background,
      font: {family: getComputedStyle(document.body).fontFamily, size: 12, color: colors.text},
      shapes: layout.shapes.map((shape) => ({...shape, line: {...shape.line, color: colors.muted}})),
      modebar: {bgcolor: 'rgba(0,0,0,0)', color: colors.muted, activecolor: colors.text},
      ...(printing ? {width: plot.clientWidth, height: plot.clientHeight} : {}),
    };
  };

  const CONFIG = {
    displaylogo: false, responsive: true, showTips: false,
    modeBarButtons: [['zoom2d', 'pan2d', 'zoomIn2d', 'zoomOut2d', 'resetScale2d']],
  };

  const draw = (plot) => {
    const [number, place] = plot.dataset.plot.split('-').map(Number);
    const {traces, layout} = figures[number][place];
    const colors = theme();
    return Plotly.react(plot, traces.map((trace) => colored(trace, number, colors)), themed(layout, plot, colors), CONFIG);
  };

  const drawAll = () => {
    document.querySelectorAll('.plot').forEach(draw);
    document.querySelectorAll('.sample[data-color]').forEach((sample) => {
      sample.style.color = readable(sample.dataset.color, theme());
    });
  };

  document.querySelectorAll('.legend button').forEach((button) => button.addEventListener('click', () => {
    const figure = button.closest('figure');
    const labels = hidden.get(Number(figure.id.split('-').pop()));
    const shown = button.getAttribute('aria-pressed') === 'true';
    button.setAttribute('aria-pressed', String(!shown));
    if (shown) labels.add(button.dataset.label); else labels.delete(button.dataset.label);
    figure.querySelectorAll('.plot').forEach(draw);
  }));

  // Numbers by their keys, text in the order of the language, numbers in text by their values; empty cells last.
  const compare = (first, second, sign) => {
    if (!first.textContent || !second.textContent) return (first.textContent ? 0 : 1) - (second.textContent ? 0 : 1);
    if (first.dataset.key !== undefined && second.dataset.key !== undefined) {
      return sign * (Number(first.dataset.key) - Number(second.dataset.key));
    }
    return sign * first.textContent.localeCompare(second.textContent, undefined, {numeric: true});
  };

  document.querySelectorAll('th button').forEach((button) => button.addEventListener('click', () => {
    const heading = button.parentElement;
    const place = heading.cellIndex;
    const ascending = heading.getAttribute('aria-sort') !== 'ascending';
    heading.parentElement.querySelectorAll('th').forEach((other) => other.removeAttribute('aria-sort'));
    heading.setAttribute('aria-sort', ascending ? 'ascending' : 'descending');
    const body = heading.closest('table').tBodies[0];
    const rows = [...body.rows];
    rows.sort((first, second) => compare(first.cells[place], second.cells[place], ascending ? 1 : -1));
    body.append(...rows);
  }));

  // On paper: in light colors, in the width of the paper, with everything unfolded.
  const folded = [];
  addEventListener('beforeprint', () => {
    document.querySelectorAll('details:not([open])').forEach((details) => {
      folded.push(details);
      details.open = true;
    });
    printing = true;
    drawAll();
  });
  addEventListener('afterprint', () => {
    folded.splice(0).forEach((details) => { details.open = false; });
    printing = false;
    drawAll();
  });
  dark.addEventListener('change', drawAll);
  drawAll();
})();
