/** Small line charts as SVG, by hand: a reader needs them in a page, and nothing else. */

export interface Series {
  readonly name: string;
  /** One for each place on the x axis; undefined leaves a gap. */
  readonly values: readonly (number | undefined)[];
  readonly dashed?: boolean;
}

export interface Panel {
  readonly title: string;
  readonly series: readonly Series[];
  readonly ticks: readonly { readonly value: number; readonly label: string }[];
  readonly scale: 'linear' | 'log';
}

export interface Chart {
  readonly title: string;
  readonly xTitle: string;
  readonly xLabels: readonly string[];
  readonly panels: readonly Panel[];
}

const WIDTH = 780;
const LEFT = 64;
const RIGHT = 190;
const TOP = 44;
const PANEL = 220;
const GAP = 62;
const BOTTOM = 52;
/** Told apart on white and on black, and by most of those who do not see all colours. */
const COLOURS = ['#2f81f7', '#d9822b', '#2da44e', '#bf5fd0', '#d1484f', '#7d8590'];
const LABEL_HEIGHT = 14;

const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #24292f; }
  .title { font-weight: 600; }
  .axis { stroke: #8c959f; }
  .grid { stroke: #8c959f; stroke-opacity: 0.25; }
  .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3; } }
`;

export function renderChart(chart: Chart): string {
  const height = TOP + chart.panels.length * (PANEL + GAP) - GAP + BOTTOM;
  const x = (i: number): number =>
    LEFT + ((WIDTH - LEFT - RIGHT) * i) / Math.max(1, chart.xLabels.length - 1);
  const bottom = height - BOTTOM;
  const parts = chart.panels.map((panel, i) => renderPanel(panel, TOP + i * (PANEL + GAP), x));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img">`,
    `<title>${escaped(chart.title)}</title>`,
    `<style>${STYLE}</style>`,
    ...parts,
    ...chart.xLabels.map((label, i) => text(x(i), bottom + 20, label, 'middle')),
    text((LEFT + WIDTH - RIGHT) / 2, bottom + 42, chart.xTitle, 'middle'),
    '</svg>',
    '',
  ].join('\n');
}

function renderPanel(panel: Panel, top: number, x: (i: number) => number): string {
  const place = panel.scale === 'log' ? Math.log : (value: number) => value;
  const [low, high] = [panel.ticks[0], panel.ticks.at(-1)].map((tick) => place(tick?.value ?? 1));
  const y = (value: number): number => {
    const share = (place(value) - (low ?? 0)) / ((high ?? 1) - (low ?? 0));
    return top + PANEL * (1 - Math.min(1, Math.max(0, share)));
  };
  const right = WIDTH - RIGHT;
  const drawn = panel.series.map((series, i) => ({
    ...series,
    colour: COLOURS[i % COLOURS.length] ?? '',
    end: y(series.values.findLast((value) => value !== undefined) ?? 1),
  }));
  return [
    text(LEFT, top - 12, panel.title, 'start', 'title'),
    ...panel.ticks.flatMap(({ value, label }) => [
      `<line class="grid" x1="${LEFT}" x2="${right}" y1="${dot(y(value))}" y2="${dot(y(value))}"/>`,
      text(LEFT - 8, y(value) + 4, label, 'end'),
    ]),
    `<line class="axis" x1="${LEFT}" x2="${right}" y1="${top + PANEL}" y2="${top + PANEL}"/>`,
    ...drawn.map(({ values, colour, dashed }) => line(values, colour, dashed === true, x, y)),
    ...labels(drawn, top).map(({ name, colour, at }) =>
      text(right + 10, at + 4, name, 'start', undefined, colour),
    ),
  ].join('\n');
}

function line(
  values: Series['values'],
  colour: string,
  dashed: boolean,
  x: (i: number) => number,
  y: (value: number) => number,
): string {
  const points = values.flatMap((value, i) =>
    value === undefined ? [] : [{ x: x(i), y: y(value) }],
  );
  const path = points.map((point) => `${dot(point.x)},${dot(point.y)}`).join(' ');
  return [
    `<polyline class="line" stroke="${colour}"${dashed ? ' stroke-dasharray="5 4"' : ''} points="${path}"/>`,
    ...points.map((p) => `<circle cx="${dot(p.x)}" cy="${dot(p.y)}" r="3" fill="${colour}"/>`),
  ].join('\n');
}

/** Names at the ends of their lines, pushed apart where lines end close to each other. */
function labels<T extends { readonly end: number }>(
  drawn: readonly T[],
  top: number,
): readonly (T & { readonly at: number })[] {
  const sorted = drawn.toSorted((a, b) => a.end - b.end);
  const room = top + PANEL - (sorted.length - 1) * LABEL_HEIGHT;
  let last = Number.NEGATIVE_INFINITY;
  return sorted.map((one, i) => {
    last = Math.max(last + LABEL_HEIGHT, Math.min(one.end, room + i * LABEL_HEIGHT));
    return { ...one, at: last };
  });
}

function text(
  x: number,
  y: number,
  content: string,
  anchor: 'start' | 'middle' | 'end',
  style?: string,
  colour?: string,
): string {
  const named = style === undefined ? '' : ` class="${style}"`;
  // A style of its own: the sheet's colour would win over an attribute.
  const filled = colour === undefined ? '' : ` style="fill: ${colour}"`;
  return `<text x="${dot(x)}" y="${dot(y)}" text-anchor="${anchor}"${named}${filled}>${escaped(content)}</text>`;
}

function dot(value: number): string {
  return value.toFixed(1);
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
