// Where records left the flow as dead letters, or late.
import { $, count, flow, h, setText } from './dom.js';

export async function start() {
  return {
    metrics(m) {
      const f = m.flows.find((one) => one.name === flow);
      if (!f?.stages) return;
      const bad = f.stages.filter((s) => s.dead || s.late);
      $('#dead tbody').replaceChildren(...bad.map((s) => h('tr', {}, h('th', { scope: 'row' }, s.name, s.kind !== s.name ? h('span', {}, ' ' + s.kind) : null),
        h('td', { class: 'n' + (s.dead ? ' hot' : ' zero') }, count(s.dead)), h('td', { class: 'n' + (s.late ? ' hot' : ' zero') }, count(s.late)))));
      setText($('#dead-note'), bad.length ? `${count(f.dead)} dead, ${count(f.late)} late since the start` : 'None since the start.');
    },
  };
}
