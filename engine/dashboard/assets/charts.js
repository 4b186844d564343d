// Line charts, drawn as SVG.
import { h, setText, svg } from './dom.js';

const span = 5 * 60 * 1000; // what a chart shows
const height = 180, left = 58, right = 6, top = 8, bottom = 20;

/** A chart of {at, values} over the last minutes. format writes a value. */
export class Chart {
  constructor(place, series, format) {
    this.place = place; this.series = series; this.format = format; this.points = [];
    this.grid = svg('g');
    this.area = svg('path', { class: 'area' });
    this.lines = series.map((s) => svg('path', { class: 'line ' + s.class }));
    this.cross = svg('line', { class: 'cross', y1: top, y2: height - bottom });
    this.cross.setAttribute('visibility', 'hidden');
    this.svg = svg('svg', { role: 'img' }, this.grid, this.area, ...this.lines.toReversed(), this.cross);
    this.note = h('p', { class: 'hint' });
    place.append(this.svg, this.note);
    this.svg.addEventListener('pointermove', (e) => this.point(e));
    this.svg.addEventListener('pointerleave', () => { this.at = null; this.draw(); });
    new ResizeObserver(() => this.draw()).observe(place);
  }

  add(...points) {
    this.points.push(...points);
    const since = Date.now() - span - 5000;
    while (this.points.length && this.points[0].at < since) this.points.shift();
    this.draw();
  }

  point(e) {
    const box = this.svg.getBoundingClientRect();
    this.at = this.now - span + ((e.clientX - box.left - left) / (box.width - left - right)) * span;
    this.draw();
  }

  draw() {
    const width = this.place.clientWidth;
    if (!width || !this.points.length) return;
    this.now = Math.max(Date.now(), this.points.at(-1).at);
    const most = Math.max(...this.points.flatMap((p) => p.values), 0);
    const ceiling = nice(most);
    const x = (at) => left + ((at - this.now + span) / span) * (width - left - right);
    const y = (v) => top + (1 - v / ceiling) * (height - top - bottom);
    this.svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    this.grid.replaceChildren(
      ...[0, 0.5, 1].flatMap((f) => [
        svg('line', { class: 'grid', x1: left, x2: width - right, y1: y(f * ceiling), y2: y(f * ceiling) }),
        svg('text', { x: left - 8, y: y(f * ceiling) + 4, 'text-anchor': 'end' }, this.format(f * ceiling)),
      ]),
      ...(width < 480 ? [5, 3, 1, 0] : [5, 4, 3, 2, 1, 0]).map((m) => svg('text', { x: x(this.now - m * 60000), y: height - 4, 'text-anchor': m ? (m === 5 ? 'start' : 'middle') : 'end' }, m ? `−${m} min` : 'now')),
    );
    const shown = this.points.filter((p) => p.at > this.now - span);
    this.lines.forEach((line, i) => line.setAttribute('d', shown.map((p, n) => `${n ? 'L' : 'M'}${x(p.at).toFixed(1)} ${y(p.values[i]).toFixed(1)}`).join('')));
    if (shown.length) {
      this.area.setAttribute('d', `M${x(shown[0].at)} ${y(0)}` + shown.map((p) => `L${x(p.at).toFixed(1)} ${y(p.values[0]).toFixed(1)}`).join('') + `L${x(shown.at(-1).at)} ${y(0)}Z`);
    }
    this.tell(shown, x);
  }

  // tell says in words what the chart shows now, or under the pointer.
  tell(shown, x) {
    let at = shown.at(-1);
    if (this.at != null) at = shown.reduce((a, b) => (Math.abs(b.at - this.at) < Math.abs(a.at - this.at) ? b : a), at);
    if (!at) return;
    this.cross.setAttribute('visibility', this.at == null ? 'hidden' : 'visible');
    this.cross.setAttribute('x1', x(at.at)); this.cross.setAttribute('x2', x(at.at));
    const ago = Math.round((this.now - at.at) / 1000);
    const text = this.series.map((s, i) => `${s.name} ${this.format(at.values[i])}`).join(', ');
    setText(this.note, (this.at == null ? 'Now: ' : `${ago} s ago: `) + text);
    this.svg.setAttribute('aria-label', text);
  }
}

/** The next number that reads well as the end of an axis. */
function nice(x) {
  if (x <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(x));
  return [1, 2, 4, 5, 10].find((f) => f * power >= x) * power;
}
