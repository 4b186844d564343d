// The list of flows.
import { $, $$, brief, count, ms, percent, setText, h } from './dom.js';
import { listen } from './live.js';
import { showMachine } from './machine.js';

const rates = new Map();

function row(f) {
  let tr = $(`#flows tr[data-flow="${CSS.escape(f.name)}"]`);
  if (!tr) location.reload(); // a flow has come: the server knows how its row looks
  return tr;
}

function spark(tr, name) {
  const all = rates.get(name), most = Math.max(...all, 1e-9);
  const x = (i) => 120 - (all.length - 1 - i) * (120 / 119), y = (v) => 24 - (v / most) * 22;
  const d = all.map((v, i) => `${i ? 'L' : 'M'}${x(i).toFixed(1)} ${y(v).toFixed(1)}`).join('');
  $('.line', tr).setAttribute('d', d);
  $('.area', tr).setAttribute('d', d + `L120 26L${x(0).toFixed(1)} 26Z`);
}

function show(f) {
  const tr = row(f);
  if (!tr) return;
  const put = (name, text, mark) => {
    const el = $(`[data-f="${name}"]`, tr);
    setText(el, text);
    if (mark) el.className = 'n ' + mark;
  };
  const state = $('[data-f="state"]', tr);
  state.dataset.state = f.state; setText(state, f.state);
  const reason = $('[data-f="reason"]', tr);
  reason.hidden = !f.reason; setText(reason, f.reason || '');
  put('in_rate', brief(f.in_rate)); put('out_rate', brief(f.out_rate));
  put('in', count(f.in)); put('successful', f.in ? percent(f.successful) : '–');
  put('dead', count(f.dead), f.dead ? 'hot' : 'zero'); put('late', count(f.late), f.late ? 'hot' : 'zero');
  put('lag', f.lag_ms ? ms(f.lag_ms) : '–');
  const all = rates.get(f.name) || rates.set(f.name, []).get(f.name);
  all.push(f.in_rate);
  if (all.length > 120) all.shift();
  spark(tr, f.name);
}

export async function start() {
  await Promise.all($$('#flows tbody tr').map(async (tr) => {
    const answer = await fetch(`/v1/flows/${encodeURIComponent(tr.dataset.flow)}/history`);
    if (answer.ok) rates.set(tr.dataset.flow, (await answer.json()).slice(-119).map((p) => p.in_rate));
  }));
  listen({ reopened: () => location.reload(), metrics: (m) => { showMachine(m.machine); m.flows.forEach(show); } });
}
