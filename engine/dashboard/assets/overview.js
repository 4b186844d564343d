// The flow as a graph with live numbers, and its charts.
import { $, $$, api, ask, brief, bytes, count, flow, h, ms, percent, setText, svg } from './dom.js';
import { Chart } from './charts.js';
import { showMachine } from './machine.js';

const width = 148; // of the pressure bar

/** What of the second was spent how, as rectangles in a row. */
function bar(x, y, w, hgt, s, fill) {
  const all = s.idle + s.busy + s.blocked;
  if (!all) return [svg('rect', { class: 'p-none', x, y, width: w, height: hgt })];
  let at = x;
  return [['p-idle', s.idle], ['p-busy', s.busy], ['p-blocked', s.blocked]].map(([name, share]) => {
    const part = (share / all) * w;
    const rect = svg('rect', { class: name, x: at.toFixed(1), y, width: part.toFixed(1), height: hgt });
    if (name === 'p-blocked') rect.setAttribute('fill', `url(#${fill})`);
    at += part;
    return rect;
  });
}

/** The state that a node is in: what it did for most of the second. */
function pressure(s) {
  if (s.blocked > 0.5) return 'blocked';
  if (s.busy > 0.6) return 'busy';
  return 'idle';
}

function lanes(place, s) {
  const x = +place.dataset.x, y = +place.dataset.y, fill = place.dataset.fill;
  const list = s.lanes?.length ? s.lanes : [s];
  const shown = list.slice(0, 16), gap = shown.length > 1 ? 2 : 0;
  const w = (width - gap * (shown.length - 1)) / shown.length;
  place.replaceChildren(...shown.flatMap((l, i) => bar(x + i * (w + gap), y, w, 7, l, fill)));
}

function duration(el, s) {
  if (s.with) { setText(el, 'with ' + (s.with.length > 10 ? s.with.slice(0, 9) + '…' : s.with)); el.setAttribute('class', 'time'); return; }
  setText(el, s.calls ? ms(s.average_ms) : '');
  // Coloured by how the last call compares with the moving average.
  const ratio = s.average_ms > 0 ? s.call_ms / s.average_ms : 1;
  el.setAttribute('class', 'time' + (ratio > 2 ? ' slow' : ratio < 0.5 ? ' fast' : ''));
}

function graph(f) {
  const rows = new Map(f.stages.map((s) => [s.kind + '/' + s.name, s]));
  for (const node of $$('.node')) {
    const s = rows.get(node.dataset.row + '/' + node.dataset.name);
    if (!s) continue;
    node.dataset.pressure = s.lanes?.length ? pressure(s) : 'idle';
    setText($('[data-f="rate"]', node), brief(s.in_rate) + ' /s');
    duration($('[data-f="time"]', node), s);
    lanes($('.lanes', node), s.with ? rows.get([...rows.keys()].find((k) => k.endsWith('/' + s.with))) || s : s);
    const title = $('title', node);
    title.dataset.text ??= title.textContent;
    setText(title, `${title.dataset.text}\n${s.lanes?.length || 0} lanes: idle ${pc(s.idle)}, busy ${pc(s.busy)}, held up ${pc(s.blocked)}\n` +
      `last call ${ms(s.call_ms)}, average of 60 ${ms(s.average_ms)}, mean ${ms(s.mean_ms)}`);
  }
}

const pc = (x) => Math.round(x * 100) + ' %';

function numbers(f) {
  const put = (name, text) => setText($(`[data-n="${name}"]`), text);
  put('in_rate', brief(f.in_rate)); put('in', count(f.in) + ' in all');
  put('out_rate', brief(f.out_rate)); put('out', count(f.out) + ' in all');
  put('successful', f.in ? percent(f.successful) : '–'); put('bad', `${count(f.dead)} dead, ${count(f.late)} late`);
  put('unacknowledged', brief(f.unacknowledged)); put('lag', f.lag_ms ? ms(f.lag_ms) : '–');
  put('restarts', count(f.restarts)); put('retries', `${count(f.retries)} sink retries`);
}

function table(f) {
  const body = $('#stages tbody');
  const columns = ['in', 'passed', 'absorbed', 'filtered', 'late', 'dead', 'held', 'emitted'];
  const more = ['keys', 'state_bytes', 'calls', 'call_ms', 'average_ms', 'mean_ms'], kept = new Set(['keys', 'state_bytes']);
  if (body.children.length !== f.stages.length || [...body.children].some((tr, i) => tr.dataset.key !== f.stages[i].kind + f.stages[i].name)) {
    body.replaceChildren(...f.stages.map((s) => h('tr', { 'data-key': s.kind + s.name },
      h('th', { scope: 'row' }, s.name, s.kind !== s.name ? h('span', {}, ' ' + s.kind) : null), ...[...columns, ...more].map((c) => h('td', { class: kept.has(c) ? 'n kept' : 'n' })))));
  }
  $('#stages').toggleAttribute('data-keeps', f.stages.some((s) => s.keys || s.state_bytes));
  f.stages.forEach((s, i) => {
    const cells = body.children[i].children;
    columns.forEach((c, n) => {
      const v = s[c] || 0, cell = cells[n + 1];
      setText(cell, count(v));
      cell.className = 'n' + (v === 0 ? ' zero' : (c === 'dead' || c === 'late') ? ' hot' : '');
    });
    const put = (c, text) => setText(cells[columns.length + 1 + more.indexOf(c)], text);
    put('keys', s.keys ? count(s.keys) : ''); put('state_bytes', s.state_bytes ? bytes(s.state_bytes) : '');
    put('calls', s.with ? '' : count(s.calls));
    for (const c of ['call_ms', 'average_ms', 'mean_ms']) put(c, s.with || !s.calls ? '' : ms(s[c]));
  });
}

/** A graph that is wider than the page shrinks, down to what can be read. */
function fit() {
  for (const g of $$('.graph')) g.style.minWidth = `${Math.round(g.getAttribute('width') * 0.695)}px`;
  const canvas = $('.canvas'), more = $('#graph-more');
  const tell = () => { more.hidden = canvas.scrollWidth - canvas.clientWidth - canvas.scrollLeft < 8; };
  canvas.addEventListener('scroll', tell, { passive: true });
  new ResizeObserver(tell).observe(canvas);
}

export async function start() {
  fit();
  const throughput = new Chart($('#throughput'), [{ class: 'l1', name: 'read' }, { class: 'l2', name: 'written' }, { class: 'l3', name: 'dead or late' }], (v) => brief(v) + ' /s');
  const latency = new Chart($('#latency'), [{ class: 'l1', name: 'batch' }, { class: 'l2', name: 'commit' }], ms);
  const add = (...points) => {
    throughput.add(...points.map((p) => ({ at: Date.parse(p.at), values: [p.in_rate, p.out_rate, p.bad_rate] })));
    latency.add(...points.map((p) => ({ at: Date.parse(p.at), values: [p.batch_ms, p.commit_ms] })));
  };
  const past = await ask(api('/history'));
  add(...past);
  let bad, last = past.at(-1)?.at;
  const version = document.body.dataset.version;
  return {
    // The server draws the graph.
    receipt(r) { if (r.version_after && r.version_after !== version) location.reload(); },
    reopened: () => location.reload(),
    metrics(m) {
      showMachine(m.machine);
      const f = m.flows.find((one) => one.name === flow);
      if (!f) return;
      f.stages ??= [];
      numbers(f); graph(f); table(f);
      const now = f.dead + f.late;
      if (m.at !== last) add({ ...f, at: m.at, bad_rate: bad == null ? 0 : now - bad });
      bad = now; last = m.at;
    },
  };
}
